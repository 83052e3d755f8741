"""The average of the weights: unbiased from the first step, and never saved where the plain weights are better."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.train.networks import RECIPE, drawn_training_data
from tests.train.test_stages import small_network

from fer_edge.labels import EMOTIONS
from fer_train.evaluation.evaluate import Evaluation
from fer_train.inputs.targets import hard_targets
from fer_train.runs.recipe import Recipe
from fer_train.runs.run_folder import RunFolder
from fer_train.training import keras_optimizer
from fer_train.training.judging import Judged
from fer_train.training.weight_average import average_decay

pytest.importorskip("keras", reason="the [train] extra is not installed")

DEFAULT_DECAY = Recipe().ema_decay
STEPS = 100


def float_stage(folder: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> Any:
    """One epoch of a hundred steps, with the default averaging."""
    from fer_train.training import float_stage as fit

    monkeypatch.setattr("fer_train.runs.network_of.build_network", small_network)
    recipe = dataclasses.replace(
        RECIPE, epochs=1, head_epochs=0, batch_size=2, ema_decay=DEFAULT_DECAY, warmup_epochs=0.0, **changes
    )
    data = drawn_training_data(30, 4)
    data = dataclasses.replace(
        data,
        images=data.images[: 2 * STEPS],
        labels=data.labels[: 2 * STEPS],
        targets=data.targets[: 2 * STEPS],
        weights=data.weights[: 2 * STEPS],
    )
    folder.mkdir(exist_ok=True)
    return fit.FloatStage(recipe, data, RunFolder(folder))


def test_the_memory_grows_with_the_steps_up_to_the_decay() -> None:
    assert [average_decay(step, 0.998) for step in (0, 1, 8, 80)] == pytest.approx([0.0, 2 / 11, 0.5, 0.9])
    assert average_decay(10**6, 0.998) == 0.998
    assert average_decay(10**6, 0.0) == 0.0


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_keras_averages_by_that_decay(name: str) -> None:
    import keras

    from fer_train.training.optimizer import make_optimizer

    optimizer = make_optimizer(Recipe(optimizer=name, schedule="constant"), 0.01, STEPS, 0)
    weight = keras.Variable(np.array([1.0, -2.0], np.float32), name="bias")
    optimizer.build([weight])
    expected = np.zeros(2)
    for step in range(STEPS):
        optimizer.apply([keras.ops.convert_to_tensor(np.array([1.0, -0.5], np.float32))])
        plain = keras.ops.convert_to_numpy(weight)
        expected = plain + average_decay(step, DEFAULT_DECAY) * (expected - plain)
    average = keras.ops.convert_to_numpy(keras_optimizer.averages(optimizer)[0])
    np.testing.assert_allclose(average, expected, rtol=1e-4)


@pytest.mark.slow
def test_after_a_hundred_steps_the_average_has_learnt_what_the_network_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With Keras' own average most of it would still be the untrained network."""
    stage = float_stage(tmp_path / "run", monkeypatch)
    to_numpy = _to_numpy()
    before = [np.array(to_numpy(variable)) for variable in stage.trainer.trainable_variables]
    stage.run(resume=False)
    assert int(to_numpy(stage.trainer.optimizer.iterations)) == STEPS
    plain = [np.array(to_numpy(variable)) for variable in stage.trainer.trainable_variables]
    averages = [np.array(to_numpy(each)) for each in keras_optimizer.averages(stage.trainer.optimizer)]
    way = np.sqrt(sum(np.square(end - start).sum() for end, start in zip(plain, before, strict=True)))
    left = np.sqrt(sum(np.square(end - mean).sum() for end, mean in zip(plain, averages, strict=True)))
    assert left < 0.25 * way


@pytest.mark.slow
@pytest.mark.parametrize(("plain_right", "average_right"), [(6, 5), (5, 6)])
def test_the_better_of_plain_and_averaged_weights_is_saved(
    plain_right: int, average_right: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = float_stage(tmp_path / "run", monkeypatch)
    to_numpy = _to_numpy()
    judged: list[list[Any]] = []

    def judge() -> Judged:
        judged.append([np.array(to_numpy(variable)) for variable in stage.network.trainable_variables])
        right = (plain_right, average_right)[len(judged) - 1]
        labels = np.arange(len(EMOTIONS))
        said = np.where(labels < right, labels, (labels + 1) % len(EMOTIONS))
        return Judged(Evaluation("validation", hard_targets(said, 0.1), labels))

    monkeypatch.setattr(stage, "judge", judge)
    stage.run(resume=False)
    plain, averaged = judged
    assert any(np.abs(one - other).max() > 1e-6 for one, other in zip(plain, averaged, strict=True))
    assert stage.history[0].val_accuracy == pytest.approx(6 / 7)
    for kept, variable in zip(plain, stage.network.trainable_variables, strict=True):
        np.testing.assert_array_equal(to_numpy(variable), kept)  # training goes on with the plain weights
    saved = [np.array(to_numpy(variable)) for variable in stage.finish().trainable_variables]
    for value, kept in zip(saved, plain if plain_right > average_right else averaged, strict=True):
        np.testing.assert_array_equal(value, kept)


def _to_numpy() -> Any:
    import keras

    return keras.ops.convert_to_numpy
