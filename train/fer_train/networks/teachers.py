"""Convolutional networks that teach: larger than a device can run, trained from scratch, never quantised or exported.

Both halve the picture in their first convolution, so that for 96-pixel input (FER-2013's 48 pixels twice over) their
work begins at 48x48. Where a GPU is at hand they learn FER-2013 in minutes.
"""

from __future__ import annotations

from typing import Any, Final

_WIDTHS: Final[tuple[int, ...]] = (64, 128, 256, 512)
_VGG_DEPTHS: Final[tuple[int, ...]] = (2, 2, 3, 3)
_RESNET_BLOCKS: Final[int] = 2
_CONVNEXT_DEPTHS: Final[tuple[int, ...]] = (2, 2, 4, 2)


def vgg_features(keras: Any, inputs: Any) -> Any:
    """The convolutions of a VGG (Simonyan and Zisserman 2015) with BatchNorm: 11 layers, 7.7 M parameters.

    ``inputs`` ``(N, S, S, 3)`` to features ``(N, S / 16, S / 16, 512)``.
    """
    x = _unit(keras, inputs, _WIDTHS[0], "stem", stride=2)
    for stage, (width, depth) in enumerate(zip(_WIDTHS, _VGG_DEPTHS, strict=True)):
        if stage:
            x = keras.layers.MaxPooling2D(2, name=f"pool_{stage}")(x)
        for layer in range(depth):
            x = _unit(keras, x, width, f"stage_{stage}_{layer}")
    return x


def resnet_features(keras: Any, inputs: Any) -> Any:
    """The convolutions of ResNet-18 (He et al. 2016, table 1) with a small stem: 11.2 M parameters.

    ``inputs`` ``(N, S, S, 3)`` to features ``(N, S / 16, S / 16, 512)``.
    """
    x = _unit(keras, inputs, _WIDTHS[0], "stem", stride=2)
    for stage, width in enumerate(_WIDTHS):
        for block in range(_RESNET_BLOCKS):
            name, stride = f"stage_{stage}_{block}", 2 if stage and not block else 1
            y = _unit(keras, x, width, f"{name}_a", stride=stride)
            y = _unit(keras, y, width, f"{name}_b", relu=False)
            if stride == 2:
                x = _unit(keras, x, width, f"{name}_shortcut", side=1, stride=2, relu=False)
            x = keras.layers.ReLU(name=f"{name}_relu")(keras.layers.Add(name=f"{name}_add")([x, y]))
    return x


def convnext_features(keras: Any, inputs: Any) -> Any:
    """Blocks as ConvNeXt's (Liu et al. 2022, section 2): 7x7 depthwise, then four times as many channels and back.

    BatchNorm and ReLU stand for LayerNorm and GELU, as in everything that our fused operations compute. 7.5 M
    parameters. ``inputs`` ``(N, S, S, 3)`` to features ``(N, S / 16, S / 16, 512)``.
    """
    x = _unit(keras, inputs, _WIDTHS[0], "stem", side=2, stride=2, relu=False)
    for stage, (width, depth) in enumerate(zip(_WIDTHS, _CONVNEXT_DEPTHS, strict=True)):
        if stage:
            x = _unit(keras, x, width, f"down_{stage}", side=2, stride=2, relu=False)
        for block in range(depth):
            name = f"stage_{stage}_{block}"
            y = keras.layers.DepthwiseConv2D(
                7, padding="same", use_bias=False, depthwise_initializer="he_normal", name=f"{name}_depthwise"
            )(x)
            y = keras.layers.BatchNormalization(name=f"{name}_depthwise_BN")(y)
            y = _unit(keras, y, 4 * width, f"{name}_wide", side=1)
            y = _unit(keras, y, width, f"{name}_back", side=1, relu=False)
            x = keras.layers.Add(name=f"{name}_add")([x, y])
    return x


def _unit(keras: Any, x: Any, width: int, name: str, *, side: int = 3, stride: int = 1, relu: bool = True) -> Any:
    """Convolution, BatchNorm and, unless something is added first, ReLU."""
    x = keras.layers.Conv2D(
        width,
        side,
        strides=stride,
        padding="same" if side == 3 else "valid",
        use_bias=False,
        kernel_initializer="he_normal",
        name=name,
    )(x)
    x = keras.layers.BatchNormalization(name=f"{name}_BN")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x) if relu else x
