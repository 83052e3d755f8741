"""The average of several runs' float weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fer_train.runs.recipe import load_recipe
from fer_train.runs.run_folder import RunFolder

__all__ = ["average_runs"]


def average_runs(runs: Sequence[Path]) -> Any:
    """A Keras 3 network with the mean of the float weights of runs, BatchNorm statistics included.

    Args:
        runs: folders of runs with float weights.

    Returns:
        The network, with the input size of the last run.

    Raises:
        ModelError: weights are missing, or are those of another network.
    """
    import keras

    from fer_train.runs.network_of import network_of
    from fer_train.runs.trained import load_float_weights

    recipe = load_recipe(RunFolder(runs[-1]).config)
    network = network_of(recipe, keras)
    total: list[Any] = []
    for run in runs:
        load_float_weights(run, network)
        weights = [np.asarray(value, np.float64) for value in network.get_weights()]
        total = [own + other for own, other in zip(total, weights, strict=True)] if total else weights
    network.set_weights([(value / len(runs)).astype(np.float32) for value in total])
    return network
