"""Filters, sampling and a block transform whose results are the same bits on every processor.

Sums are of whole numbers, or of floating-point numbers in a fixed order; coordinates are whole 256ths of a pixel.
OpenCV's own filters add in the order that suits the processor.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fer_edge.arrays import Image

__all__ = ["area_mean", "convolve", "sample", "to_pixels", "transform_quantized"]

_FloatImage = npt.NDArray[np.float64]
_STEPS: Final[int] = 256
"""Coordinates are whole numbers of 1/256 pixel."""


def to_pixels(values: npt.NDArray[np.floating[Any]]) -> Image:
    """Real values to the nearest grey levels.

    Args:
        values: any shape, in grey levels; what lies outside 0 to 255 saturates as a sensor does.

    Returns:
        The same shape, uint8; ties go to the even number.
    """
    return np.asarray(np.clip(np.rint(values), 0.0, 255.0), dtype=np.uint8)


def convolve(face: Image, taps: Sequence[tuple[int, int, int]]) -> Image:
    """Weighted mean of shifted images; edges are replicated.

    Args:
        face: ``(H, W, C)`` uint8.
        taps: ``(dy, dx, weight)``, shifts in pixels and whole weights of at least 0, at least one above 0.

    Returns:
        ``(H, W, C)`` uint8: ``sum(weight * shifted) / sum(weight)``, rounded half up.
    """
    reach = max(max(abs(dy), abs(dx)) for dy, dx, _ in taps)
    padded = np.pad(face, ((reach, reach), (reach, reach), (0, 0)), mode="edge").astype(np.int64)
    height, width = face.shape[:2]
    total = np.zeros(face.shape, np.int64)
    for dy, dx, weight in taps:
        total += weight * padded[reach + dy : reach + dy + height, reach + dx : reach + dx + width]
    whole = sum(weight for _, _, weight in taps)
    return np.asarray((total + whole // 2) // whole, np.uint8)


def sample(face: Image, y: _FloatImage, x: _FloatImage) -> Image:
    """Bilinear values at real coordinates; edges are replicated.

    Args:
        face: ``(H, W, C)`` uint8.
        y: ``(h, w)`` rows, in pixels; pixel centres are whole numbers.
        x: ``(h, w)`` columns, alike.

    Returns:
        ``(h, w, C)`` uint8.
    """
    height, width = face.shape[:2]
    rows = np.clip(np.rint(y * _STEPS).astype(np.int64), 0, (height - 1) * _STEPS)
    columns = np.clip(np.rint(x * _STEPS).astype(np.int64), 0, (width - 1) * _STEPS)
    top, left = rows // _STEPS, columns // _STEPS
    down, right = (rows % _STEPS)[..., None], (columns % _STEPS)[..., None]
    below, beside = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
    values = face.astype(np.int64)
    upper = values[top, left] * (_STEPS - right) + values[top, beside] * right
    lower = values[below, left] * (_STEPS - right) + values[below, beside] * right
    mixed = upper * (_STEPS - down) + lower * down
    return np.asarray((mixed + _STEPS * _STEPS // 2) // (_STEPS * _STEPS), np.uint8)


def area_mean(face: Image, height: int, width: int) -> Image:
    """Shrink as a sensor with fewer, larger pixels does: each is the mean of the area that it covers.

    Args:
        face: ``(H, W, C)`` uint8.
        height: of the result, at most H.
        width: of the result, at most W.

    Returns:
        ``(height, width, C)`` uint8, rounded half up.
    """
    down, across = _overlaps(face.shape[0], height), _overlaps(face.shape[1], width)
    total = np.tensordot(down, face.astype(np.int64), (1, 0))  # (height, W, C)
    total = np.tensordot(total, across, (1, 1)).transpose(0, 2, 1)  # (height, width, C)
    whole = face.shape[0] * face.shape[1]
    return np.asarray((total + whole // 2) // whole, np.uint8)


def _overlaps(fine: int, coarse: int) -> npt.NDArray[np.int64]:
    """``(coarse, fine)``: how much of each fine pixel a coarse one covers, in 1/coarse of a fine pixel."""
    starts, pixels = np.arange(coarse)[:, None] * fine, np.arange(fine)[None, :] * coarse
    shared = np.minimum(starts + fine, pixels + coarse) - np.maximum(starts, pixels)
    return np.asarray(np.maximum(0, shared), np.int64)


_H264_8X8: Final = np.array(
    [
        [8, 8, 8, 8, 8, 8, 8, 8],
        [12, 10, 6, 3, -3, -6, -10, -12],
        [8, 4, -4, -8, -8, -4, 4, 8],
        [10, -3, -12, -6, 6, 12, 3, -10],
        [8, -8, -8, 8, 8, -8, -8, 8],
        [6, -12, 3, 10, -10, -3, 12, -6],
        [4, -8, 8, -4, -4, 8, -8, 4],
        [3, -6, 10, -12, 12, -10, 6, -3],
    ],
    np.float64,
)
"""The 8x8 integer transform of H.264's High profile (ITU-T H.264, 8.5.13): orthogonal rows, not of length 1."""
_LENGTHS: Final[_FloatImage] = np.sqrt((_H264_8X8**2).sum(axis=1))
_ROUNDING: Final[float] = 1.0 / 3.0
"""Of a level, before it is cut to a whole number: 1/3 in the reference encoder's intra blocks."""


def transform_quantized(face: Image, step: float) -> Image:
    """Each 8x8 block after H.264's integer transform, with every coefficient a whole number of ``step``.

    Args:
        face: ``(H, W, C)`` uint8, H and W multiples of 8.
        step: quantisation step of an orthonormal transform, in grey levels.

    Returns:
        ``(H, W, C)`` uint8.
    """
    height, width, channels = face.shape
    values = face.astype(np.float64).reshape(height // 8, 8, width // 8, 8, channels) - 128.0
    scale = (_LENGTHS[:, None] * _LENGTHS[None, :])[None, :, None, :, None]
    coefficients = _times(_H264_8X8, _times(_H264_8X8, values, 1), 3) / scale
    levels = np.sign(coefficients) * np.floor(np.abs(coefficients) / step + _ROUNDING)
    restored = _times(_H264_8X8.T, _times(_H264_8X8.T, levels * step / scale, 1), 3)
    return to_pixels(restored.reshape(height, width, channels) + 128.0)


def _times(matrix: _FloatImage, values: npt.NDArray[Any], axis: int) -> _FloatImage:
    """``matrix`` (8, 8) times ``values`` along ``axis``, added up in a fixed order, which BLAS would not."""
    first = np.moveaxis(values, axis, 0)
    shape = (8, *[1] * (values.ndim - 1))
    total = matrix[:, 0].reshape(shape) * first[0]
    for k in range(1, 8):
        total = total + matrix[:, k].reshape(shape) * first[k]
    return np.moveaxis(total, 0, axis)
