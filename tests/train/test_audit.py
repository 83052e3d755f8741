from __future__ import annotations

import importlib.util
import json
import os
import re
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.train.data_sets import Image, encode, write_folder

from fer_edge.errors import DataError, MissingDependencyError
from fer_edge.labels import EMOTIONS
from fer_train.audit.checks import audit, strangeness
from fer_train.audit.findings import Audit
from fer_train.audit.html_report import render_report
from fer_train.audit.image_facts import collect_facts
from fer_train.audit.label_errors import find_label_errors
from fer_train.audit.near_duplicates import MIN_CORRELATION, join_pairs, near_pairs, unit_rows
from fer_train.commands.data import main
from fer_train.data.dataset import Dataset, Split, load_dataset
from fer_train.data.duplicates import group_duplicates, members_of_groups
from fer_train.synthetic.faces import synthetic_split


def png_files(split: Split, folder: str, prefix: str) -> dict[str, bytes]:
    return {
        f"{folder}/{EMOTIONS[label]}/{prefix}_{i:04d}.png": encode(np.asarray(image))
        for i, (image, label) in enumerate(zip(split.images, split.labels, strict=True))
    }


def recompressed(image: Image) -> Image:
    done, content = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 60])
    assert done
    decoded = cv2.imdecode(content, cv2.IMREAD_GRAYSCALE)
    assert decoded is not None
    return np.asarray(cv2.convertScaleAbs(decoded, alpha=0.9, beta=8), dtype=np.uint8)


@pytest.fixture(scope="module")
def train() -> Split:
    return synthetic_split(14, 0, name="train")


