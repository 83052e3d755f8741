"""Votes become the labels that images with such votes have, and no image's own label plays a part in its row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from fer_edge.errors import DataError, UsageError
from fer_edge.labels import EMOTIONS, NUM_EMOTIONS
from fer_train.commands.recipe import recipe_from
from fer_train.data.crowd_votes import VOTE_COLUMNS
from fer_train.data.dataset import Dataset, Split
from fer_train.data.vote_translation import log_loss, translated_votes
from fer_train.inputs.training_data import prepare_data
from fer_train.runs.recipe import Recipe

pytest.importorskip("sklearn", reason="the [audit] extra is not installed")

Labels = npt.NDArray[np.int64]
COLUMNS = [VOTE_COLUMNS[emotion] for emotion in EMOTIONS]
SAD, NEUTRAL = EMOTIONS.index("sad"), EMOTIONS.index("neutral")


def two_labelings(path: Path, n: int = 700) -> tuple[tuple[str, ...], Labels, Labels]:
    """Nine of ten people see ``seen``; the labels are the same, but two of three neutral faces are called sad.

    A twentieth of the labels is any other class, so that no class is without doubt.
    """
    rng = np.random.default_rng(0)
    seen = np.arange(n) % NUM_EMOTIONS
    labels = np.where((seen == NEUTRAL) & (rng.random(n) < 2 / 3), SAD, seen)
    labels = np.where(rng.random(n) < 0.05, rng.integers(0, NUM_EMOTIONS, n), labels)
    lines = ["image," + ",".join(COLUMNS) + ",contempt,unknown,NF"]
    for i, label in enumerate(seen):
        counts = [0] * NUM_EMOTIONS
        counts[label] = 9
        counts[rng.integers(NUM_EMOTIONS)] += 1
        lines.append(f"{i}.png,{','.join(map(str, counts))},0,0,0")
    path.write_text("\n".join(lines) + "\n")
    return tuple(f"train/{EMOTIONS[label]}/{i}.png" for i, label in enumerate(labels)), labels, seen


def test_votes_turn_into_the_labels_of_the_data_set(tmp_path: Path) -> None:
    names, labels, seen = two_labelings(tmp_path / "v.csv")
    soft, known = translated_votes(tmp_path / "v.csv", names, labels)
    assert soft.dtype == np.float32
    assert known.all()
    np.testing.assert_allclose(soft.sum(axis=1), 1.0, rtol=1e-5)
    neutral = soft[seen == NEUTRAL].mean(axis=0)
    assert neutral[SAD] == pytest.approx((labels[seen == NEUTRAL] == SAD).mean(), abs=0.04)
    assert neutral[NEUTRAL] == pytest.approx((labels[seen == NEUTRAL] == NEUTRAL).mean(), abs=0.04)
    as_voted = np.eye(NUM_EMOTIONS, dtype=np.float32)[seen] * 0.9 + np.float32(0.1 / NUM_EMOTIONS)
    assert log_loss(soft, labels) < log_loss(as_voted, labels) - 0.1


def test_an_images_own_label_does_not_enter_its_row(tmp_path: Path) -> None:
    names, labels, _ = two_labelings(tmp_path / "v.csv")
    first, second = (int(np.flatnonzero(labels == label)[3]) for label in (0, 1))
    lines = (tmp_path / "v.csv").read_text().splitlines()
    lines[1 + first] = f"{first}.png,0,0,0,0,0,0,0,0,0,10"  # votes that no other image has: a fit would take its word
    (tmp_path / "v.csv").write_text("\n".join(lines) + "\n")
    before, _ = translated_votes(tmp_path / "v.csv", names, labels)
    swapped = labels.copy()
    swapped[[first, second]] = labels[[second, first]]
    after, _ = translated_votes(tmp_path / "v.csv", names, swapped)
    assert before[first, 0] < 0.2
    assert after[first, 1] < 0.2


def test_images_without_votes_keep_their_labels(tmp_path: Path) -> None:
    names, labels, _ = two_labelings(tmp_path / "v.csv")
    table = tmp_path / "v.csv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join([*lines[:5], *lines[6:]]) + "\n")  # image 4
    soft, known = translated_votes(table, names, labels)
    assert np.flatnonzero(~known).tolist() == [4]
    assert not soft[4].any()
    images = np.zeros((len(names), 48, 48), np.uint8)
    train = Split("train", images, labels, names)
    dataset = Dataset(tmp_path, {"train": train, "validation": train}, (), "fingerprint")
    recipe = Recipe(soft_labels=str(table), soft_label_weight=0.5, translate_votes=True, label_smoothing=0.0)
    targets = prepare_data(recipe, dataset).targets
    onehot = np.eye(NUM_EMOTIONS, dtype=np.float32)[labels]
    np.testing.assert_array_equal(targets[4], onehot[4])
    np.testing.assert_allclose(targets[5], 0.5 * onehot[5] + 0.5 * soft[5], rtol=1e-5)


def test_too_few_images_and_no_votes_are_clear_errors(tmp_path: Path) -> None:
    names, labels, _ = two_labelings(tmp_path / "v.csv", n=7 * 4)
    with pytest.raises(DataError, match="at least 5 images of every class"):
        translated_votes(tmp_path / "v.csv", names, labels)
    with pytest.raises(UsageError, match="--soft-labels"):
        recipe_from({"translate_votes": True})
