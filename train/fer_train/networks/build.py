"""MobileNetV2 with a seven-class head, built alike in Keras 3 (float stage) and tf_keras (QAT stage)."""

from __future__ import annotations

import re
import socket
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fer_edge.errors import ModelError, UsageError
from fer_edge.labels import NUM_EMOTIONS
from fer_train.logs import LOG
from fer_train.networks.teachers import convnext_features, resnet_features, vgg_features

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = [
    "DEFAULT_BN_MOMENTUM",
    "IMAGENET_WIDTHS",
    "INPUT_NAME",
    "INPUT_SIZES",
    "LAST_CHANNELS",
    "NETWORKS",
    "NUM_BLOCKS",
    "OUTPUT_NAME",
    "STALL_S",
    "STUDENT",
    "block_of",
    "build_network",
    "copy_weights",
    "set_trainable_blocks",
]

INPUT_SIZES: Final[tuple[int, ...]] = (64, 96, 128, 160, 192, 224)
NUM_BLOCKS: Final[int] = 17
"""Inverted residual blocks of MobileNetV2 (Sandler et al. 2018, table 2)."""
NETWORKS: Final[tuple[str, ...]] = ("mobilenetv2", "vgg", "resnet", "convnext")
"""The one for devices, and three that only teach it (:mod:`fer_train.networks.teachers`)."""
STUDENT: Final[str] = NETWORKS[0]
IMAGENET_WIDTHS: Final[tuple[float, ...]] = (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)
"""Widths of MobileNetV2 of which Keras has ImageNet weights."""
LAST_CHANNELS: Final[int] = 1280
"""Of the convolution before pooling, at widths up to 1 (Sandler et al. 2018, table 2)."""
INPUT_NAME: Final[str] = "face"
OUTPUT_NAME: Final[str] = "emotion"
STALL_S: Final[float] = 20.0
"""Longest wait for a piece of the ImageNet weights (9 MB, from Google's storage)."""
DEFAULT_BN_MOMENTUM: Final[float] = 0.95
"""Keras builds MobileNetV2 with 0.999: with FER-2013's few hundred steps per epoch, its statistics lag for epochs."""


def build_network(
    keras: Any,
    input_size: int,
    *,
    network: str = STUDENT,
    width: float = 1.0,
    last_channels: int = LAST_CHANNELS,
    backbone: str | None = None,
    dropout: float = 0.2,
    bn_momentum: float = DEFAULT_BN_MOMENTUM,
) -> Any:
    """A network with global average pooling, dropout and a dense softmax over the seven emotions.

    Args:
        keras: the module to build with, ``keras`` (3) or ``tf_keras``.
        input_size: side of the square input in pixels, a multiple of 32.
        network: one of :data:`NETWORKS`.
        width: factor of the channels of MobileNetV2's blocks, above 0; the results are multiples of 8.
        last_channels: of MobileNetV2's convolution before pooling, at least 1.
        backbone: ``"imagenet"`` (downloaded by Keras), the path of a weights file without top, or None (random);
            networks that teach have none.
        dropout: share that is dropped before the dense layer, 0 to 1.
        bn_momentum: of the BatchNorm statistics, 0 to 1.

    Returns:
        A flat model (tfmot refuses nested ones): input ``(None, S, S, 3)`` float32 in [-1, 127/128], output ``(None,
            7)`` float32 probabilities.

    Raises:
        UsageError: the size is not a multiple of 32.
        ModelError: the weights do not load.
    """
    if input_size % 32 or input_size < 32:
        raise UsageError(f"input size {input_size} does not work; expected a multiple of 32, such as {INPUT_SIZES}")
    if backbone not in (None, "imagenet") and not Path(str(backbone)).is_file():
        raise ModelError(f"no backbone weights at {backbone}; give a file, 'imagenet' or 'none'")
    inputs = keras.layers.Input((input_size, input_size, 3), name=INPUT_NAME)
    if network == "vgg":
        features = vgg_features(keras, inputs)
    elif network == "resnet":
        features = resnet_features(keras, inputs)
    elif network == "convnext":
        features = convnext_features(keras, inputs)
    else:
        features = _mobilenet_features(keras, inputs, width, last_channels, backbone)
    features = keras.layers.GlobalAveragePooling2D(name="pool")(features)
    if dropout:
        features = keras.layers.Dropout(dropout, name="dropout")(features)
    # float32 also under a mixed-precision policy: probabilities in bfloat16 have three digits.
    outputs = keras.layers.Dense(NUM_EMOTIONS, activation="softmax", name=OUTPUT_NAME, dtype="float32")(features)
    model = keras.Model(inputs, outputs, name=f"fer_{network}")
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = bn_momentum
    return model


