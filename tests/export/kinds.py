"""Small untrained networks of every kind of layer that people bring."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Layers = Callable[[Any, Any], Any]


def squeeze(k: Any, x: Any, *, convolutions: bool = False) -> Any:
    if convolutions:
        gate = k.layers.GlobalAveragePooling2D(keepdims=True)(x)
        gate = k.layers.Conv2D(8, 1, activation="sigmoid")(k.layers.Conv2D(4, 1, activation="relu")(gate))
        return k.layers.Multiply()([x, gate])
    gate = k.layers.GlobalAveragePooling2D()(x)
    gate = k.layers.Dense(4, activation="relu")(k.layers.Reshape((1, 1, 8))(gate))
    return k.layers.Multiply()([x, k.layers.Dense(8, activation="sigmoid")(gate)])


def hard_swish(k: Any, x: Any) -> Any:
    return k.layers.Multiply()([x, k.layers.ReLU(6.0)(x + 3.0) * (1.0 / 6.0)])


def conv_valid(k: Any, x: Any) -> Any:
    return k.layers.Conv2D(8, 3)(x)


def conv(k: Any, x: Any) -> Any:
    return k.layers.Conv2D(8, 3, padding="same")(x)


WRITTEN: dict[str, Layers] = {
    "convolution, strided": lambda k, x: k.layers.Conv2D(8, 3, strides=2, padding="same")(x),
    "convolution, dilated": lambda k, x: k.layers.Conv2D(8, 3, dilation_rate=2)(x),
    "convolution with groups": lambda k, x: k.layers.Conv2D(8, 3, groups=4)(x),
    "depthwise convolution": lambda k, x: k.layers.DepthwiseConv2D(3, depth_multiplier=2)(x),
    "separable convolution": lambda k, x: k.layers.SeparableConv2D(8, 3, depth_multiplier=2, padding="same")(x),
    "zero padding before a convolution": lambda k, x: conv_valid(k, k.layers.ZeroPadding2D(1)(x)),
    "batch normalisation": lambda k, x: k.layers.BatchNormalization()(conv(k, x)),
    "dropout": lambda k, x: k.layers.SpatialDropout2D(0.2)(k.layers.Dropout(0.2)(x)),
    "max pooling": lambda k, x: k.layers.MaxPooling2D()(x),
    "average pooling": lambda k, x: k.layers.AveragePooling2D(3, 2, padding="same")(x),
    "global average pooling": lambda k, x: k.layers.GlobalAveragePooling2D()(x),
    "global max pooling": lambda k, x: k.layers.GlobalMaxPooling2D()(x),
    "flatten": lambda k, x: k.layers.Flatten()(k.layers.MaxPooling2D(3)(x)),
    "dense": lambda k, x: k.layers.Dense(8, activation="relu")(k.layers.GlobalAveragePooling2D()(x)),
    "concatenate": lambda k, x: k.layers.Concatenate()([x, k.layers.Conv2D(4, 3, padding="same")(x)]),
    "add": lambda k, x: k.layers.Add()([x, conv(k, x)]),
    "multiply": lambda k, x: k.layers.Multiply()([x, conv(k, x)]),
    "average": lambda k, x: k.layers.Average()([x, conv(k, x)]),
    "subtract": lambda k, x: k.layers.Subtract()([x, conv(k, x)]),
    "cropping": lambda k, x: k.layers.Cropping2D(1)(x),
    "ReLU": lambda k, x: k.layers.ReLU()(conv(k, x)),
    "ReLU6": lambda k, x: k.layers.ReLU(6.0)(conv(k, x)),
    "LeakyReLU": lambda k, x: k.layers.LeakyReLU(0.1)(conv(k, x)),
    "swish": lambda k, x: k.layers.Activation("swish")(conv(k, x)),
    "hard swish": lambda k, x: hard_swish(k, conv(k, x)),
    "sigmoid": lambda k, x: k.layers.Activation("sigmoid")(conv(k, x)),
    "hard sigmoid": lambda k, x: k.layers.Activation("hard_sigmoid")(conv(k, x)),
    "tanh": lambda k, x: k.layers.Activation("tanh")(conv(k, x)),
    "squeeze and excitation by 1x1 convolutions": lambda k, x: squeeze(k, x, convolutions=True),
}
"""Kinds whose INT8 ONNX file our writer makes."""
QUANTISED_BY_RUNTIME: dict[str, Layers] = {
    "squeeze and excitation by dense layers": squeeze,
    "dense on pixels": lambda k, x: k.layers.Dense(6, activation="relu")(x),
    "zero padding before pooling": lambda k, x: k.layers.MaxPooling2D(3, 2)(k.layers.ZeroPadding2D(1)(x)),
    "ELU": lambda k, x: k.layers.ELU()(conv(k, x)),
    "SELU": lambda k, x: k.layers.Activation("selu")(conv(k, x)),
    "GELU": lambda k, x: k.layers.Activation("gelu")(conv(k, x)),
    "mish": lambda k, x: k.layers.Activation("mish")(conv(k, x)),
    "softplus": lambda k, x: k.layers.Activation("softplus")(conv(k, x)),
    "PReLU": lambda k, x: k.layers.PReLU()(conv(k, x)),
    "ReLU with a threshold": lambda k, x: k.layers.ReLU(max_value=2.0, threshold=0.5)(conv(k, x)),
    "transposed convolution": lambda k, x: k.layers.Conv2DTranspose(8, 3, strides=2, padding="same")(x),
    "up-sampling": lambda k, x: k.layers.UpSampling2D()(x),
    "layer normalisation": lambda k, x: k.layers.LayerNormalization()(conv(k, x)),
    "group normalisation": lambda k, x: k.layers.GroupNormalization(4)(conv(k, x)),
    "maximum": lambda k, x: k.layers.Maximum()([x, conv(k, x)]),
    "permute": lambda k, x: k.layers.Permute((2, 1, 3))(x),
}
"""Kinds whose INT8 ONNX file ONNX Runtime's quantiser makes."""
KINDS = WRITTEN | QUANTISED_BY_RUNTIME


BEFORE: dict[str, Layers] = {
    "rescaling": lambda k, x: k.layers.Rescaling(1 / 127.5, -1)(x),
    "normalization": lambda k, x: k.layers.Normalization(mean=[128.0] * 3, variance=[3600.0] * 3)(x),
    "preprocess_input": lambda k, x: k.applications.mobilenet_v2.preprocess_input(x),
    "arithmetic": lambda k, x: x / 127.5 - 1.0,
    "preprocess_input, BGR": lambda k, x: k.applications.vgg16.preprocess_input(x),
}


def network(k: Any, layers: Layers, before: Layers | None = None, channels: int = 3) -> Any:
    k.utils.set_random_seed(4)
    inputs = k.layers.Input((24, 24, channels))
    x = before(k, inputs) if before else inputs
    x = layers(k, k.layers.Conv2D(8, 3, strides=2, activation="relu")(x))
    if len(x.shape) == 4:
        x = k.layers.GlobalAveragePooling2D()(x)
    strong = k.initializers.RandomNormal(stddev=2.0)
    return k.Model(inputs, k.layers.Dense(7, activation="softmax", kernel_initializer=strong)(x))
