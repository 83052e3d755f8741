"""A close look at one place of a frame: is the face that was there a moment ago still there, and where exactly?

The surroundings of the face are brought to one small size, in which faces of any size look alike, and turned upright
where the head is tilted: YuNet knows upright faces (on ``talking_head.mp4`` its scores fall below 0.7 at 30 to 40
degrees). 96 x 96 pixels are 15 % of those of a whole frame at width 320, and so is the time.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

import cv2
import numpy as np

from fer_edge.arrays import FloatArray, Image
from fer_edge.faces.detection import DetectedFace, FaceDetector, clip_box, shrink
from fer_edge.faces.tracks import MIN_OVERLAP, overlap

__all__ = ["DRIFT", "GROWTH", "LOOK_SIDE", "SURROUNDINGS", "TURN_STEP", "Aim", "CloseLook", "ScalableDetector", "aim"]

LOOK_SIDE: Final[int] = 96
"""Side in pixels of what is searched; a multiple of 32, which is what YuNet takes."""
SURROUNDINGS: Final[float] = 1.6
"""Side of the searched square over the longer side of the face."""
DRIFT: Final[float] = 0.15
"""How far a face may be off the middle of its square, over its longer side, before the square follows.

The same place in the same square gives the same box: a square that moves with every frame makes boxes tremble.
"""
GROWTH: Final[float] = 1.25
"""By how much a face may grow or shrink before its square does."""
TURN_STEP: Final[int] = 30
"""Looks are turned by multiples of this, in degrees; half of it YuNet does not mind.

