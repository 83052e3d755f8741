"""What is read from inside Keras' optimizers is there, is what it is taken for, and is read in one place only."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fer_edge.errors import MissingDependencyError
from fer_train.training import keras_optimizer

keras = pytest.importorskip("keras")
ROOT = Path(__file__).parents[2]
RATE, BETA_1, BETA_2, DECAY = 0.5, 0.9, 0.999, 0.1
START, GRADIENT = np.array([1.0, -2.0], np.float32), np.array([0.25, 4.0], np.float32)


def built(rate: Any = RATE, *, use_ema: bool = True) -> tuple[Any, list[Any]]:
    variables = [keras.Variable(START, name="kernel"), keras.Variable(START, name="bias")]
    optimizer = keras.optimizers.AdamW(
        rate, beta_1=BETA_1, beta_2=BETA_2, weight_decay=DECAY, use_ema=use_ema, ema_momentum=0.75
    )
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    optimizer.build(variables)
    return optimizer, variables


def numpy_of(value: Any) -> Any:
    return keras.ops.convert_to_numpy(value)


@pytest.mark.parametrize("name", keras_optimizer.PRIVATE_NAMES)
def test_this_keras_has_the_attribute(name: str) -> None:
    assert name.startswith("_")
    assert hasattr(built()[0], name)


def test_moments_averages_and_decay_are_those_of_the_step() -> None:
    optimizer, variables = built()
    assert [id(each) for each in keras_optimizer.trained_variables(optimizer)] == [id(each) for each in variables]
    assert [keras_optimizer.is_decayed(optimizer, each) for each in variables] == [True, False]
    gradients = [keras.ops.convert_to_tensor(GRADIENT) for _ in variables]
    optimizer.apply(gradients)
    after_one = [numpy_of(each).copy() for each in variables]
    for first, second in keras_optimizer.moments(optimizer):
        np.testing.assert_allclose(numpy_of(first), (1 - BETA_1) * GRADIENT, rtol=1e-5)
        np.testing.assert_allclose(numpy_of(second), (1 - BETA_2) * GRADIENT**2, rtol=1e-4)
    # The first step of Adam is the rate times the gradient's sign; decay comes on top where it takes hold.
    np.testing.assert_allclose(after_one[1], START - RATE * np.sign(GRADIENT), rtol=1e-4)
    np.testing.assert_allclose(after_one[0] - after_one[1], -RATE * DECAY * START, rtol=1e-4)
    optimizer.apply(gradients)
    for average, variable, one in zip(keras_optimizer.averages(optimizer), variables, after_one, strict=True):
        np.testing.assert_allclose(numpy_of(average), 0.75 * one + 0.25 * numpy_of(variable), rtol=1e-5)


def test_another_rule_moves_the_averages() -> None:
    optimizer, variables = built()
    steps: list[int] = []

    def update(trained: list[Any]) -> None:
        steps.append(int(numpy_of(optimizer.iterations)))
        for average, variable in zip(keras_optimizer.averages(optimizer), trained, strict=True):
            average.assign(2.0 * variable)

    keras_optimizer.average_by(optimizer, update)
    for _ in range(2):
        optimizer.apply([keras.ops.convert_to_tensor(GRADIENT) for _ in variables])
    assert steps == [0, 1]
    for average, variable in zip(keras_optimizer.averages(optimizer), variables, strict=True):
        np.testing.assert_allclose(numpy_of(average), 2.0 * numpy_of(variable))


def test_without_averaging_there_are_no_averages() -> None:
    assert keras_optimizer.averages(built(use_ema=False)[0]) == []


def test_rate_of_a_schedule_and_of_a_constant() -> None:
    schedule = keras.optimizers.schedules.CosineDecay(1.0, 10)
    optimizer, _ = built(schedule)
    assert keras_optimizer.rate_at(optimizer, 0) == pytest.approx(1.0)
    assert keras_optimizer.rate_at(optimizer, 5) == pytest.approx(0.5)
    assert keras_optimizer.rate_at(built()[0], 5) == pytest.approx(RATE)


def test_another_keras_is_refused_in_words() -> None:
    optimizer, variables = built()
    with pytest.raises(MissingDependencyError, match=r"has no _momentums; pip install \"keras>=3.9,<"):
        keras_optimizer.moments(SimpleNamespace(_trainable_variables=variables))
    optimizer._velocities = optimizer._velocities[:1]
    with pytest.raises(MissingDependencyError, match="_velocities of its AdamW does not match"):
        keras_optimizer.moments(optimizer)


def test_no_other_module_reaches_into_an_optimizer() -> None:
    inside = re.compile(rf"\boptimizer\._|\.({'|'.join(keras_optimizer.PRIVATE_NAMES)})\b")
    files = {path for path in (ROOT / "train").rglob("*.py") if inside.search(path.read_text(encoding="utf-8"))}
    assert not {path.name for path in files}


def test_the_upper_bound_is_the_one_of_the_package() -> None:
    assert f'"{keras_optimizer.VERSIONS}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
