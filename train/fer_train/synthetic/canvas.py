"""Drawing that gives the same pixels on every processor: fixed-point polygons and integer filters.

Coordinates are computed with additions and multiplications only, one operation at a time, which IEEE 754 rounds alike
everywhere, and handed to OpenCV as integers in sixteenths of a pixel.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

Color = tuple[int, int, int]
"""Blue, green, red, 0 to 255."""
Points = npt.NDArray[np.float64]
"""``(N, 2)``, x and y."""
_SHIFT: Final[int] = 4


@functools.cache
def unit_circle(n: int) -> Points:
    """``(n, 2)`` points (sin, -cos) of the unit circle, clockwise from the top; read-only."""
    points = np.array([(math.sin(2 * math.pi * i / n), -math.cos(2 * math.pi * i / n)) for i in range(n)])
    points.flags.writeable = False
    return points


def ellipse(x: float, y: float, half_width: float, half_height: float, n: int = 40) -> Points:
    """``(n, 2)`` outline of an upright ellipse."""
    circle = unit_circle(n)
    return np.stack([circle[:, 0] * half_width + x, circle[:, 1] * half_height + y], axis=1)


def fill(image: npt.NDArray[np.uint8], points: Points, color: Color) -> None:
    """Fill the polygon ``points``, in pixels, with smooth edges."""
    cv2.fillPoly(image, [_fixed(points)], color, cv2.LINE_AA, _SHIFT)


def stroke(image: npt.NDArray[np.uint8], points: Points, color: Color, width: float) -> None:
    """Draw the open line ``points`` as a brush stroke of ``width`` pixels that tapers towards both ends."""
    if len(points) < 2 or width <= 0:
        return
    direction = np.empty_like(points)
    direction[1:-1] = points[2:] - points[:-2]
    direction[0] = points[1] - points[0]
    direction[-1] = points[-1] - points[-2]
    length = np.sqrt(direction[:, 0] * direction[:, 0] + direction[:, 1] * direction[:, 1])
    normal = np.stack([-direction[:, 1], direction[:, 0]], axis=1) / np.maximum(length, 1e-9)[:, None]
    t = np.linspace(-1.0, 1.0, len(points))
    half = 0.5 * width * (1.0 - 0.75 * t * t)
    offset = normal * half[:, None]
    fill(image, np.concatenate([points + offset, (points - offset)[::-1]]), color)


def blend(image: npt.NDArray[np.uint8], points: Points, color: Color, alpha: int) -> None:
    """Fill the polygon with ``color`` at ``alpha`` of 256."""
    left, top = np.floor(points.min(axis=0)).astype(int) - 1
    right, bottom = np.ceil(points.max(axis=0)).astype(int) + 2
    left, top = max(int(left), 0), max(int(top), 0)
    right, bottom = min(int(right), image.shape[1]), min(int(bottom), image.shape[0])
    if left >= right or top >= bottom:
        return
    part = image[top:bottom, left:right]
    painted = part.copy()
    fill(painted, points - np.array([left, top]), color)
    mixed = (part.astype(np.int32) * (256 - alpha) + painted.astype(np.int32) * alpha + 128) >> 8
    image[top:bottom, left:right] = mixed.astype(np.uint8)


def box_blur(image: npt.NDArray[np.uint8], radius: int) -> npt.NDArray[np.uint8]:
    """Mean over a square of ``2 * radius + 1`` pixels, edges replicated; whole numbers, so exact."""
    if radius < 1:
        return image
    side = 2 * radius + 1
    sums = image.astype(np.int32)
    for axis in (0, 1):
        pad = [(0, 0)] * image.ndim
        pad[axis] = (radius + 1, radius)
        running = np.cumsum(np.pad(sums, pad, mode="edge"), axis=axis, dtype=np.int32)
        ahead = np.take(running, range(side, running.shape[axis]), axis=axis)
        behind = np.take(running, range(running.shape[axis] - side), axis=axis)
        sums = ahead - behind
    return ((sums + side * side // 2) // (side * side)).astype(np.uint8)


def shrink(image: npt.NDArray[np.uint8], k: int) -> npt.NDArray[np.uint8]:
    """``(H * k, W * k, C)`` to ``(H, W, C)`` by the mean of each block."""
    if k == 1:
        return image
    height, width, channels = image.shape
    rows = image.reshape(height // k, k, width * channels).sum(axis=1, dtype=np.uint32)
    sums = rows.reshape(height // k, width // k, k, channels).sum(axis=2, dtype=np.uint32)
    return np.asarray((sums + k * k // 2) // (k * k), dtype=np.uint8)


def mix(a: Sequence[int], b: Sequence[int], t: float) -> Color:
    """The colour at ``t`` of the way from ``a`` to ``b``, clipped to what a byte holds."""
    blue, green, red = (min(255, max(0, round(x + (y - x) * t))) for x, y in zip(a, b, strict=True))
    return blue, green, red


def _fixed(points: Points) -> npt.NDArray[np.int32]:
    # Rounding half up by floor: np.rint would do as well, but this states what happens to ties.
    return np.floor(points * (1 << _SHIFT) + 0.5).astype(np.int32)[:, None, :]
