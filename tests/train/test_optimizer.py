"""Learning-rate schedules and optimizers of the float stage, against their formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fer_edge.errors import UsageError
from fer_train.commands.recipe import recipe_from
from fer_train.commands.train import build_parser
from fer_train.runs.recipe import Recipe

STEPS, WARMUP, PEAK = 100, 20, 0.4


def rates(config: Recipe, at: list[int]) -> list[float]:
    from fer_train.training.optimizer import make_optimizer

    optimizer = make_optimizer(config, PEAK, STEPS, WARMUP)
    found = []
    for step in at:
        optimizer.iterations.assign(step)
        found.append(float(np.asarray(optimizer.learning_rate)))
    return found


def test_cosine_rises_to_its_peak_and_falls_to_a_hundredth() -> None:
    pytest.importorskip("keras")
    found = rates(Recipe(), [0, 10, WARMUP, 60, STEPS])
    # Linear from peak / 20; half-way down the cosine is the mean of peak and peak / 100.
    assert found == pytest.approx([PEAK / 20, PEAK * 10.5 / 20, PEAK, PEAK * 1.01 / 2, PEAK / 100], rel=1e-5)
    third = PEAK * (0.99 * (1 + math.cos(math.pi / 4)) / 2 + 0.01)
    assert rates(Recipe(), [40]) == pytest.approx([third], rel=1e-5)


def test_constant_stays_at_its_peak() -> None:
    pytest.importorskip("keras")
    assert rates(Recipe(schedule="constant"), [WARMUP, 60, STEPS]) == pytest.approx([PEAK] * 3)


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_one_step_goes_downhill_and_decays_kernels_only(name: str) -> None:
    keras = pytest.importorskip("keras")
    from fer_train.training.optimizer import make_optimizer

    config = Recipe(optimizer=name, weight_decay=0.5, warmup_epochs=0)
    kernel = keras.Variable(np.array([2.0, 2.0], np.float32), name="kernel")
    bias = keras.Variable(np.array([2.0, 2.0], np.float32), name="bias")
    optimizer = make_optimizer(config, 0.1, STEPS, 0)
    optimizer.build([kernel, bias])
    gradient = np.array([0.0, 1.0], np.float32)
    optimizer.apply([keras.ops.convert_to_tensor(gradient)] * 2)
    decayed = 2.0 - 2.0 * 0.1 * 0.5
    assert float(kernel[0]) == pytest.approx(decayed, rel=1e-4)
    assert float(bias[0]) == pytest.approx(2.0)
    # AdamW's first step is the rate itself; with Nesterov momentum 0.9 it is 1.9 times the rate.
    step = {"adamw": 0.1, "sgd": 0.19}[name]
    assert float(bias[1]) == pytest.approx(2.0 - step, rel=1e-4)
    assert float(kernel[1]) == pytest.approx(decayed - step, rel=1e-4)


def test_options_reach_the_recipe_and_typos_do_not() -> None:
    config = recipe_from(
        vars(build_parser().parse_args(["--run", "r", "--optimizer", "sgd", "--schedule", "constant"]))
    )
    assert (config.optimizer, config.schedule) == ("sgd", "constant")
    with pytest.raises(UsageError, match="adam"):
        build_parser().parse_args(["--run", "r", "--optimizer", "adam"])