def _mobilenet_features(keras: Any, inputs: Any, width: float, last_channels: int, backbone: str | None) -> Any:
    body = _mobilenet(keras, inputs, width, backbone)
    if int(body.output.shape[-1]) == last_channels:
        return body.output
    # Keras has no option for it. Same names, so that blocks, equalisation and weights are told alike.
    x = body.get_layer(f"block_{NUM_BLOCKS - 1}_project_BN").output
    x = keras.layers.Conv2D(last_channels, 1, use_bias=False, name="Conv_1")(x)
    x = keras.layers.BatchNormalization(epsilon=1e-3, name="Conv_1_bn")(x)
    return keras.layers.ReLU(6.0, name="out_relu")(x)


def _mobilenet(keras: Any, inputs: Any, width: float, backbone: str | None) -> Any:
    size = int(inputs.shape[1])
    LOG.debug(f"backbone weights: {backbone or 'none, random'}")
    waited_s = socket.getdefaulttimeout()
    try:
        socket.setdefaulttimeout(STALL_S)  # Keras would wait for ever for a server that does not answer
        with warnings.catch_warnings():
            # That weights for 224 pixels are loaded at other sizes: there are none of our smallest, and these serve.
            warnings.filterwarnings("ignore", message=".*input_shape.* is undefined or non-square")
            return keras.applications.MobileNetV2(
                input_shape=(size, size, 3), alpha=width, include_top=False, weights=backbone, input_tensor=inputs
            )
    except Exception as error:  # Keras raises a bare Exception where it cannot download
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        if backbone == "imagenet":
            raise ModelError(
                f"the ImageNet weights cannot be downloaded ({reason}); get that file on another machine and "
                "give the weights with --backbone FILE, or train from scratch with --backbone none"
            ) from error
        if not isinstance(error, OSError | ValueError | KeyError):
            raise
        raise ModelError(
            f"backbone weights {backbone} cannot be loaded ({reason}); expected MobileNetV2 1.0 weights without top, "
            "as keras.applications saves them"
        ) from error
    finally:
        socket.setdefaulttimeout(waited_s)


def block_of(layer_name: str) -> int:
    """Which block of MobileNetV2 a layer belongs to.

    Args:
        layer_name: Keras' name of the layer.

    Returns:
        0 for the stem, 1 to 16 for the blocks of that number, 17 for what follows them.
    """
    match = re.match(r"block_(\d+)_", layer_name)
    if match:
        return int(match.group(1))
    if layer_name.startswith(("Conv1", "bn_Conv1", "expanded_conv", INPUT_NAME)):
        return 0
    return NUM_BLOCKS


def set_trainable_blocks(model: Any, blocks: int, *, freeze_batchnorm: bool = False) -> None:
    """Let the head and the last of the 17 blocks learn, and freeze the rest.

    A frozen BatchNorm keeps its statistics, too.

    Args:
        model: a network of :func:`build_network`, changed in place.
        blocks: 0 freezes all but the dense layer, 17 frees everything.
        freeze_batchnorm: every BatchNorm stays as it is, in the free blocks too.
    """
    for layer in model.layers:
        if layer.name == OUTPUT_NAME or blocks >= NUM_BLOCKS:
            layer.trainable = True
        else:
            layer.trainable = blocks > 0 and block_of(layer.name) > NUM_BLOCKS - 1 - blocks
        if freeze_batchnorm and type(layer).__name__ == "BatchNormalization":
            layer.trainable = False


def copy_weights(source: Any, target: Any) -> None:
    """Give ``target`` the weights of ``source``, also across Keras 3 and tf_keras.

    Args:
        source: a network.
        target: the same network, perhaps in the other Keras.

    Raises:
        ModelError: the two are not the same network.
    """
    values: list[npt.NDArray[np.float32]] = source.get_weights()
    expected = [tuple(w.shape) for w in target.get_weights()]
    if [value.shape for value in values] != expected:
        raise ModelError("the weights belong to another network (shapes differ)")
    target.set_weights(values)
