"""The parts of training that need no TensorFlow: recipe, targets, order of batches, checkpoints, pictures, command."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_edge.errors import ModelError, UsageError
from fer_edge.loading.open import open_classifier
from fer_edge.preprocess import resize_gray
from fer_train.commands.recipe import recipe_from
from fer_train.commands.train import main
from fer_train.evaluation.evaluate import Evaluation
from fer_train.inputs.batches import Batches
from fer_train.inputs.stored_teachers import ensemble_targets, image_keys, teacher_targets
from fer_train.inputs.targets import blend, class_weights, hard_targets
from fer_train.runs.history import EpochMetrics, write_metrics
from fer_train.runs.plots import draw_confusion, draw_curves
from fer_train.runs.recipe import Recipe, load_recipe
from fer_train.runs.run_folder import RunFolder
from fer_train.synthetic.faces import synthetic_split
from fer_train.training.checkpoint import load_checkpoint, save_checkpoint

SHIPPED = Path(__file__).parents[2] / "models" / "fer_int8.tflite"


def test_config_survives_the_disk(tmp_path: Path) -> None:
    config = Recipe(epochs=3, backbone=None, data="somewhere.zip")
    config.save(tmp_path / "config.json")
    assert load_recipe(tmp_path / "config.json") == config


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"labels": ["happy"]}', "\x00\xff"])
def test_bad_config_is_a_model_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ModelError):
        load_recipe(tmp_path / "config.json")


def test_config_of_another_label_order_is_refused(tmp_path: Path) -> None:
    record = json.loads(Recipe().as_json())
    record["labels"] = sorted(record["labels"], reverse=True)
    (tmp_path / "config.json").write_text(json.dumps(record))
    with pytest.raises(ModelError, match="labels"):
        load_recipe(tmp_path / "config.json")


def test_hard_targets_are_smoothed_distributions() -> None:
    targets = hard_targets(np.array([0, 6]), 0.7)
    np.testing.assert_allclose(targets.sum(axis=1), 1.0, rtol=1e-6)
    assert targets[0, 0] == pytest.approx(0.4)
    assert targets[0, 1] == pytest.approx(0.1)


def test_blend_touches_only_known_rows() -> None:
    targets, other = hard_targets(np.array([0, 1]), 0.0), hard_targets(np.array([3, 3]), 0.0)
    mixed = blend(targets, other, 0.25, np.array([True, False]))
    assert mixed[0, 3] == pytest.approx(0.25)
    assert mixed[0, 0] == pytest.approx(0.75)
    np.testing.assert_array_equal(mixed[1], targets[1])


def test_class_weights_balance() -> None:
    labels = np.array([0] * 90 + [1] * 10)
    np.testing.assert_allclose(class_weights(labels, 0.0), 1.0)
    weights = class_weights(labels, 1.0)
    assert weights[labels == 0].sum() == pytest.approx(weights[labels == 1].sum())
    assert weights.mean() == pytest.approx(1.0)


def store_logits(path: Path, images: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], winners: list[int]) -> Path:
    logits = np.full((len(images), 7), -4.0, np.float32)
    logits[np.arange(len(images)), winners] = 0.0
    np.savez(path, keys=image_keys(images), logits=logits)
    return path


def test_several_teachers_teach_their_mean_where_all_know_the_image(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 48, 48), dtype=np.uint8)
    first = store_logits(tmp_path / "a.npz", images, [0, 1, 2])
    second = store_logits(tmp_path / "b.npz", images[:2], [0, 5])
    soft, known = ensemble_targets([first, second], images, 1.0)
    assert known.tolist() == [True, True, False]
    assert soft[0, 0] == pytest.approx(1 / (1 + 6 * np.exp(-4.0)))
    assert soft[1, 1] == pytest.approx(soft[1, 5])
    assert soft[2].sum() == 0
    alone, _ = ensemble_targets([first], images, 1.0)
    np.testing.assert_array_equal(alone, teacher_targets(first, images, 1.0)[0])


def test_an_exported_model_teaches_the_mean_of_both_sides() -> None:
    images = synthetic_split(1, seed=3).images
    with contextlib.closing(open_classifier(SHIPPED)) as classifier:
        faces = np.stack([resize_gray(image, classifier.input_size) for image in images])
        expected = (classifier.predict(faces) + classifier.predict(np.ascontiguousarray(faces[:, :, ::-1]))) / 2
    soft, known = teacher_targets(SHIPPED, images, 1.0)
    assert known.all()
    expected /= expected.sum(axis=1, keepdims=True)  # INT8 probabilities need not sum to 1
    np.testing.assert_allclose(soft, expected, atol=1e-3)
    np.testing.assert_allclose(soft.sum(axis=1), 1.0, rtol=1e-5)
    with pytest.raises(ModelError, match=r"absent\.tflite"):
        teacher_targets(Path("absent.tflite"), images, 1.0)


def test_one_teacher_of_older_records_still_loads(tmp_path: Path) -> None:
    for stored, expected in ((None, ()), ("a.npz", ("a.npz",)), (["a", "b"], ("a", "b"))):
        record = json.loads(Recipe().as_json()) | {"teacher": stored}
        (tmp_path / "config.json").write_text(json.dumps(record))
        assert load_recipe(tmp_path / "config.json").teacher == expected


def test_going_on_from_a_run_leaves_out_the_head_epoch_and_may_be_qat_alone() -> None:
    recipe = recipe_from({"start_from": "runs/first", "epochs": 0, "teacher": ["a.npz", "b.npz"]})
    assert (recipe.head_epochs, recipe.epochs, recipe.teacher) == (0, 0, ("a.npz", "b.npz"))
    with pytest.raises(UsageError, match="--epochs must be at least 1"):
        recipe_from({"epochs": 0})


def make_batches(epoch: int) -> Batches:
    images = np.arange(10, dtype=np.uint8)[:, None, None].repeat(48, 1).repeat(48, 2)
    targets = hard_targets(np.arange(10) % 7, 0.0)
    return Batches(images, targets, np.ones(10, np.float32), input_size=64, batch_size=3, seed=5, epoch=epoch)


def test_batches_depend_on_the_epoch_alone() -> None:
    first, again, other = make_batches(1), make_batches(1), make_batches(2)
    assert len(first) == 3
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a[0], b[0])
    assert not np.array_equal(first.order, other.order)
    faces, targets, _ = first[0]
    assert faces.shape == (3, 64, 64)
    np.testing.assert_array_equal(targets.argmax(1), faces[:, 0, 0] % 7)  # each face kept its own target


def test_checkpoint_round_trip_and_damage(tmp_path: Path) -> None:
    path = tmp_path / "c.npz"
    save_checkpoint(path, [np.eye(3)], [np.array(7, np.int64)], {"epochs_done": 2})
    loaded = load_checkpoint(path)
    np.testing.assert_array_equal(loaded.network[0], np.eye(3))
    assert int(loaded.optimizer[0]) == 7
    assert loaded.record == {"epochs_done": 2}
    assert list(tmp_path.iterdir()) == [path]
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ModelError, match="cannot be read"):
        load_checkpoint(path)


def epoch_row(stage: str, epoch: int) -> EpochMetrics:
    int8 = 0.6 if stage == "qat" else None
    return EpochMetrics(stage, "fine-tune", epoch, 1.5, 0.5, 1.4, 0.55, int8, 1e-3, 10.0)


def test_pictures_and_metrics(tmp_path: Path) -> None:
    history = [epoch_row("float", 1), epoch_row("float", 2), epoch_row("qat", 0), epoch_row("qat", 1)]
    write_metrics(tmp_path / "metrics.csv", history)
    assert len((tmp_path / "metrics.csv").read_text().splitlines()) == 5
    draw_curves(history, tmp_path)
    labels = np.arange(70) % 7
    evaluation = Evaluation("validation", hard_targets(labels, 0.3), labels)
    draw_confusion(evaluation, tmp_path / "confusion.png", "float")
    for name in ("accuracy", "loss", "curves", "confusion"):
        picture = cv2.imread(str(tmp_path / f"{name}.png"))
        assert picture is not None
        assert picture.shape[1] > 600
        assert picture.std() > 5


def test_second_process_is_refused(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    with folder.locked(), pytest.raises(UsageError, match="another process"), RunFolder(tmp_path / "run").locked():
        pass


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--run", "r"], "--data"),
        (["--data", "d"], "--run"),
        (["--run", "r", "--data", "d", "--epoch", "3"], "--epochs"),
        (["--run", "r", "--data", "d", "--epochs", "0"], "at least 1"),
        (["--run", "r", "--data", "d", "--input-size", "100"], "100"),
        (["--run", "r", "--data", "d", "--dropout", "1.5", "--flip", "x"], "--flip"),
        (["--run", "r", "--data", "no/such/place"], "no/such/place"),
    ],
)
def test_bad_usage_is_one_line_and_exit_2(
    arguments: list[str],
    words: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert words in error
    assert len(error.strip().splitlines()) <= 2


def test_a_single_epoch_trains_the_whole_network() -> None:
    assert recipe_from({"data": "d", "epochs": 1}).head_epochs == 0
    assert recipe_from({"data": "d", "epochs": 1, "head_epochs": 1}).head_epochs == 1
    assert recipe_from({"data": "d", "epochs": 2}).head_epochs == 1


def test_resume_with_another_recipe_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = RunFolder(tmp_path)
    recipe_from({"data": "d", "epochs": 3}).save(folder.config)
    assert main(["--run", str(tmp_path), "--resume", "--epochs", "4"]) == 2
    assert "epochs" in capsys.readouterr().err


def test_nothing_to_resume_and_no_data_is_told_as_that(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--run", str(tmp_path / "nope"), "--resume"]) == 2
    assert "nope holds no run to go on with; give --data to begin one there" in capsys.readouterr().err
    assert not (tmp_path / "nope").exists()
