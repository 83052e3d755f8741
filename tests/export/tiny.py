"""A network small enough to convert in seconds, with every operator of MobileNetV2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

TINY_SIZE = 32


@dataclass(frozen=True)
class Tiny:
    """A little network with every operator of MobileNetV2, trained for seconds on synthetic faces."""

    model: Any
    floating: bytes
    int8: bytes
    faces: npt.NDArray[np.uint8]


def tiny_keras_model() -> Any:
    import tf_keras
    from tf_keras import layers

    tf_keras.utils.set_random_seed(5)
    x = inputs = layers.Input((TINY_SIZE, TINY_SIZE, 3))
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(x)
    x = layers.ReLU(6.0)(layers.BatchNormalization(momentum=0.8)(x))
    x = layers.ZeroPadding2D(((0, 1), (0, 1)))(x)
    x = layers.DepthwiseConv2D(3, strides=2, padding="valid", use_bias=False)(x)
    x = layers.ReLU(6.0)(layers.BatchNormalization(momentum=0.8)(x))
    x = skip = layers.BatchNormalization(momentum=0.8)(layers.Conv2D(12, 1, use_bias=False)(x))
    x = layers.Conv2D(24, 1, use_bias=False)(x)
    x = layers.ReLU(6.0)(layers.BatchNormalization(momentum=0.8)(x))
    x = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x)
    x = layers.ReLU(6.0)(layers.BatchNormalization(momentum=0.8)(x))
    x = layers.BatchNormalization(momentum=0.8)(layers.Conv2D(12, 1, use_bias=False)(x))
    x = layers.Add()([x, skip])
    x = layers.Conv2D(32, 1, activation="relu")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return tf_keras.Model(inputs, layers.Dense(7, activation="softmax")(x))