@pytest.fixture(scope="module")
def dirty(tmp_path_factory: pytest.TempPathFactory, train: Split) -> Path:
    """Synthetic faces with known dirt planted among them."""
    root = tmp_path_factory.mktemp("dirty")
    files = png_files(train, "train", "Training") | png_files(synthetic_split(3, 0), "test", "PublicTest")
    happy, sad, fear, angry = (EMOTIONS.index(name) for name in ("happy", "sad", "fear", "angry"))
    files["train/happy/copy1.png"] = files["train/happy/copy2.png"] = files[f"train/happy/Training_{happy:04d}.png"]
    files["train/fear/conflict.png"] = files[f"train/sad/Training_{sad:04d}.png"]
    files["train/angry/leak.png"] = files[f"test/angry/PublicTest_{angry:04d}.png"]
    files["train/sad/near.png"] = encode(recompressed(np.asarray(train.images[fear])))
    files["train/disgust/blank.png"] = encode(np.full((48, 48), 3, dtype=np.uint8))
    files["train/disgust/dark.png"] = encode((train.images[1] // 8).astype(np.uint8))
    files["train/disgust/text.png"] = encode(placeholder())
    blurred = cv2.resize(cv2.resize(np.asarray(train.images[4]), (8, 8)), (48, 48), interpolation=cv2.INTER_CUBIC)
    files["train/neutral/blurred.png"] = encode(np.asarray(blurred, dtype=np.uint8))
    files["train/neutral/broken.png"] = b"no image"
    return write_folder(root, files)


def placeholder() -> Image:
    image = np.full((48, 48), 255, dtype=np.uint8)
    for y in (8, 16, 24):
        image[y : y + 2, 4:40:3] = 0
    return image


@pytest.fixture(scope="module")
def dataset(dirty: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return load_dataset(dirty, cache_dir=tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def result(dataset: Dataset) -> Audit:
    return audit(dataset)


def names(result: Audit, key: str) -> list[set[str]]:
    return [{result.describe(int(i))["name"] for i in group} for group in result.finding(key).groups]


def test_exact_copies_conflicts_and_leaks(result: Audit) -> None:
    assert result.finding("exact_copies").figures["extra_copies"] == 4
    assert result.finding("exact_copies").figures["groups"] == 3
    assert names(result, "exact_copies")[0] == {
        "train/happy/Training_0003.png",
        "train/happy/copy1.png",
        "train/happy/copy2.png",
    }
    assert names(result, "conflicting_labels") == [{"train/sad/Training_0005.png", "train/fear/conflict.png"}]
    leak = result.finding("leak_validation_in_train")
    assert leak.figures["images"] == 1
    assert names(result, "leak_validation_in_train") == [{"test/angry/PublicTest_0000.png", "train/angry/leak.png"}]
    assert result.clean is not None
    assert (result.clean.in_evaluation, result.clean.conflicting, result.clean.extra_copies) == (1, 2, 2)


def test_near_copies(result: Audit) -> None:
    assert {"train/fear/Training_0002.png", "train/sad/near.png"} in names(result, "near_copies")
    assert result.finding("near_copies").figures["groups_with_different_labels"] >= 1
    assert not any("copy1.png" in name for group in names(result, "near_copies") for name in group)


def test_strange_pictures(result: Audit) -> None:
    assert names(result, "blank") == [{"train/disgust/blank.png"}]
    assert {"train/disgust/dark.png"} in names(result, "dark")
    assert {"train/disgust/text.png"} in names(result, "unlike_faces")[:3]
    assert {"train/neutral/blurred.png"} in names(result, "blurred")
    assert result.finding("blurred").figures["images"] < 10


def test_a_clean_set_has_no_findings_of_substance(train: Split) -> None:
    splits = {"train": train, "validation": synthetic_split(3, 0)}
    result = audit(Dataset(Path("drawn"), splits, (), "0"))
    for key in ("exact_copies", "conflicting_labels", "leak_validation_in_train", "blank"):
        assert result.finding(key).groups == [], key
    assert result.finding("class_balance").figures["ratio"] == 1.0
    assert result.finding("class_balance").meaning == "In train, all classes have the same number of images."


def test_page_shows_every_finding_and_needs_no_network(result: Audit) -> None:
    page = render_report(result)
    for finding in result.findings:
        assert f'id="{finding.key}"' in page
    assert page.count("data:image/jpeg;base64,") > 10
    assert "train/neutral/broken.png" in page
    assert not re.findall(r"(?:src|href)=[\"'](?!data:|#)", page)
    assert "http" not in page


def test_names_cannot_inject_html(train: Split) -> None:
    evil = "<script>alert(1)</script>.png"
    images = np.concatenate([train.images, train.images[:1]])
    split = Split("train", images, np.append(train.labels, 0), (*train.names, f"train/angry/{evil}"))
    assert "<script>" not in render_report(audit(Dataset(Path("x"), {"train": split}, ((evil, "bad"),), "0")))


def test_command_writes_json_and_page(dirty: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    json_path, html_path = tmp_path / "o/a.json", tmp_path / "o/a.html"
    arguments = ["audit", "--data", str(dirty), "--cache-dir", str(tmp_path / "cache")]
    assert main([*arguments, "--json", str(json_path), "--html", str(html_path)]) == 0
    printed = capsys.readouterr().out
    assert "Exact duplicates" in printed
    assert "4 extra duplicates" in printed
    found = json.loads(json_path.read_text())
    assert found["findings"]["exact_copies"]["extra_copies"] == 4
    assert found["findings"]["conflicting_labels"]["images"][0][0]["label"] == "fear"
    assert found["splits"]["train"]["classes"]["happy"] == 16
    assert found["skipped"] == [{"name": "train/neutral/broken.png", "reason": "not decodable as an image"}]
    assert html_path.read_text().startswith("<!doctype html>")
    assert main([*arguments, "--strict"]) == 1
    assert "Conflicting labels" in capsys.readouterr().err
    assert main([*arguments, "--json", str(tmp_path)]) == 2
    assert main([*arguments, "--votes", str(tmp_path / "nowhere.csv")]) == 2


def test_votes_are_compared(dataset: Dataset, tmp_path: Path) -> None:
    columns = "image,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
    rows = {
        "Training_0003.png": "0,10,0,0,0,0,0,0,0,0",  # happy: agrees
        "Training_0010.png": "1,9,0,0,0,0,0,0,0,0",  # happy: agrees
        "Training_0005.png": "9,0,0,1,0,0,0,0,0,0",  # sad: the crowd is sure of neutral
        "Training_0012.png": "4,0,0,3,3,0,0,0,0,0",  # sad: neutral, but not sure
        "Training_0000.png": "0,0,0,0,2,0,0,8,0,0",  # angry: contempt
        "Training_0007.png": "0,0,0,0,0,0,0,0,0,10",  # angry: not a face
    }
    path = tmp_path / "v.csv"
    path.write_text("\n".join([columns, *(f"{name},{votes}" for name, votes in rows.items())]))
    result = audit(dataset, votes=path)
    votes = result.votes
    assert votes is not None
    assert (votes.n_with_votes, votes.n_compared, votes.agreement) == (6, 4, 0.5)
    assert votes.agreement_of_voted == pytest.approx(2 / 6)
    assert names(result, "crowd_disagrees") == [{"train/sad/Training_0005.png"}]
    assert result.finding("crowd_disagrees").notes == ("crowd: neutral 90%",)
    assert votes.confusion[EMOTIONS.index("angry")].tolist() == [0, 0, 0, 0, 0, 0, 0, 1, 0, 1]
    assert "Labels against FER+" in render_report(result)
    assert result.as_dict()["ferplus"]["confusion"]["sad"][EMOTIONS.index("neutral")] == 2


def smooth_thumbnails(n: int, seed: int) -> Image:
    """``(n, 256)`` smooth random pictures, as different from each other as photographs are."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (n, 5, 5)).astype(np.uint8)
    return np.stack([cv2.resize(c, (16, 16), interpolation=cv2.INTER_CUBIC) for c in coarse]).reshape(n, 256)


def test_near_pairs_find_what_comparing_all_finds() -> None:
    rng = np.random.default_rng(1)
    originals = smooth_thumbnails(1500, 0)
    noise = rng.normal(0, 1, (300, 256)) * rng.uniform(2, 25, (300, 1))
    disturbed = np.clip(originals[:300] + noise, 0, 255).astype(np.uint8)
    everything = np.concatenate([originals, disturbed])
    rows = unit_rows(everything)
    expected = {(int(i), int(j)) for i, j in np.argwhere(np.triu(rows @ rows.T, 1) >= MIN_CORRELATION + 1e-5).tolist()}
    pairs, correlations = near_pairs(everything, np.ones(len(everything), dtype=bool))
    got = {(int(i), int(j)) for i, j in pairs.tolist()}
    assert len(expected) > 100
    assert len(got & expected) >= 0.97 * len(expected)
    assert np.all(correlations >= MIN_CORRELATION)
    none, _ = near_pairs(everything, np.zeros(len(everything), dtype=bool))
    assert none.shape == (0, 2)


def test_groups() -> None:
    assert join_pairs(np.array([[1, 2], [4, 2], [5, 6]]), 7).tolist() == [0, 1, 1, 3, 1, 5, 5]
    images = np.random.default_rng(0).integers(0, 255, (4, 8, 8), dtype=np.uint8)
    groups, others = group_duplicates(images[[0, 1, 0]], images[[1, 2]])
    assert groups[0] == groups[2] != groups[1] == others[0] != others[1]
    assert [g.tolist() for g in members_of_groups(np.array([3, 1, 3, 1, 9]))] == [[0, 2], [1, 3]]
    assert members_of_groups(np.empty(0, dtype=np.int64)) == []


def test_facts_of_a_picture() -> None:
    image = np.zeros((2, 48, 48), dtype=np.uint8)
    image[0, :, 24:] = 200
    split = Split("train", image, np.zeros(2, dtype=np.int64), ("a", "b"))
    facts = collect_facts([split])
    assert facts.brightness.tolist() == [100.0, 0.0]
    assert facts.contrast.tolist() == [100.0, 0.0]
    assert facts.flatness.tolist() == [0.5, 1.0]
    assert facts.thumbnails.shape == (2, 256)
    assert np.isfinite(strangeness(facts)).all()


needs_cleanlab = pytest.mark.skipif(
    importlib.util.find_spec("cleanlab") is None, reason="cleanlab (extra audit) is not installed"
)


@needs_cleanlab
def test_planted_label_errors_are_found() -> None:
    split = synthetic_split(30, 0, name="train")
    rng = np.random.default_rng(0)
    wrong = np.sort(rng.choice(len(split), 12, replace=False))
    labels = split.labels.copy()
    labels[wrong] = (labels[wrong] + rng.integers(1, 7, len(wrong))) % 7
    found = find_label_errors([Split("train", split.images, labels, split.names)], np.arange(len(split)))
    assert found.accuracy > 0.6
    assert len(set(found.indices[:20].tolist()) & set(wrong.tolist())) >= 8
    assert len(found.notes) == len(found.indices)


def test_label_errors_say_what_to_install(train: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cleanlab.filter", None)
    with pytest.raises(MissingDependencyError, match="pip install cleanlab"):
        find_label_errors([train], np.arange(len(train)))


@needs_cleanlab
def test_label_errors_need_enough_images() -> None:
    small = synthetic_split(3, 0)
    with pytest.raises(DataError, match="at least 10 images of each class"):
        find_label_errors([small], np.arange(len(small)))


@pytest.mark.slow
@pytest.mark.skipif("FER2013" not in os.environ, reason="FER2013 (path of the Kaggle zip) is not set")
def test_fer2013_has_the_known_problems(tmp_path: Path) -> None:
    dataset = load_dataset(os.environ["FER2013"], cache_dir=tmp_path)
    known = {name: split for name, split in dataset.splits.items() if name != "test"}
    start = time.perf_counter()
    result = audit(Dataset(dataset.source, known, dataset.skipped, dataset.fingerprint))
    assert time.perf_counter() - start < 120  # 60 on an idle machine with 2 cores; tests may run beside others
    exact = result.finding("exact_copies").figures
    assert (exact["extra_copies"], exact["groups"]) == (1532, 1273)
    assert result.finding("conflicting_labels").figures["groups"] == 47
    assert result.finding("leak_validation_in_train").figures["images"] == 280
    assert result.clean is not None
    assert result.clean.n_kept == 27170
