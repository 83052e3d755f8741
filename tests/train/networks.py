"""Small networks for the tests of training."""

from __future__ import annotations

from typing import Any


def first_blocks(keras: Any, input_size: int, **options: Any) -> Any:
    """The network up to its first residual addition, then the head: every kind of layer, in a fraction of the time."""
    from fer_train.model import OUTPUT_NAME, build_network

    whole = build_network(keras, input_size, **options)
    features = keras.layers.GlobalAveragePooling2D()(whole.get_layer("block_2_add").output)
    if options.get("dropout"):
        features = keras.layers.Dropout(options["dropout"])(features)
    return keras.Model(whole.inputs, keras.layers.Dense(7, activation="softmax", name=OUTPUT_NAME)(features))
