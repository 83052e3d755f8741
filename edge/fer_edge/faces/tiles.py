"""Small faces in photos: the whole picture as in a video, then again in larger views, cut into tiles.

YuNet finds faces between about 16 pixels and the size of what it is given; a video frame is given to it at a width of
320, where a face of 100 pixels in a photo of 12 megapixels is 8 pixels wide. A photo may take longer than a frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import cv2
import numpy as np

from fer_edge.arrays import Image
from fer_edge.defaults import SMALLEST_FACE
from fer_edge.faces.detection import Box, DetectedFace, FaceDetector
from fer_edge.faces.detectors.yunet import YUNET_MIN_FACE, YuNetDetector

__all__ = [
    "OVERLAP",
    "SAME_FACE",
    "STEP",
    "TILE",
    "PhotoDetector",
    "distinct",
    "for_photos",
    "scales",
    "tiles",
]


TILE: Final[int] = 640
OVERLAP: Final[int] = 128
"""Faces up to this size lie whole in one of the tiles; larger ones are found in the next smaller view."""
STEP: Final[float] = OVERLAP / YUNET_MIN_FACE
"""Ratio of widths of successive views at which no face size is missed by both."""
SAME_FACE: Final[float] = 0.5
"""Two boxes that share this fraction of the smaller one are one face."""


class PhotoDetector:
    """Finds faces of :data:`SMALLEST_FACE` pixels or more, in photos of any size.

    Args:
        detector: searches a whole picture at its usual width.
    """

    def __init__(self, detector: YuNetDetector) -> None:
        self.name = detector.name
        self._whole = detector
        self._close = detector.at_width(TILE)

    def smallest(self, width: int) -> int:
        """From which width on faces are searched in a picture of ``width`` pixels.

        Args:
            width: of the picture, in pixels.

        Returns:
            Width of the smallest face that is searched, in pixels.
        """
        return min(SMALLEST_FACE, self._whole.smallest(width))

    def detect(self, image: Image, small: Image | None = None) -> list[DetectedFace]:
        """See :meth:`fer_edge.faces.detectors.FaceDetector.detect`."""
        faces = self._whole.detect(image, small)
        width = image.shape[1]
        finest = YUNET_MIN_FACE / SMALLEST_FACE
        for scale in scales(min(1.0, self._whole.width / width), finest):
            faces += self._at(image, scale)
        return sorted(distinct(faces), key=lambda face: face.box)

    def _at(self, image: Image, scale: float) -> Iterator[DetectedFace]:
        height, width = image.shape[:2]
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        view = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        across, down = width / size[0], height / size[1]
        for left, top in tiles(*size):
            tile = view[top : top + TILE, left : left + TILE]
            for face in self._close.detect(np.ascontiguousarray(tile)):
                x, y, w, h = face.box
                # What is cut by the edge of a tile lies whole in the next one, or in the view before.
                if _cut(x, w, left, tile.shape[1], size[0]) or _cut(y, h, top, tile.shape[0], size[1]):
                    continue
                box = _scaled((x + left, y + top, w, h), across, down, width, height)
                points = face.landmarks
                if points is not None:
                    points = ((points + np.array([left, top])) * (across, down)).astype(np.float32)
                yield DetectedFace(box, face.score, points)


def for_photos(detector: FaceDetector) -> FaceDetector:
    """A detector that finds smaller faces, for sources whose pictures have time; Haar stays what it is.

    Args:
        detector: any detector.

    Returns:
        A :class:`PhotoDetector` around YuNet; any other detector itself.
    """
    return PhotoDetector(detector) if isinstance(detector, YuNetDetector) else detector


def scales(first: float, last: float) -> list[float]:
    """The views from coarse to fine, as parts of the picture's size, after the whole picture at ``first``.

    Args:
        first: scale at which the whole picture has been searched, in (0, 1].
        last: the finest scale.

    Returns:
        Growing scales after ``first``, ending with ``last``; empty where ``first`` is not below it.
    """
    heights: list[float] = []
    now = first
    while now < last:
        now = min(last, now * STEP)
        heights.append(now)
    return heights


def tiles(width: int, height: int) -> Iterator[tuple[int, int]]:
    """Left and top of the tiles that cover a view; all of the same size where the view is larger than one.

    Args:
        width: of the view, in pixels.
        height: of the view, in pixels.

    Returns:
        ``(left, top)`` of each tile in pixels, row by row.
    """
    for top in _starts(height):
        for left in _starts(width):
            yield left, top


def _starts(length: int) -> list[int]:
    if length <= TILE:
        return [0]
    count = -(-(length - OVERLAP) // (TILE - OVERLAP))
    return [round(number * (length - TILE) / (count - 1)) for number in range(count)]


def _cut(start: int, extent: int, tile_start: int, tile_extent: int, whole: int) -> bool:
    """Whether a face touches an edge of its tile that is not an edge of the picture."""
    return (start <= 1 and tile_start > 0) or (start + extent >= tile_extent - 1 and tile_start + tile_extent < whole)


def _scaled(box: Box, across: float, down: float, width: int, height: int) -> Box:
    left, top = min(round(box[0] * across), width - 1), min(round(box[1] * down), height - 1)
    right, bottom = round((box[0] + box[2]) * across), round((box[1] + box[3]) * down)
    return left, top, max(1, min(right, width) - left), max(1, min(bottom, height) - top)


def distinct(faces: list[DetectedFace]) -> list[DetectedFace]:
    """``faces`` without those that an earlier one in the list covers, as found in a coarser view or with more score.

    Args:
        faces: the more trustworthy ones first.

    Returns:
        Those that are kept, in the same order.
    """
    kept: list[DetectedFace] = []
    boxes = np.zeros((0, 4), np.float64)
    for face in faces:
        x, y, w, h = face.box
        if len(boxes):
            wide = np.minimum(boxes[:, 0] + boxes[:, 2], x + w) - np.maximum(boxes[:, 0], x)
            high = np.minimum(boxes[:, 1] + boxes[:, 3], y + h) - np.maximum(boxes[:, 1], y)
            shared = np.maximum(wide, 0.0) * np.maximum(high, 0.0)
            if (shared > SAME_FACE * np.minimum(boxes[:, 2] * boxes[:, 3], float(w * h))).any():
                continue
        kept.append(face)
        boxes = np.concatenate([boxes, [[x, y, w, h]]])
    return kept
