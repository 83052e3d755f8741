"""YuNet's 53 convolutions, read from opencv_zoo's ONNX file with numpy alone.

The file is a protocol buffer (field numbers of ``onnx.proto``). Its graph is known: a stem, five stages and a neck of
pairs (1x1 convolution, depthwise 3x3 convolution), and twelve heads. A file with another graph is refused, so that
whoever asks can fall back on a runtime that reads graphs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from fer_edge.arrays import FloatArray
from fer_edge.errors import ModelError
from fer_edge.faces.yunet_forms import STRIDES

__all__ = ["N_CONVOLUTIONS", "Pair", "YuNetWeights", "read_yunet"]

__all__ = ["N_CONVOLUTIONS", "STRIDES", "Pair", "YuNetWeights", "read_yunet"]

N_CONVOLUTIONS: Final[int] = 53
_HEADS: Final[tuple[str, ...]] = ("cls", "bbox", "obj", "kps")
"""As the file orders them, each for the three strides."""
_OUTPUT_ORDER: Final[tuple[str, ...]] = ("cls", "obj", "bbox", "kps")
_BACKBONE: Final[tuple[int, ...]] = (16, 16, 32, 32, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64)
"""Output channels of the stem's pair, the ten pairs of the stages and the three of the neck."""
_FLOAT: Final[int] = 1


@dataclass(frozen=True)
class Pair:
    """A pointwise convolution without activation, and the depthwise one that follows it."""

    pointwise: FloatArray
    """``(out, in)``."""
    pointwise_bias: FloatArray
    """``(out,)``."""
    depthwise: FloatArray
    """``(3, 3, out)``."""
    depthwise_bias: FloatArray
    """``(out,)``."""


@dataclass(frozen=True)
class YuNetWeights:
    """All weights, in the order of computation."""

    stem: FloatArray
    """``(16, 3, 3, 3)``: out, row, column, in (B, G, R)."""
    stem_bias: FloatArray
    """``(16,)``."""
    pairs: tuple[Pair, ...]
    """Fourteen: one of the stem, ten of the stages, three of the neck (strides 32, 16, 8)."""
    heads: tuple[Pair, ...]
    """For strides 8, 16, 32: 16 outputs each, which are class, object, 4 of the box, 10 of the landmarks."""


def read_yunet(content: bytes) -> YuNetWeights:
    """The weights in a YuNet file.

    Args:
        content: an ``.onnx`` file of opencv_zoo's ``face_detection_yunet``.

    Returns:
        The weights; heads of one stride joined into one pair.

    Raises:
        ModelError: another network, or a damaged file.
    """
    try:
        nodes, tensors = _graph(memoryview(content))
        convolutions = [(tensors[inputs[1]], tensors[inputs[2]]) for kind, inputs in nodes if kind == "Conv"]
        return _assemble(convolutions)
    except (KeyError, IndexError, ValueError, TypeError, StopIteration) as error:
        raise ModelError(f"not the YuNet network that is known here: {error}") from error


def _assemble(convolutions: list[tuple[FloatArray, FloatArray]]) -> YuNetWeights:
    if len(convolutions) != N_CONVOLUTIONS:
        raise ValueError(f"expected {N_CONVOLUTIONS} convolutions, found {len(convolutions)}")
    stem, stem_bias = convolutions[0]
    if stem.shape != (16, 3, 3, 3):
        raise ValueError(f"its first convolution has the shape {stem.shape}")
    joined = [_pair(*convolutions[i], *convolutions[i + 1]) for i in range(1, N_CONVOLUTIONS, 2)]
    pairs, single = joined[: len(_BACKBONE)], joined[len(_BACKBONE) :]
    for pair, layer in zip(pairs, _BACKBONE, strict=True):
        if len(pair.pointwise) != layer:
            raise ValueError(f"a stage has {len(pair.pointwise)} channels, expected {layer}")
    heads = []
    for k in range(len(STRIDES)):
        of_stride = {name: single[_HEADS.index(name) * len(STRIDES) + k] for name in _HEADS}
        heads.append(_joined([of_stride[name] for name in _OUTPUT_ORDER]))
    return YuNetWeights(np.ascontiguousarray(stem.transpose(0, 2, 3, 1)), stem_bias, tuple(pairs), tuple(heads))


def _pair(point: FloatArray, point_bias: FloatArray, depth: FloatArray, depth_bias: FloatArray) -> Pair:
    out = len(point)
    if point.shape[2:] != (1, 1) or depth.shape != (out, 1, 3, 3):
        raise ValueError(f"a pair of convolutions has the shapes {point.shape} and {depth.shape}")
    return Pair(point[:, :, 0, 0], point_bias, np.ascontiguousarray(depth[:, 0].transpose(1, 2, 0)), depth_bias)


def _joined(pairs: list[Pair]) -> Pair:
    """Several heads on one input as one: their outputs stand one after another."""
    joined = Pair(
        np.concatenate([pair.pointwise for pair in pairs]),
        np.concatenate([pair.pointwise_bias for pair in pairs]),
        np.concatenate([pair.depthwise for pair in pairs], axis=2),
        np.concatenate([pair.depthwise_bias for pair in pairs]),
    )
    if joined.pointwise.shape != (16, 64):
        raise ValueError(f"the heads have {len(joined.pointwise)} outputs, expected 16")
    return joined


def _graph(model: memoryview) -> tuple[list[tuple[str, list[str]]], dict[str, FloatArray]]:
    """``(operator, names of its inputs)`` of all nodes in order, and the float tensors by name."""
    graph = next(value for number, value in _fields(model) if number == 7 and isinstance(value, memoryview))
    nodes: list[tuple[str, list[str]]] = []
    tensors: dict[str, FloatArray] = {}
    for number, value in _fields(graph):
        if not isinstance(value, memoryview):
            continue
        if number == 1:
            parts = [(n, v) for n, v in _fields(value) if isinstance(v, memoryview)]
            kind = next((bytes(v).decode() for n, v in parts if n == 4), "")
            nodes.append((kind, [bytes(v).decode() for n, v in parts if n == 1]))
        elif number == 5:
            name, array = _tensor(value)
            if array is not None:
                tensors[name] = array
    return nodes, tensors


def _tensor(message: memoryview) -> tuple[str, FloatArray | None]:
    dims: list[int] = []
    name, kind, raw = "", 0, b""
    for number, value in _fields(message):
        if number == 1 and isinstance(value, int):
            dims.append(value)
        elif number == 2 and isinstance(value, int):
            kind = value
        elif number == 8 and isinstance(value, memoryview):
            name = bytes(value).decode()
        elif number == 9 and isinstance(value, memoryview):
            raw = bytes(value)
    if kind != _FLOAT or not raw:
        return name, None
    return name, np.frombuffer(raw, "<f4").reshape(dims).astype(np.float32)


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Field numbers and values of a message: numbers as int, all else as bytes."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        wire = tag & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield tag >> 3, value
            continue
        if wire == 2:
            size, at = _varint(data, at)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise ValueError(f"wire type {wire}")
        if at + size > len(data):
            raise ValueError("the file is cut off")
        yield tag >> 3, data[at : at + size]
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number is too long")
