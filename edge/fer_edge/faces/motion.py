"""Whether anything has moved since the whole frame was last searched: where nothing has, there is no new face.

A small grey picture is compared with the one of the last whole search, not with the one before: so that what moves
slowly is seen, too. That costs 0.1 ms, a whole search 20 to 50 times as much.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import cv2
import numpy as np

from fer_edge.arrays import Image
from fer_edge.faces.detection import Box

__all__ = ["CHANGE", "CHANGED_PIXELS", "GREY_WIDTH", "STILL_S", "MotionGate"]

GREY_WIDTH: Final[int] = 160
"""Width in pixels of what is compared; a face of 16 pixels at the detector's 320 has 8 here."""
CHANGE: Final[int] = 12
"""Grey levels, of 255, by which a pixel must differ: more than noise and compression do after the averaging."""
CHANGED_PIXELS: Final[int] = 8
"""Pixels that must differ at least: an eighth of the smallest face that is found."""
STILL_S: Final[float] = 2.0
"""However still a scene is, the whole frame is searched at least this often, in seconds."""
_AROUND: Final[float] = 0.75
"""What a known face changes around itself, in addition to its box on each side and in widths of it."""


class MotionGate:
    """Compares frames of one camera with the one that was last searched as a whole."""

    def __init__(self) -> None:
        self._searched: Image | None = None

    def view(self, image: Image, small: Image | None = None) -> Image:
        """The small grey picture of a frame.

        Args:
            image: ``(H, W, 3)`` BGR uint8.
            small: the same picture at fewer pixels, where the camera delivers one.

        Returns:
            ``(h, w)`` uint8, at most :data:`GREY_WIDTH` pixels wide.
        """
        source = image if small is None else small
        height, width = source.shape[:2]
        across = min(GREY_WIDTH, width)
        down = max(1, round(height * across / width))
        # Four samples for each pixel instead of all of them: a tenth of the time at 1280x720, and enough against noise.
        if width > 2 * across and height > 2 * down:
            source = np.asarray(
                cv2.resize(source, (2 * across, 2 * down), interpolation=cv2.INTER_NEAREST), dtype=np.uint8
            )
        grey = cv2.cvtColor(source, cv2.COLOR_BGR2GRAY)
        return np.asarray(cv2.resize(grey, (across, down), interpolation=cv2.INTER_AREA), dtype=np.uint8)

    def remember(self, view: Image) -> None:
        """The whole of this frame has been searched.

        Args:
            view: as :meth:`view` gave it.
        """
        self._searched = view

    def moved(self, view: Image, width: int, faces: Iterable[Box] = ()) -> bool:
        """Whether anything differs from the frame that was last searched, but for the known faces.

        Args:
            view: as :meth:`view` gave it.
            width: of the frame, in pixels.
            faces: boxes of the known faces, in pixels of the frame.

        Returns:
            True where something has moved, and before anything was remembered.
        """
        before = self._searched
        if before is None or before.shape != view.shape:
            return True
        changed = cv2.threshold(cv2.absdiff(view, before), CHANGE, 255, cv2.THRESH_BINARY)[1]
        scale = view.shape[1] / width
        for x, y, w, h in faces:
            around = _AROUND * max(w, h)
            left, top = max(0, int((x - around) * scale)), max(0, int((y - around) * scale))
            right, bottom = int((x + w + around) * scale) + 1, int((y + h + around) * scale) + 1
            changed[top:bottom, left:right] = 0
        return cv2.countNonZero(changed) >= CHANGED_PIXELS
