"""Which real numbers a quantised model takes: read from the scale and zero point of its input.

Other people's networks are trained on pixels in other ranges. A quantised file says in which: its 256 stored values
span the real numbers that calibration saw, which lie inside the range of the training. A float file says nothing, and
takes what the contract says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

__all__ = [
    "INPUT_RANGES",
    "OURS",
    "PIXELS",
    "InputRange",
    "described",
    "find_input_range",
    "represented",
    "stored_levels",
]


@dataclass(frozen=True)
class InputRange:
    """Real input values as a function of the grey level ``p``: ``(p + offset) / divisor``."""

    name: str
    """As ``fer-export --input-range`` calls it, where it takes it."""
    formula: str
    """In ``p``, for messages."""
    divisor: float
    """In grey levels."""
    offset: float
    """In grey levels."""
    is_exported: bool = True
    """Whether ``fer-export --input-range`` takes it."""

    @property
    def ends(self) -> tuple[float, float]:
        """The real values of black and white."""
        return self.offset / self.divisor, (255.0 + self.offset) / self.divisor

    def values(self) -> npt.NDArray[np.float64]:
        """The real value of each grey level.

        Returns:
            ``(256,)`` float64.
        """
        levels: npt.NDArray[np.float64] = (np.arange(256, dtype=np.float64) + self.offset) / self.divisor
        return levels


OURS: Final = InputRange("ours", "(p - 128) / 128", 128.0, -128.0)
PIXELS: Final = InputRange("pixels", "p", 1.0, 0.0)
INPUT_RANGES: Final[tuple[InputRange, ...]] = (
    OURS,
    InputRange("keras", "p / 127.5 - 1", 127.5, -127.5),
    InputRange("unit", "p / 255", 255.0, 0.0),
    PIXELS,
    InputRange("centred", "p - 128", 1.0, -128.0, is_exported=False),
)
_FALLS_SHORT: Final[float] = 0.15
"""Calibration on few or dull faces may miss this share of a range at either end ..."""
_EXCEEDS: Final[float] = 0.015
"""... but it never sees more than the range; converters move an end by a step or two to make 0 a stored value."""
_SAME_SCALE: Final[float] = 0.001


def find_input_range(scale: float, zero_point: int, dtype: np.dtype[Any]) -> InputRange | None:
    """The range of pixels that an 8-bit input with this quantisation stands for.

    ``(p - 128) / 128`` and ``p / 127.5 - 1`` differ by half a grey level, less than a calibration can tell: the latter
    is taken only where scale and zero point are exactly its own, 2/255 and the middle.

    Args:
        scale: of the tensor.
        zero_point: of the tensor.
        dtype: int8 or uint8.

    Returns:
        The range; None when it is none of ours.
    """
    low, high = represented(scale, zero_point, dtype)
    keras = INPUT_RANGES[1]
    middle = (int(np.iinfo(dtype).min) + int(np.iinfo(dtype).max)) / 2
    if abs(scale * keras.divisor - 1.0) < _SAME_SCALE and abs(zero_point - middle) < 1.0:
        return keras
    for candidate in INPUT_RANGES:
        first, last = candidate.ends
        short, beyond = _FALLS_SHORT * (last - first), _EXCEEDS * (last - first)
        if first - beyond <= low <= first + short and last - short <= high <= last + beyond:
            return candidate
    return None


def represented(scale: float, zero_point: int, dtype: np.dtype[Any]) -> tuple[float, float]:
    """The smallest and the largest real number that a tensor of 8-bit integers can hold.

    Args:
        scale: of the tensor.
        zero_point: of the tensor.
        dtype: int8 or uint8.

    Returns:
        The two numbers.
    """
    info = np.iinfo(dtype)
    return (info.min - zero_point) * scale, (info.max - zero_point) * scale


def stored_levels(chosen: InputRange, scale: float, zero_point: int, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """The stored value of each grey level, for a range other than :data:`OURS`.

    Ties are rounded up: ``p / 127.5 - 1`` at a scale of 2/255 puts every level on one, and rounding to even would merge
    each two levels to one. The thousandth of a step covers the last digits of a scale stored as float32.

    Args:
        chosen: the range of the pixels.
        scale: of the tensor.
        zero_point: of the tensor.
        dtype: int8 or uint8.

    Returns:
        ``(256,)`` of ``dtype``.
    """
    info = np.iinfo(dtype)
    steps = np.floor(chosen.values() / scale + 0.5 + 1e-3) + zero_point
    levels: npt.NDArray[Any] = np.clip(steps, info.min, info.max).astype(dtype)
    return levels


def described() -> str:
    """All ranges, for messages.

    Returns:
        Formulas with their ends, on one line.
    """
    return ", ".join(f"{r.formula} ({r.ends[0]:.3g} to {r.ends[1]:.3g})" for r in INPUT_RANGES)
