"""Arrays that the modules hand to each other: their types, and how large pictures lie in memory; defined once."""

from __future__ import annotations

import mmap
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["FloatArray", "Image", "room_behind"]

Image = npt.NDArray[np.uint8]
"""A picture: ``(H, W, 3)`` in the order B, G, R, or ``(H, W)`` grey; uint8, row 0 at the top."""
FloatArray = npt.NDArray[np.float32]
"""Real numbers, float32, for example probabilities ``(N, 7)`` in the order of :data:`fer_edge.labels.EMOTIONS`."""
_LINE_BYTES: Final[int] = 32
"""``CV_STEP_ALIGNMENT`` of OpenCV's ``cap_ffmpeg_impl.hpp``."""


def room_behind(shape: tuple[int, ...]) -> Image:
    """A picture to draw on whose lines are multiples of 32 bytes and whose last one is in the middle of a memory page.

    FFmpeg may read a little beyond a picture. So where that would be another page, and for lines of other lengths (1080
    and 2160 pixels upright), OpenCV copies every picture first (``CvVideoWriter_FFMPEG::writeFrame``); as 3840x2160x3
    bytes are a whole number of pages, it always would: 24 MiB.

    Args:
        shape: ``(H, W, 3)``.

    Returns:
        uint8, not initialised.
    """
    height, width, channels = shape
    line = -(-width * channels // _LINE_BYTES) * _LINE_BYTES
    n_bytes = height * line
    buffer = np.empty(n_bytes + mmap.PAGESIZE, np.uint8)
    start = (mmap.PAGESIZE // 2 - buffer.ctypes.data - n_bytes) % mmap.PAGESIZE
    return np.ndarray(shape, np.uint8, buffer, start, (line, channels, 1))
