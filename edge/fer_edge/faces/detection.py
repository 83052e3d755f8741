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

    Halved exactly as often as possible, then resized linearly by less than two: averaging over areas at odd ratios
    costs more than the detection that follows (3.9 ms from 1920 to 256 pixels, where this takes 0.6). The same pixels
    on every processor: OpenCV's INTER_LINEAR rounds differently on Arm, INTER_LINEAR_EXACT and exact halves do not.

    Args:
        image: ``(H, W, 3)`` uint8.
        width: in pixels.

    Returns:
        ``(h, w, 3)`` uint8; ``image`` itself where nothing is to be done.
    """
    import cv2  # late, and found at once when it is there: this module is read for --help, too
    import numpy as np

    image_height, image_width = image.shape[:2]
    if image_width <= width:
        return image
    size = (width, max(1, round(image_height * width / image_width)))
    view = image
    while view.shape[1] >= 2 * width and view.shape[0] >= 2 * size[1] and view.shape[0] > 1:
        h, w = view.shape[0] // 2, view.shape[1] // 2
        # An odd last row or column is left out: exact halves are what the fast kernel is for.
        view = np.asarray(cv2.resize(view[: 2 * h, : 2 * w], (w, h), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    if (view.shape[1], view.shape[0]) == size:
        return view
    # INTER_LINEAR_EXACT is vectorised for 1, 2 and 4 channels, not for 3: this takes 0.6 of the time.
    four = cv2.cvtColor(view, cv2.COLOR_BGR2BGRA)
    resized = cv2.resize(four, size, interpolation=cv2.INTER_LINEAR_EXACT)
    return np.asarray(cv2.cvtColor(resized, cv2.COLOR_BGRA2BGR), dtype=np.uint8)
