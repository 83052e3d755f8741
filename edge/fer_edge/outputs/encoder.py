"""What is to be known of OpenCV's video encoders: the rates they take, and how fast they are here."""

from __future__ import annotations

import math
import statistics
import tempfile
import time
from pathlib import Path
from typing import Final

import cv2

from fer_edge.arrays import Image

SHARE: Final[float] = 0.6
"""Part of the time that a live recording may encode; the rest is for warm days and busy moments."""
MAX_RESOLUTION: Final[int] = 65_535
"""Of the fraction that MPEG-4 holds a frame rate as; see :func:`exact_fps`."""
_TRIES: Final[int] = 3


def exact_fps(fps: float) -> float:
    """A rate near this one that every encoder takes.

    MPEG-4 holds a rate as a fraction of whole numbers of at most 65,535 (ISO/IEC 14496-2,
    vop_time_increment_resolution), and OpenCV makes one of tenths, hundredths or thousandths of the number it is given:
    487.353 would be refused.

    Args:
        fps: frames per second.

    Returns:
        The rate with as many decimals as fit, at most three.
    """
    decimals = next((n for n in (3, 2, 1) if fps * 10**n < MAX_RESOLUTION), 0)
    return round(fps, decimals)


def sustained_fps(image: Image, codec: str, suffix: str) -> float:
    """How many pictures like this one can be recorded per second for hours, found by trying.

    A recording at more would fall behind: what it missed it fills by repeating, and each repeated picture takes as long
    as a new one, so in the end it does nothing else.

    Args:
        image: ``(H, W, 3)`` BGR uint8 of even size.
        codec: its four characters.
        suffix: of the container, with its dot.

    Returns:
        Pictures per second; infinity where nothing can be encoded, as then the recording itself will say why.
    """
    took_s: list[float] = []
    with tempfile.TemporaryDirectory(prefix="fer-camera-") as folder:
        path = str(Path(folder) / f"trial{suffix}")
        size = (image.shape[1], image.shape[0])
        writer = cv2.VideoWriter(path, cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*codec), 25.0, size)
        if not writer.isOpened():
            return math.inf
        try:
            for _ in range(1 + _TRIES):
                began = time.perf_counter()
                writer.write(image)
                took_s.append(time.perf_counter() - began)
        finally:
            writer.release()
    return SHARE / statistics.median(took_s[1:])  # the first one also allocates
