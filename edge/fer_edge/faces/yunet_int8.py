"""YuNet with 8-bit weights and activations, for half of the float form's time and the same faces.

Quantisation follows the TFLite specification (https://ai.google.dev/edge/litert/models/quantization_spec): activations
int8 with one scale for a tensor, weights int8 with one for each channel, biases int32. What makes it as good as float:

* a pointwise convolution has no activation of its own, so each of its channels can be scaled to [-1, 1], and the
  depthwise convolution after it undoes that: no channel wastes steps on the range of another;
* class and object logits reach -39 where box and landmark values stay within a few cells. Each output channel maps a
  fixed range (:data:`fer_edge.faces.yunet_forms.HEAD_RANGES`) to the 256 steps, and saturates beyond, where no face is;
* a pixel is its own int8 value plus 128, exactly.

Ranges of activations are data (``yunet_int8_ranges.json``, measured by ``export/yunet_ranges.py``) and belong to the
weights that they were measured with: other weights are refused, so that the float form is taken for them.

Everything here is exact or rounded element by element, so the file is the same on every processor.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fer_edge.arrays import FloatArray
from fer_edge.errors import ModelError
from fer_edge.faces.yunet_forms import HEAD_RANGES, INT8_FORMAT, STRIDES
from fer_edge.faces.yunet_tflite import Network
from fer_edge.faces.yunet_weights import Pair, YuNetWeights

__all__ = ["RANGES_FILE", "Ranges", "read_ranges", "weights_digest", "write_yunet_int8"]

RANGES_FILE: Final[Path] = Path(__file__).with_name("yunet_int8_ranges.json")
_ZERO_POINT: Final[int] = -128
_STEPS: Final[int] = 255


@dataclass(frozen=True)
class Ranges:
    """What activations reach."""

    weights_sha256: str
    """Of the weights (:func:`weights_digest`) that they were measured with."""
    outputs: dict[str, float]
    """Greatest value of each tensor after a ReLU, and of each sum; the least is 0."""
    channels: dict[str, FloatArray]
    """Greatest magnitude of each channel of the pointwise convolutions, ``pair0`` to ``pair13`` and ``head8`` ..."""


def read_ranges(path: Path = RANGES_FILE) -> Ranges:
    """The measured ranges of activations.

    Args:
        path: a file of ``export/yunet_ranges.py``.

    Returns:
        The ranges.
    """
    stored = json.loads(path.read_text(encoding="utf-8"))
    channels = {name: np.array(values, np.float32) for name, values in stored["channels"].items()}
    return Ranges(stored["weights_sha256"], stored["outputs"], channels)


def weights_digest(weights: YuNetWeights) -> str:
    """Checksum of all weights, whichever file they came from (opencv_zoo's of 2023 and of 2026 hold the same).

    Args:
        weights: as :func:`fer_edge.faces.yunet_weights.read_yunet` gives them.

    Returns:
        64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    pairs = (*weights.pairs, *weights.heads)
    arrays = [weights.stem, weights.stem_bias]
    arrays += [a for p in pairs for a in (p.pointwise, p.pointwise_bias, p.depthwise, p.depthwise_bias)]
    for array in arrays:
        digest.update(np.ascontiguousarray(array, "<f4").tobytes())
    return digest.hexdigest()


def write_yunet_int8(weights: YuNetWeights, ranges: Ranges | None = None) -> bytes:
    """The TFLite file: ``(1, 192, 320, 3)`` int8, B, G, R minus 128, to three int8 maps ``(1, H / s, W / s, 16)``.

    Args:
        weights: as :func:`fer_edge.faces.yunet_weights.read_yunet` gives them.
        ranges: of their activations; by default the measured ones of opencv_zoo's files.

    Returns:
        The content of the file; outputs in the order of strides 8, 16, 32, each value q standing for
        ``low + (high - low) * (q + 128) / 255`` of :data:`fer_edge.faces.yunet_forms.HEAD_RANGES`.

    Raises:
        ModelError: the ranges belong to other weights.
        MissingDependencyError: ai-edge-litert, which brings the schema, is not installed.
    """
    ranges = read_ranges() if ranges is None else ranges
    if weights_digest(weights) != ranges.weights_sha256:
        raise ModelError("INT8 needs the ranges of activations, which are known for opencv_zoo's own weights only")
    return _Int8Network(ranges).write(_prepared(weights, ranges))


def _prepared(weights: YuNetWeights, ranges: Ranges) -> YuNetWeights:
    """The same function with pointwise channels in [-1, 1] and outputs in steps of 0 to 255."""
    pairs = tuple(_equalised(pair, ranges.channels[f"pair{n}"]) for n, pair in enumerate(weights.pairs))
    heads = tuple(
        _in_steps(_equalised(head, ranges.channels[f"head{stride}"]))
        for stride, head in zip(STRIDES, weights.heads, strict=True)
    )
    return replace(weights, pairs=pairs, heads=heads)


def _equalised(pair: Pair, reached: FloatArray) -> Pair:
    pointwise = pair.pointwise / reached[:, None]
    return Pair(pointwise, pair.pointwise_bias / reached, pair.depthwise * reached, pair.depthwise_bias)


def _in_steps(head: Pair) -> Pair:
    low, high = HEAD_RANGES.T
    steps = np.float32(_STEPS) / (high - low)
    return replace(head, depthwise=head.depthwise * steps, depthwise_bias=(head.depthwise_bias - low) * steps)


class _Int8Network(Network):
    """The graph with int8 tensors; scale and zero point by tensor."""

    # As TensorFlow's converter writes them for int8 (tensorflow/lite/tools/versioning/op_version.cc).
    versions: dict[str, int] = {  # noqa: RUF012
        "CONV_2D": 3,
        "DEPTHWISE_CONV_2D": 3,
        "MAX_POOL_2D": 2,
        "PAD": 2,
        "ADD": 2,
        "CONCATENATION": 2,
    }

    def __init__(self, ranges: Ranges) -> None:
        super().__init__(f"YuNet, INT8, format {INT8_FORMAT}")
        self._ranges = ranges
        self._scales: dict[int, tuple[np.float32, int]] = {}

    def activation(self, name: str, shape: tuple[int, ...], like: int | None = None) -> int:
        made = self._tensor(name, shape, self.schema.TensorType.INT8)
        scale, zero_point = self._scale(name) if like is None else self._scales[like]
        self._scales[made] = scale, zero_point
        self._quantise(made, np.array([scale]), np.array([zero_point], np.int64))
        return made

    def constants(self, x: int, kernel: FloatArray, bias: FloatArray, name: str, axis: int) -> list[int]:
        kinds = self.schema.TensorType
        others = tuple(a for a in range(kernel.ndim) if a != axis)
        greatest = np.abs(kernel).max(axis=others)
        # A channel of zeros, or one far below what its bias can count in, has no range of its own to speak of.
        scales = (np.where(greatest > 0, greatest, 1) / np.float32(127)).astype(np.float32)
        along = [len(scales) if a == axis else 1 for a in range(kernel.ndim)]
        steps = np.rint(kernel / scales.reshape(along)).astype(np.int8)
        bias_scales = (scales * self._scales[x][0]).astype(np.float32)
        bias_steps = np.rint(bias.astype(np.float64) / bias_scales).astype(np.int32)
        stored = [
            self._tensor(f"{name}.kernel", kernel.shape, kinds.INT8, steps),
            self._tensor(f"{name}.bias", bias.shape, kinds.INT32, bias_steps),
        ]
        none = np.zeros(len(scales), np.int64)
        self._quantise(stored[0], scales, none, axis)
        self._quantise(stored[1], bias_scales, none)
        return stored

    def _scale(self, name: str) -> tuple[np.float32, int]:
        """Scale and zero point of an activation that has its own."""
        if name == "input" or (name.startswith("head") and "." not in name):
            return np.float32(1), _ZERO_POINT
        if name.endswith(".point"):  # equalised to [-1, 1]
            return np.float32(1 / 127), 0
        return np.float32(self._ranges.outputs[name] / _STEPS), _ZERO_POINT

    def _quantise(
        self, tensor: int, scales: npt.NDArray[Any], zero_points: npt.NDArray[np.int64], axis: int = 0
    ) -> None:
        made = self.schema.QuantizationParametersT()
        made.scale, made.zeroPoint, made.quantizedDimension = scales.astype(np.float32), zero_points, axis
        self.graph.tensors[tensor].quantization = made
