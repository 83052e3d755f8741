"""What a face detector finds, and the arithmetic on boxes that all of them need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

__all__ = ["Box", "DetectedFace", "FaceDetector", "clip_box", "shrink"]

if TYPE_CHECKING:
    from fer_edge.arrays import FloatArray, Image

Box = tuple[int, int, int, int]
"""``(x, y, w, h)`` in whole pixels of the frame; x to the right, y downwards, from the upper left corner."""


@dataclass(frozen=True)
class DetectedFace:
    """One face found in one frame."""

    box: Box
    """Inside the frame, at least one pixel wide and high."""
    score: float
    """The detector's confidence in [0, 1]; 1 for Haar, which gives none."""
    landmarks: FloatArray | None = None
    """``(5, 2)`` x and y in pixels of the frame: right eye, left eye (the person's), nose tip, right and left mouth
    corner; None for Haar."""


class FaceDetector(Protocol):
    """Finds faces in BGR frames. Not to be shared between threads. Open one with
    :func:`fer_edge.faces.detectors.open_detector`."""

    name: str
    """What ``--detector`` takes."""

    def detect(self, image: Image, small: Image | None = None) -> list[DetectedFace]:
        """Faces in ``image`` ``(H, W, 3)`` BGR uint8, from left to right.

        ``small`` is the same picture at fewer pixels, where the camera delivers one, so that nothing need be shrunk.

        Args:
            image: ``(H, W, 3)`` BGR uint8.
            small: the same picture at fewer pixels, where the camera delivers one, so that nothing need be shrunk.

        Returns:
            The faces from left to right, boxes in pixels of ``image``.
        """
        ...


def clip_box(box: tuple[float, float, float, float], width: int, height: int) -> Box | None:
    """The part of a box that lies in a frame of ``width`` x ``height`` pixels, in whole pixels; None if none does.

    Args:
        box: ``(x, y, w, h)`` in pixels, not necessarily whole.
        width: of the frame, in pixels.
        height: of the frame, in pixels.

    Returns:
        The box inside the frame, None where nothing of it is.
    """
    x, y, w, h = box
    left, top = max(round(x), 0), max(round(y), 0)
    right, bottom = min(round(x + w), width), min(round(y + h), height)
    if right <= left or bottom <= top:
        return None
    return left, top, right - left, bottom - top


def shrink(image: Image, width: int) -> Image:
    """``image`` at most ``width`` pixels wide, its proportions kept; never enlarged.

    Args:
        image: ``(H, W, 3)`` or ``(H, W)`` uint8.
        width: greatest width of the result, in pixels.

    Returns:
        The image itself where it is narrow enough, else a smaller copy.
    """
    import cv2  # late, and found at once when it is there: this module is read for --help, too
    import numpy as np

    image_height, image_width = image.shape[:2]
    if image_width <= width:
        return image
    size = (width, max(1, round(image_height * width / image_width)))
    # Plain linear filtering skips pixels below half size, which makes small faces flicker.
    interpolation = cv2.INTER_AREA if image_width >= 2 * width else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size, interpolation=interpolation), dtype=np.uint8)
