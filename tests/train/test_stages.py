"""The float stage on a few synthetic faces: it resumes where it stopped, freezes, averages and begins as asked."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from tests.train.data_sets import small_files, write_folder
from tests.train.networks import RECIPE, SIZE, first_blocks, training_data

from fer_edge.errors import ModelError
from fer_train.runs.ancestry import ancestry
from fer_train.runs.recipe import Recipe, load_recipe
from fer_train.runs.run_folder import RunFolder
from fer_train.training import keras_optimizer

pytest.importorskip("tensorflow_model_optimization", reason="the [train] extra is not installed")


class CrashError(Exception):
    """Stands for a kill between two epochs."""


def float_stage(folder: RunFolder, stop_after: int | None = None, resume: bool = False, recipe: Recipe = RECIPE) -> Any:
    from fer_train.training.float_stage import FloatStage

    folder.root.mkdir(parents=True, exist_ok=True)
    stage = FloatStage(recipe, training_data(), folder)
    if stop_after is not None:
        save = stage._save_checkpoint

        def save_and_crash(epochs_done: int) -> None:
            save(epochs_done)
            if epochs_done == stop_after:
                raise CrashError

        stage._save_checkpoint = save_and_crash  # type: ignore[method-assign]
        with pytest.raises(CrashError):
            stage.run(resume=resume)
    else:
        stage.run(resume=resume)
    return stage


def small_network(keras: Any, input_size: int, **_: Any) -> Any:
    """Convolution, BatchNorm, dropout, dense: all that has state, in a network that compiles in a second."""
    inputs = keras.layers.Input((input_size, input_size, 3))
    x = keras.layers.Conv2D(8, 3, strides=4, use_bias=False)(inputs)
    x = keras.layers.BatchNormalization(momentum=0.9)(x)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.ReLU()(x))
    x = keras.layers.Dropout(0.3)(x)
    return keras.Model(inputs, keras.layers.Dense(7, activation="softmax", name="emotion")(x))


def arrays(stage: Any) -> list[npt.NDArray[Any]]:
    averages = keras_optimizer.averages(stage.trainer.optimizer)
    return [np.asarray(variable) for variable in [*stage.trainer.variables, *averages]]


@pytest.mark.slow
def test_resumed_run_equals_uninterrupted_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:

    monkeypatch.setattr("fer_train.runs.network_of.build_network", small_network)
    trained = float_stage(RunFolder(tmp_path / "whole"))
    halves = RunFolder(tmp_path / "halves")
    float_stage(halves, stop_after=2)
    resumed = float_stage(halves, resume=True)
    assert [(row.phase, row.epoch) for row in resumed.history] == [("head", 1), ("fine-tune", 2), ("fine-tune", 3)]
    assert [row.loss for row in resumed.history] == pytest.approx([row.loss for row in trained.history], rel=1e-5)
    for one, other in zip(arrays(trained), arrays(resumed), strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_checkpoints_can_be_rarer_than_epochs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fer_train.training import float_stage as fit

    monkeypatch.setattr("fer_train.runs.network_of.build_network", small_network)
    written: list[int] = []
    monkeypatch.setattr(fit, "save_checkpoint", lambda *parts: written.append(parts[-1]["epochs_done"]))
    for seconds, expected in ((0.0, [1, 2, 3]), (1000.0, [1, 3])):
        written.clear()
        folder = RunFolder(tmp_path / str(seconds))
        float_stage(folder, recipe=dataclasses.replace(RECIPE, checkpoint_seconds=seconds))
        assert written == expected
        assert len(folder.metrics.read_text().splitlines()) == 4  # every epoch is told all the same


@pytest.mark.slow
def test_late_phase_trains_fewer_blocks_and_keeps_the_optimizer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fer_train.networks.build import block_of

    monkeypatch.setattr("fer_train.runs.network_of.build_network", first_blocks)
    recipe = dataclasses.replace(
        RECIPE, epochs=4, input_size=64, progressive_size=32, progressive_fraction=0.5, late_blocks=15
    )

    def early(stage: Any) -> list[npt.NDArray[Any]]:
        layers = [layer for layer in stage.network.layers if block_of(layer.name) < 2]
        return [np.asarray(variable) for layer in layers for variable in layer.variables]

    halves = RunFolder(tmp_path / "halves")
    half = float_stage(halves, stop_after=2, recipe=recipe)
    assert half.size == 32
    steps, before = int(half.trainer.optimizer.iterations), early(half)
    resumed = float_stage(halves, resume=True, recipe=recipe)
    trained = float_stage(RunFolder(tmp_path / "whole"), recipe=recipe)
    assert [row.phase for row in trained.history] == ["head", "fine-tune", "late", "late"]
    assert (trained.size, int(trained.trainer.optimizer.iterations)) == (64, 3 * steps)
    for one, other in zip(before, early(resumed), strict=True):
        np.testing.assert_array_equal(one, other)
    trainable = {variable.path.partition("/")[0] for variable in trained.network.trainable_variables}
    assert "block_2_expand" in trainable
    assert not any(block_of(name) < 2 for name in trainable)
    assert [row.loss for row in resumed.history] == pytest.approx([row.loss for row in trained.history], rel=1e-4)
    for one, other in zip(arrays(trained), arrays(resumed), strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_a_run_starts_from_the_weights_of_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import keras

    from fer_train.training import float_stage as fit

    monkeypatch.setattr("fer_train.runs.network_of.build_network", small_network)
    first = RunFolder(tmp_path / "first")
    float_stage(first, stop_after=1)
    RECIPE.save(first.config)
    recipe = dataclasses.replace(RECIPE, start_from=str(first.root), epochs=0, head_epochs=0, seed=9)
    second = RunFolder(tmp_path / "second")
    second.root.mkdir()
    stage = fit.FloatStage(recipe, training_data(), second)
    stage.run(resume=False)
    for folder in (first, second):
        network = small_network(keras, RECIPE.input_size)
        network.load_weights(folder.float_weights)
        for one, other in zip(network.get_weights(), stage.network.get_weights(), strict=True):
            np.testing.assert_array_equal(other, one)
    recipe = dataclasses.replace(recipe, start_from=str(tmp_path))
    with pytest.raises(ModelError, match=r"no config\.json .* expected a run folder"):
        fit.FloatStage(recipe, training_data(), RunFolder(tmp_path / "x"))


def test_the_mean_of_two_runs_is_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import keras

    from fer_train.commands import average
    from fer_train.runs import weights

    monkeypatch.setattr("fer_train.runs.network_of.build_network", small_network)
    runs, parts = [], []
    for seed in (1, 2):
        folder = RunFolder(tmp_path / f"run{seed}")
        folder.root.mkdir()
        dataclasses.replace(RECIPE, seed=seed).save(folder.config)
        keras.utils.set_random_seed(seed)
        network = small_network(keras, SIZE)
        weights.save_weights(network, folder.float_weights)
        runs.append(str(folder.root))
        parts.append(network.get_weights())
    mean = RunFolder(tmp_path / "mean")
    assert average.main(["--run", *runs, "--to", str(mean.root)]) == 0
    network.load_weights(mean.float_weights)
    for one, other, both in zip(*parts, network.get_weights(), strict=True):
        np.testing.assert_allclose(both, (one + other) / 2, atol=1e-6)
    assert load_recipe(mean.config).average_of == tuple(runs)
    assert ancestry(mean.root) == [Path(runs[1]), mean.root]
    assert average.main(["--run", *runs, "--to", str(mean.root)]) == 2, "a run is never written over"
    assert average.main(["--run", runs[0], "--to", str(tmp_path / "one")]) == 2


def test_one_run_alone_gets_batchnorm_statistics_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import keras

    from fer_train.commands import average
    from fer_train.data.dataset import load_dataset
    from fer_train.networks.batchnorm_statistics import reestimate_batchnorm
    from fer_train.runs import weights

    monkeypatch.setattr("fer_train.runs.network_of.build_network", small_network)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    source = write_folder(tmp_path / "faces", small_files(per_class=2))
    folder, renewed = RunFolder(tmp_path / "one"), RunFolder(tmp_path / "renewed")
    folder.root.mkdir()
    RECIPE.save(folder.config)
    keras.utils.set_random_seed(5)
    network = small_network(keras, SIZE)
    weights.save_weights(network, folder.float_weights)
    assert average.main(["--run", str(folder.root), "--to", str(renewed.root), "--data", str(source)]) == 0
    before = network.get_weights()
    network.load_weights(renewed.float_weights)
    after = network.get_weights()
    reestimate_batchnorm(network, load_dataset(source).split("train").images)
    changed = 0
    for old, new, wanted in zip(before, after, network.get_weights(), strict=True):
        np.testing.assert_allclose(new, wanted, atol=1e-6)
        changed += not np.array_equal(old, new)
    assert changed == 2, "the moving mean and variance of the one BatchNorm, and nothing else"
    assert " of 14 validation images" in capsys.readouterr().out


def test_batchnorm_statistics_are_those_of_plain_faces() -> None:
    import keras

    from fer_edge.errors import DataError
    from fer_edge.preprocess import resize_gray, to_float_input
    from fer_train.networks.batchnorm_statistics import reestimate_batchnorm

    keras.utils.set_random_seed(3)
    network = small_network(keras, SIZE)
    normalization = network.layers[2]
    normalization.trainable = False
    faces = training_data().images
    faces = np.maximum(faces, faces[:, :, ::-1])  # mirroring then changes nothing
    assert reestimate_batchnorm(network, faces, n_images=48, batch=16) == 48
    seen = np.random.default_rng(0).permutation(len(faces))[:48]
    x = to_float_input(np.stack([resize_gray(face, SIZE) for face in faces[seen]]))
    parts = [np.asarray(network.layers[1](x[i : i + 16])) for i in range(0, 48, 16)]
    _, _, mean, variance = normalization.get_weights()
    np.testing.assert_allclose(mean, np.mean([part.mean(axis=(0, 1, 2)) for part in parts], axis=0), atol=1e-5)
    np.testing.assert_allclose(variance, np.mean([part.var(axis=(0, 1, 2)) for part in parts], axis=0), rtol=1e-4)
    assert (normalization.momentum, normalization.trainable) == (0.9, False)
    with pytest.raises(DataError, match="need images"):
        reestimate_batchnorm(network, faces[:0])


def test_plain_augmentation_is_the_device_preprocessing() -> None:
    from fer_edge.preprocess import to_float_input
    from fer_train.inputs.augment import Augment

    faces = np.arange(256, dtype=np.uint8).repeat(4).reshape(1, 32, 32)
    np.testing.assert_array_equal(np.asarray(Augment(RECIPE)(faces)), to_float_input(faces))


def test_augmentation_changes_faces_within_the_input_range() -> None:
    from fer_train.inputs.augment import Augment

    faces = np.random.default_rng(0).integers(0, 256, (8, 32, 32), dtype=np.uint8)
    x = np.asarray(Augment(RECIPE)(faces, training=True))
    assert x.shape == (8, 32, 32, 3)
    assert x.min() >= -1.0
    assert x.max() <= 127 / 128
    np.testing.assert_array_equal(x[..., 0], x[..., 2])
    assert np.abs(x[0] - x[1]).mean() > 0.05
