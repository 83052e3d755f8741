"""Tensors of a model: shape, dtype and quantisation, and the way from pixels into them."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fer_edge.arrays import FloatArray, Image
from fer_edge.errors import ModelError
from fer_edge.inference.input_range import OURS, described, find_input_range, represented, stored_levels
from fer_edge.labels import NUM_EMOTIONS
from fer_edge.preprocess import INPUT_SCALE, to_float_input, to_int8_input

__all__ = [
    "INPUT_SHAPES",
    "TensorSpec",
    "check_probabilities",
    "check_specs",
    "dequantize",
    "input_layout",
    "quantize",
    "to_layout",
    "to_model_input",
]

INPUT_SHAPES: Final[str] = "(1, S, S, 3), (1, S, S, 1), (1, 3, S, S) or (1, 1, S, S)"
"""What models may take, for messages."""

_UINT8, _INT8 = np.dtype(np.uint8), np.dtype(np.int8)
_MAX_PROBABILITY: Final[float] = 1.05
"""More than this no output of probabilities is quantised for: its range would be wasted."""
_MAX_SUM_ERROR: Final[float] = 0.05
_SOFTMAX: Final[str] = "put a softmax at the end of the network"
_LOGITS: Final[str] = f"these look like logits; {_SOFTMAX}"


@dataclass(frozen=True)
class TensorSpec:
    """Name, shape, dtype and quantisation of a model's input or output.

    ``real = (stored - zero_point) * scale``; ``scale`` is 0 for a float tensor.
    """

    name: str
    """As in the model file."""
    shape: tuple[int, ...]
    """Batch first."""
    dtype: np.dtype[Any]
    """float32, int8 or uint8."""
    scale: float = 0.0
    """Real number per integer step, 0 for float tensors."""
    zero_point: int = 0
    """The integer that stands for 0: ``real = scale * (stored - zero_point)``."""

    @property
    def is_quantized(self) -> bool:
        """Whether the tensor holds integers that stand for real numbers."""
        return self.scale != 0.0


def quantize(values: FloatArray, spec: TensorSpec) -> npt.NDArray[Any]:
    """Real numbers to the integers of ``spec``: round half to even, saturate (as LiteRT's QUANTIZE does).

    Args:
        values: real numbers, float32, of any shape.
        spec: scale, zero point and integer dtype.

    Returns:
        Integers of ``spec.dtype``, of the same shape.
    """
    info = np.iinfo(spec.dtype)
    steps = np.rint(values / np.float32(spec.scale)) + spec.zero_point
    stored: npt.NDArray[Any] = np.clip(steps, info.min, info.max).astype(spec.dtype)
    return stored


def dequantize(stored: npt.NDArray[Any], spec: TensorSpec) -> FloatArray:
    """Integers of ``spec`` to real numbers; a float tensor passes through.

    Widened to int32 before the subtraction: int8 -128 minus a zero point of -128 would wrap around.

    Args:
        stored: values of ``spec.dtype``, of any shape.
        spec: scale and zero point.

    Returns:
        float32 of the same shape.
    """
    if not spec.is_quantized:
        return stored.astype(np.float32, copy=False)
    return (stored.astype(np.int32) - spec.zero_point).astype(np.float32) * np.float32(spec.scale)


@functools.lru_cache(maxsize=32)
def input_layout(shape: tuple[int, ...]) -> tuple[int, int, bool] | None:
    """Which axes of a model's input are the picture's, and which its channels.

    Args:
        shape: of the input, batch first.

    Returns:
        Side S in pixels, channels C (1 or 3), and whether they stand first, ``(1, C, S, S)``; None for a shape that is
        no square picture in one or three channels, or that leaves open which axis is which, as ``(1, 3, 3, 1)`` does.
    """
    if len(shape) != 4 or shape[0] != 1:
        return None
    last = shape[1] == shape[2] and shape[3] in (1, 3)
    first = shape[2] == shape[3] and shape[1] in (1, 3)
    side = shape[2]
    if last == first or side <= 3:  # 3 x 3 pixels could as well be channels
        return None
    return side, shape[1] if first else shape[3], first


def to_model_input(faces: Image, spec: TensorSpec) -> npt.NDArray[Any]:
    """Grey faces ``(N, S, S)`` uint8 to the tensor that a model with input ``spec`` takes.

    Args:
        faces: ``(N, S, S)`` uint8 grey.
        spec: of the model's input, of a shape that :func:`input_layout` knows.

    Returns:
        ``(N, *spec.shape[1:])`` of ``spec.dtype``: the same plane in each channel.

    Raises:
        ModelError: ``faces`` has another shape or dtype, or ``spec`` is of no picture.
    """
    layout = input_layout(spec.shape)
    if layout is None:
        raise ModelError(f"expected an input of shape {INPUT_SHAPES}, the model has {spec.shape}")
    size, channels, is_first = layout
    if faces.ndim != 3 or faces.shape[1:] != (size, size) or faces.dtype != _UINT8:
        raise ModelError(f"expected faces of shape (N, {size}, {size}) uint8, got {faces.shape} {faces.dtype}")
    if is_first:
        return to_layout(_planes(faces, spec), spec)
    if spec.dtype == _INT8 and spec.scale == INPUT_SCALE and spec.zero_point == 0:
        return to_int8_input(faces, channels)
    if not spec.is_quantized:
        return to_float_input(faces, channels)
    return to_layout(_planes(faces, spec), spec)


def to_layout(planes: npt.NDArray[Any], spec: TensorSpec) -> npt.NDArray[Any]:
    """Values of one plane, in each channel of a model's input.

    Args:
        planes: ``(N, S, S)``, as the network takes them.
        spec: of the model's input, of a shape that :func:`input_layout` knows.

    Returns:
        ``(N, *spec.shape[1:])``, C-contiguous.
    """
    axis = 1 if (input_layout(spec.shape) or (0, 0, False))[2] else -1
    shape = (len(planes), *spec.shape[1:])
    return np.ascontiguousarray(np.broadcast_to(np.expand_dims(planes, axis), shape))


def _planes(faces: Image, spec: TensorSpec) -> npt.NDArray[Any]:
    """``(N, S, S)`` values of ``spec`` for grey faces."""
    if not spec.is_quantized:
        return to_float_input(faces, 1)[..., 0]
    values: npt.NDArray[Any] = _stored_levels(spec)[faces]
    return values


@functools.lru_cache(maxsize=8)
def _stored_levels(spec: TensorSpec) -> npt.NDArray[Any]:
    """``(256,)`` values that ``spec`` stores for the grey levels, by the range that its quantisation tells."""
    input_range = find_input_range(spec.scale, spec.zero_point, spec.dtype)
    if input_range is not None and input_range != OURS:
        return stored_levels(input_range, spec.scale, spec.zero_point, spec.dtype)
    levels = to_float_input(np.arange(256, dtype=np.uint8).reshape(1, 16, 16))[..., 0]
    return quantize(levels, spec).reshape(256)


def check_specs(model_path: Path, input_spec: TensorSpec, output_spec: TensorSpec) -> None:
    """Refuse a model that is not an emotion model by its tensors.

    Args:
        model_path: the file, for the message.
        input_spec: of the model's input.
        output_spec: of the model's output.

    Raises:
        ModelError: it does not take a square picture in one or three channels and give ``(1, 7)`` in float32, int8 or
            uint8.
    """
    if input_layout(input_spec.shape) is None:
        raise ModelError(f"{model_path}: expected an input of shape {INPUT_SHAPES}, the model has {input_spec.shape}")
    if output_spec.shape != (1, NUM_EMOTIONS):
        raise ModelError(
            f"{model_path}: expected an output of shape (1, {NUM_EMOTIONS}), one value an emotion, "
            f"the model has {output_spec.shape}"
        )
    for spec in (input_spec, output_spec):
        if spec.dtype not in (np.dtype(np.float32), np.dtype(np.int8), np.dtype(np.uint8)):
            raise ModelError(f"{model_path}: tensor {spec.name} has dtype {spec.dtype}; float32, int8 or uint8 work")
        if spec.dtype != np.float32 and not spec.is_quantized:
            raise ModelError(f"{model_path}: tensor {spec.name} is {spec.dtype} but has no quantisation scale")
    _check_ranges(model_path, input_spec, output_spec)


def _check_ranges(model_path: Path, input_spec: TensorSpec, output_spec: TensorSpec) -> None:
    """Raise :class:`ModelError` when a quantised end holds other numbers than pixels, or than probabilities."""
    if input_spec.is_quantized:
        given = input_spec.scale, input_spec.zero_point, input_spec.dtype
        if find_input_range(*given) is None:
            low, high = represented(*given)
            raise ModelError(
                f"{model_path}: its quantised input takes {low:.4g} to {high:.4g}, no known range of pixels p; "
                f"expected {described()}: convert it again for one of these"
            )
    if output_spec.is_quantized:
        low, high = represented(output_spec.scale, output_spec.zero_point, output_spec.dtype)
        if low < 1.0 - _MAX_PROBABILITY or high > _MAX_PROBABILITY:
            raise ModelError(
                f"{model_path}: its outputs lie between {low:.4g} and {high:.4g}; expected probabilities, 0 to 1: "
                f"{_LOGITS}"
            )


def check_probabilities(model_path: Path, answers: npt.NDArray[np.float32]) -> None:
    """Refuse answers that cannot be probabilities.

    8-bit ones add up to 1 but for rounding: seven halves of a step of 1/256.

    Args:
        model_path: the model file, for the message.
        answers: ``(N, 7)`` float32, the model's outputs for any faces; the worst one is in the message.

    Raises:
        ModelError: they are not finite, negative, or do not add up to 1.
    """
    if not np.isfinite(answers).all():
        raise ModelError(f"{model_path}: the network gives values that are not numbers; are its weights damaged?")
    sums, smallest = answers.sum(axis=1, dtype=np.float64), answers.min(axis=1)
    wrong = np.maximum(np.abs(sums - 1.0), -smallest)
    worst = int(wrong.argmax())  # logits of one picture, for example a grey one, may be 0 each or look like a decision
    if wrong[worst] > _MAX_SUM_ERROR:
        outside = min(float(answers.min()), 1.0 - float(answers.max())) < -_MAX_SUM_ERROR
        raise ModelError(
            f"{model_path}: its outputs for one face add up to {sums[worst]:.4g}, the smallest is "
            f"{smallest[worst]:.4g}; expected probabilities, which add up to 1: {_LOGITS if outside else _SOFTMAX}"
        )