YuNet's landmarks do not tell how far a head is tilted (they lie as on an upright face), the scores of turned looks do.
"""


@runtime_checkable
class ScalableDetector(FaceDetector, Protocol):
    """A detector that can be had for views of other widths, and with another least score."""

    width: int
    """Frames wider than this are shrunk to it, in pixels."""
    score: float
    """Least score of a face, in [0, 1]."""

    def at_width(self, width: int, score: float | None = None) -> ScalableDetector:
        """The same detector for views of another width.

        Args:
            width: in pixels.
            score: least score of a face; None: as it is.

        Returns:
            A new detector.
        """
        ...


@dataclass(frozen=True)
class Aim:
    """Where to look: a square of the frame, which may reach beyond it."""

    x: float
    """Of its middle, in pixels of the frame."""
    y: float
    """Of its middle, in pixels of the frame."""
    side: int
    """In pixels of the frame."""
    turn: int
    """The tilt of the head, by which the look is turned back: degrees, clockwise as seen."""


def aim(face: DetectedFace, last: Aim | None = None) -> Aim:
    """Where to look for a face in the next frame.

    Args:
        face: where it is.
        last: where it was found in this frame; None if it was not by a look.

    Returns:
        ``last`` as long as that fits.
    """
    x, y, w, h = face.box
    size = max(w, h)
    # Never less than the view: enlarging shows nothing new.
    new = Aim(x + w / 2.0, y + h / 2.0, max(LOOK_SIDE, round(SURROUNDINGS * size)), 0 if last is None else last.turn)
    if last is None:
        return new
    off = max(abs(new.x - last.x), abs(new.y - last.y))
    return last if off <= DRIFT * size and 1.0 / GROWTH <= new.side / last.side <= GROWTH else new


@dataclass(frozen=True)
class _Square:
    """What is searched: a view of a square, and the way back to the frame."""

    view: Image
    side: int
    """In pixels of the frame."""
    to_frame: FloatArray
    """``(2, 3)``: from pixels of the square to pixels of the frame."""


class CloseLook:
    """Finds again a face of which the place is known.

    Args:
        detector: the one that searches whole frames.
        score: least score of a face that is found again.
    """

    def __init__(self, detector: ScalableDetector, score: float) -> None:
        self._detector = detector.at_width(LOOK_SIDE, score)

    def at(self, image: Image, where: Aim, face: DetectedFace) -> DetectedFace | None:
        """The face in ``image`` that overlaps ``face`` most.

        Args:
            image: ``(H, W, 3)`` BGR uint8.
            where: what to search.
            face: as it was, or was seen less closely.

        Returns:
            The face, in pixels of ``image``; None where there is none, or where it reaches out of what was searched.
        """
        square = _upright(image, where) if where.turn % 360 == 0 else _turned(image, where)
        # The detector reports pixels of the first picture and searches the second one.
        faces = self._detector.detect(_blank(square.side), square.view)
        best, most = None, MIN_OVERLAP
        for candidate in faces:
            seen = _in_frame(candidate, square, where.turn, image)
            shared = 0.0 if seen is None else overlap(seen.box, face.box)
            if shared > most:
                best, most = seen, shared
        return best


def _upright(image: Image, where: Aim) -> _Square:
    """The square, moved into the frame where it would reach beyond."""
    height, width = image.shape[:2]
    wide, high = min(where.side, width), min(where.side, height)
    left = min(max(round(where.x - where.side / 2.0), 0), width - wide)
    top = min(max(round(where.y - where.side / 2.0), 0), height - high)
    crop = image[top : top + high, left : left + wide]
    side = max(wide, high)
    if side > LOOK_SIDE:
        crop = shrink(crop, max(1, round(LOOK_SIDE * wide / side)))
    if crop.shape[:2] != (LOOK_SIDE, LOOK_SIDE):  # one size, so that the network is laid out only once
        view = np.zeros((LOOK_SIDE, LOOK_SIDE, 3), np.uint8)
        view[: crop.shape[0], : crop.shape[1]] = crop[:LOOK_SIDE, :LOOK_SIDE]
        crop = view
    return _Square(crop, max(side, LOOK_SIDE), np.array([[1, 0, left], [0, 1, top]], np.float32))


def _turned(image: Image, where: Aim) -> _Square:
    """The square turned back by the tilt of the head; black where it reaches beyond the frame."""
    side = where.side
    reach = math.ceil(side * math.sqrt(0.5)) + 1
    left, top = max(int(where.x) - reach, 0), max(int(where.y) - reach, 0)
    source = image[top : int(where.y) + reach, left : int(where.x) + reach]
    halved = shrink(source, max(1, source.shape[1] >> max(0, (side // LOOK_SIDE).bit_length() - 1)))
    cos, sin = math.cos(math.radians(where.turn)), math.sin(math.radians(where.turn))
    half = side / 2.0
    to_frame = np.array(
        [[cos, -sin, where.x - half * (cos - sin)], [sin, cos, where.y - half * (sin + cos)]], np.float32
    )
    step = side / LOOK_SIDE
    across, down = halved.shape[1] / source.shape[1], halved.shape[0] / source.shape[0]
    to_source = (to_frame * np.array([step, step, 1.0]) - np.array([[0, 0, left], [0, 0, top]])) * [[across], [down]]
    view = cv2.warpAffine(halved, to_source, (LOOK_SIDE, LOOK_SIDE), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    return _Square(np.asarray(view, np.uint8), side, to_frame)


@functools.lru_cache(maxsize=64)
def _blank(side: int) -> Image:
    """A picture of ``side`` x ``side`` pixels that takes no memory, for its shape alone."""
    return np.broadcast_to(np.zeros((), np.uint8), (side, side, 3))


def _in_frame(face: DetectedFace, square: _Square, turn: int, image: Image) -> DetectedFace | None:
    """A face of the square as one of the frame; None for one that is cut by the square but not by the frame."""
    x, y = face.box[:2]
    w, h = float(face.box[2]), float(face.box[3])
    height, width = image.shape[:2]
    centre_x, centre_y = square.to_frame @ np.array([x + w / 2.0, y + h / 2.0, 1.0], np.float32)
    if turn:
        # The upright box around the ellipse in the turned one: at 90 degrees width and height change places.
        cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
        w, h = math.hypot(w * cos, h * sin), math.hypot(w * sin, h * cos)
    left, top = float(centre_x) - w / 2.0, float(centre_y) - h / 2.0
    is_cut = x <= 1 or y <= 1 or x + face.box[2] >= square.side - 1 or y + face.box[3] >= square.side - 1
    if is_cut and left > 1 and top > 1 and left + w < width - 1 and top + h < height - 1:
        return None
    box = clip_box((left, top, w, h), width, height)
    if box is None:
        return None
    points = face.landmarks
    if points is not None:
        points = (points @ square.to_frame[:, :2].T + square.to_frame[:, 2]).astype(np.float32)
    return DetectedFace(box, face.score, points)
