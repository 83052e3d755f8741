"""Small networks for the tests of training, and the little that they learn from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fer_train.inputs.targets import class_weights, hard_targets
from fer_train.runs.recipe import Recipe
from fer_train.runs.run_folder import RunFolder
from fer_train.synthetic.faces import synthetic_split


def first_blocks(keras: Any, input_size: int, **options: Any) -> Any:
    """The network up to its first residual addition, then the head: every kind of layer, in a fraction of the time."""
    from fer_train.networks.build import OUTPUT_NAME, build_network

    whole = build_network(keras, input_size, **options)
    features = keras.layers.GlobalAveragePooling2D()(whole.get_layer("block_2_add").output)
    if options.get("dropout"):
        features = keras.layers.Dropout(options["dropout"])(features)
    return keras.Model(whole.inputs, keras.layers.Dense(7, activation="softmax", name=OUTPUT_NAME)(features))


def use_first_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Students and live teachers become :func:`first_blocks`."""
    monkeypatch.setattr("fer_train.runs.network_of.build_network", first_blocks)


def run_with_weights(root: Path, recipe: Recipe, seed: int) -> Path:
    """What a finished run leaves: random weights of :func:`first_blocks`, and one opinion."""
    import keras

    from fer_train.runs.weights import save_weights

    root.mkdir()
    keras.utils.set_random_seed(seed)
    network = first_blocks(keras, recipe.input_size)
    kernel, bias = network.layers[-1].get_weights()
    network.layers[-1].set_weights([kernel, bias + np.linspace(0.0, 2.0, len(bias))])
    save_weights(network, RunFolder(root).float_weights)
    recipe.save(RunFolder(root).config)
    return root


def drawn_training_data(each: int, validation_each: int, class_weighting: float = 0.0) -> Any:
    """``TrainingData`` of so many synthetic faces of every class."""
    from fer_train.inputs.training_data import TrainingData

    train = synthetic_split(each, seed=1, name="train")
    validation = synthetic_split(validation_each, seed=2)
    return TrainingData(
        train.images,
        train.labels,
        hard_targets(train.labels, 0.1),
        class_weights(train.labels, class_weighting),
        validation.images,
        validation.labels,
    )


SIZE = 32
RECIPE = Recipe(
    input_size=SIZE,
    backbone=None,
    epochs=3,
    head_epochs=1,
    batch_size=16,
    precision="float32",
    ema_decay=0.9,
    erase=0.3,
    qat_epochs=1,
    calibration_images=28,
)
"""Of both stages, in seconds."""


def training_data() -> Any:
    """Faces for :data:`RECIPE`."""
    return drawn_training_data(8, 3, class_weighting=0.5)
