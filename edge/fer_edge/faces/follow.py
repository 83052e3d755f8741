"""Where a face went since the last frame, without searching for it again: for the frames between two detections.

A grid of points in each box is followed by optical flow (Lucas and Kanade 1981, pyramidal, in OpenCV); the box moves by
the median of their ways (Kalal et al. 2010, "Forward-Backward Error: Automatic Detection of Tracking Failures"). That
costs a fraction of a millisecond on the shrunken frame.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from fer_edge.arrays import FloatArray, Image
from fer_edge.faces.detection import DetectedFace, clip_box, shrink

__all__ = ["GRID", "LEVELS", "MAX_DIFFERENCE", "MAX_STRAY", "MIN_POINTS", "WINDOW", "BoxFlow"]

GRID: Final[int] = 6
"""Points along each side of a box."""
WINDOW: Final[int] = 11  # pixels around a point that must look alike in the next frame
LEVELS: Final[int] = 2
MIN_POINTS: Final[int] = 8
"""Fewer points found again together than this, of ``GRID**2``: the face is lost until it is detected again."""
MAX_DIFFERENCE: Final[float] = 25.0
"""Mean difference in grey levels between the windows around a point and around where it is thought to have gone."""
MAX_STRAY: Final[float] = 0.1
"""How far from the median a point may have gone, as a fraction of the box."""


class BoxFlow:
    """Carries the faces of the last frame on to the next by pyramidal Lucas-Kanade optical flow (Bouguet, 2001).

    Args:
        width: of the frames that are compared, in pixels.
    """

    def __init__(self, width: int = 320) -> None:
        self.width = width
        self._before: Image | None = None

    def see(self, image: Image, small: Image | None = None) -> None:
        """Remember a frame in which faces have just been detected, as the one to start from.

        Args:
            image: ``(H, W, 3)`` BGR uint8.
            small: the same picture at fewer pixels, where the camera delivers one.
        """
        self._before = self._gray(image, small)

    def follow(
        self,
        faces: list[DetectedFace],
        image: Image,
        small: Image | None = None,
    ) -> list[DetectedFace]:
        """``faces`` of the frame before, moved to where they are in ``image``; those that were lost are left out.

        Args:
            faces: those of the frame before.
            image: ``(H, W, 3)`` BGR uint8.
            small: the same picture at fewer pixels, where the camera delivers one.

        Returns:
            The faces that were found again; their scores are those of the detection.
        """
        before, after = self._before, self._gray(image, small)
        self._before = after
        if before is None or before.shape != after.shape or not faces:
            return []
        scale = image.shape[1] / after.shape[1]
        starts = np.concatenate([_grid(face) for face in faces]) / np.float32(scale)
        ends, status, difference = cv2.calcOpticalFlowPyrLK(
            before,
            after,
            starts[:, None],
            None,  # type: ignore[call-overload]
            winSize=(WINDOW, WINDOW),
            maxLevel=LEVELS,
        )
        ways = (ends[:, 0] - starts).reshape(len(faces), -1, 2) * scale
        alike = (status.astype(bool) & (difference < MAX_DIFFERENCE)).reshape(len(faces), -1)
        moved = []
        for face, way, ok in zip(faces, ways, alike, strict=True):
            if np.count_nonzero(ok) < MIN_POINTS:
                continue
            x, y, w, h = face.box
            # The median, without np.median: that would load numpy.ma, 8 MiB for nothing.
            shift = np.sort(way[ok], axis=0)[np.count_nonzero(ok) // 2]
            together = np.abs(way[ok] - shift).max(axis=1) < MAX_STRAY * max(w, h)
            if np.count_nonzero(together) < MIN_POINTS:
                continue
            box = clip_box((x + float(shift[0]), y + float(shift[1]), w, h), image.shape[1], image.shape[0])
            if box is not None:
                landmarks = None if face.landmarks is None else (face.landmarks + shift).astype(np.float32)
                moved.append(DetectedFace(box, face.score, landmarks))
        return moved

    def _gray(self, image: Image, small: Image | None) -> Image:
        view = shrink(image if small is None else small, self.width)
        return np.asarray(cv2.cvtColor(view, cv2.COLOR_BGR2GRAY), dtype=np.uint8)


def _grid(face: DetectedFace) -> FloatArray:
    """``(GRID**2, 2)`` points spread over the middle of a box, away from the background at its edges."""
    x, y, w, h = face.box
    steps = (np.arange(GRID, dtype=np.float32) + 0.5) / GRID * np.float32(0.7) + np.float32(0.15)
    columns, rows = np.meshgrid(x + w * steps, y + h * steps)
    return np.stack([columns.ravel(), rows.ravel()], axis=1).astype(np.float32)
