"""Networks that teach, and students that ask them while they learn."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.train.networks import drawn_training_data, run_with_weights, use_first_blocks

from fer_edge.errors import ModelError, UsageError
from fer_train.commands.recipe import recipe_from
from fer_train.commands.train import main
from fer_train.runs.recipe import Recipe, load_recipe
from fer_train.runs.run_folder import RunFolder
from fer_train.training.checkpoint import load_checkpoint

pytest.importorskip("keras", reason="the [train] extra is not installed")

SIZE = 32
RECIPE = Recipe(
    input_size=SIZE, backbone=None, epochs=2, head_epochs=0, batch_size=14, precision="float32", dropout=0.0
)


@pytest.fixture
def small_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    use_first_blocks(monkeypatch)


@pytest.mark.parametrize(("name", "millions"), [("vgg", 7.68), ("resnet", 11.2), ("convnext", 7.49)])
def test_networks_that_teach_answer_like_the_student(name: str, millions: float) -> None:
    import keras

    from fer_train.networks.build import OUTPUT_NAME, build_network, set_trainable_blocks

    network = build_network(keras, 96, network=name, bn_momentum=0.9)
    assert network.output_shape == (None, 7)
    assert network.get_layer("pool").input.shape == (None, 6, 6, 512)
    assert network.count_params() / 1e6 == pytest.approx(millions, abs=0.05)
    assert network.get_layer("stem_BN").momentum == 0.9
    set_trainable_blocks(network, 0)
    assert {v.path.partition("/")[0] for v in network.trainable_variables} == {OUTPUT_NAME}


def test_teachers_answer_is_the_mean_softened_one() -> None:
    import keras

    from fer_train.training.live_teachers import LiveTeachers

    inputs = keras.Input((SIZE, SIZE, 3))
    features = keras.layers.GlobalAveragePooling2D()(inputs)
    networks = [keras.Model(inputs, keras.layers.Dense(7, activation="softmax")(features)) for _ in range(2)]
    faces = np.random.default_rng(0).uniform(-1, 1, (5, SIZE, SIZE, 3)).astype(np.float32)
    expected = np.zeros((5, 7))
    for network in networks:
        rooted = np.sqrt(network.predict_on_batch(faces).astype(np.float64))
        expected += rooted / rooted.sum(axis=1, keepdims=True) / 2
    teachers = LiveTeachers(networks, 2.0, SIZE)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(teachers(faces)), expected, atol=1e-5)
    assert not teachers.trainable_variables


def test_loss_blends_targets_and_teachers() -> None:
    from fer_train.training.objective import Objective

    taught_by = Objective(taught=True, teacher_weight=0.75)
    rng = np.random.default_rng(0)
    own, taught = rng.dirichlet(np.ones(7), 4).astype(np.float32), rng.dirichlet(np.ones(7), 4).astype(np.float32)
    targets = np.eye(7, dtype=np.float32)[[own[0].argmax(), own[1].argmin(), 3, 4]]
    both = np.concatenate([own, taught], axis=1)
    expected = -((0.25 * targets + 0.75 * taught) * np.log(own)).sum(axis=1)
    np.testing.assert_allclose(np.asarray(taught_by.loss(targets, both)), expected, rtol=1e-4)
    hits = np.asarray(taught_by.accuracy(targets, both))
    np.testing.assert_array_equal(hits, own.argmax(axis=1) == targets.argmax(axis=1))


@pytest.mark.slow
@pytest.mark.usefixtures("small_networks")
def test_a_student_comes_to_answer_like_its_teacher_and_resumes(tmp_path: Path) -> None:
    import keras

    from fer_train.networks.keras_classifier import KerasClassifier
    from fer_train.training.float_stage import FloatStage

    teacher = run_with_weights(tmp_path / "teacher", RECIPE, seed=7)
    recipe = dataclasses.replace(
        RECIPE, teacher=(str(teacher),), teacher_weight=1.0, teacher_temperature=1.0, learning_rate=0.03, epochs=6
    )
    data = drawn_training_data(4, 2)

    def distance(stage: Any) -> float:
        faces = np.stack([np.full((SIZE, SIZE), 40 + 10 * i, np.uint8) for i in range(4)])
        assert stage.teachers is not None
        return float(np.abs(stage.teachers.predict(faces) - KerasClassifier(stage.network).predict(faces)).mean())

    def stage_in(name: str, epochs: int) -> Any:
        folder = RunFolder(tmp_path / name)
        folder.root.mkdir(exist_ok=True)
        return FloatStage(dataclasses.replace(recipe, epochs=epochs), data, folder)

    stage = stage_in("student", 6)
    told = stage.evaluate_teachers()
    before, weights = distance(stage), stage.teachers.get_weights()
    stage.run(resume=False)
    after = distance(stage)
    assert after < 0.5 * before, (before, after)
    for one, other in zip(weights, stage.teachers.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert stage.evaluate_teachers().accuracy == told.accuracy

    held = sum(array.size for array in load_checkpoint(stage.folder.float_checkpoint).network)
    assert held < 1.01 * sum(v.size for v in stage.network.get_weights()) + 10  # the teacher's are not in it
    again = stage_in("student", 7)
    keras.utils.set_random_seed(99)
    again.run(resume=True)
    assert [row.epoch for row in again.history] == list(range(1, 8))
    assert again.history[-1].loss == pytest.approx(again.history[-2].loss, abs=0.2)


@pytest.mark.slow
@pytest.mark.usefixtures("small_networks")
def test_a_teacher_sees_the_students_face_in_its_own_size(tmp_path: Path) -> None:
    from fer_train.networks.engine import runner
    from fer_train.training.live_teachers import load_teachers

    teacher = run_with_weights(tmp_path / "teacher", RECIPE, seed=1)
    own, smaller = (load_teachers([teacher], size, 1.0, runner) for size in (SIZE, 2 * SIZE))
    faces = np.random.default_rng(0).integers(0, 256, (3, SIZE, SIZE), dtype=np.uint8)
    twice = faces.repeat(2, axis=1).repeat(2, axis=2)  # bilinear reduction by two gives the same faces again
    assert smaller.input_size == 2 * SIZE
    np.testing.assert_allclose(smaller.predict(twice), own.predict(faces), atol=1e-5)
    RunFolder(teacher).float_weights.unlink()
    with pytest.raises(ModelError, match=r"float\.weights"):
        load_teachers([teacher], SIZE, 1.0, runner)


def test_teachers_are_folders_or_files(tmp_path: Path) -> None:
    run, logits = tmp_path / "run", tmp_path / "logits.npz"
    run.mkdir()
    config = recipe_from({"teacher": [str(run)]})
    assert (config.live_teachers, config.stored_teachers) == ((run,), ())
    config = recipe_from({"teacher": [str(logits)]})
    assert (config.live_teachers, config.stored_teachers) == ((), (logits,))
    with pytest.raises(UsageError, match="cannot be combined with files"):
        recipe_from({"teacher": [str(run), str(logits)]})
    with pytest.raises(UsageError, match="progressive-size"):
        recipe_from({"teacher": [str(run)], "progressive_size": 64})


def test_networks_that_teach_are_trained_from_scratch_in_float_only(tmp_path: Path) -> None:
    config = recipe_from({"network": "vgg"})
    assert (config.backbone, config.head_epochs, config.qat_epochs) == (None, 0, 0)
    config.save(tmp_path / "config.json")
    assert load_recipe(tmp_path / "config.json") == config
    assert '"architecture": "vgg"' in config.as_json()
    for option in ({"backbone": "imagenet"}, {"qat_epochs": 2}):
        with pytest.raises(UsageError, match="from scratch and in float only"):
            recipe_from({"network": "resnet"} | option)


@pytest.mark.slow
def test_a_network_that_teaches_is_not_exported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli = pytest.importorskip("fer_export.cli")
    Recipe(network="vgg", backbone=None).save(tmp_path / "config.json")
    assert cli.main(["--int8", "--run", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert "teaches" in capsys.readouterr().err
    assert main(["--run", str(tmp_path / "x"), "--network", "vgg", "--qat-epochs", "1", "--data", "y"]) == 2
