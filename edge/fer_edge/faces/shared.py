"""One detector for several cameras: networks are laid out once for each shape of picture, not for each camera."""

from __future__ import annotations

from typing import Final

from fer_edge.arrays import Image
from fer_edge.faces.detection import DetectedFace, FaceDetector
from fer_edge.faces.look import ScalableDetector

__all__ = ["SHAPES_KEPT", "SharedDetector", "share"]

SHAPES_KEPT: Final[int] = 4
"""Networks for this many proportions of pictures stay laid out; laying one out again costs a third of a search."""


class SharedDetector:
    """A detector that gives every camera the same networks. For the use of one thread.

    Args:
        detector: the detector.
    """

    def __init__(self, detector: ScalableDetector) -> None:
        self.name = detector.name
        self.width = detector.width
        self.score = detector.score
        self._plain = detector
        self._scaled: dict[tuple[int, float], SharedDetector] = {}
        self._by_shape: dict[tuple[int, int], ScalableDetector] = {}

    @property
    def plain(self) -> ScalableDetector:
        """The detector itself."""
        return self._plain

    def at_width(self, width: int, score: float | None = None) -> SharedDetector:
        """See :meth:`ScalableDetector.at_width`; the same one for everybody who asks.

        Args:
            width: in pixels.
            score: least score of a face; None: as it is.

        Returns:
            The detector for such views.
        """
        key = (width, self.score if score is None else score)
        if key not in self._scaled:
            self._scaled[key] = SharedDetector(self._plain.at_width(*key))
        return self._scaled[key]

    def detect(self, image: Image, small: Image | None = None) -> list[DetectedFace]:
        """See :meth:`FaceDetector.detect`.

        Args:
            image: ``(H, W, 3)`` BGR uint8.
            small: the same picture at fewer pixels, where the camera delivers one.

        Returns:
            The faces from left to right.
        """
        return self._of_shape(image if small is None else small).detect(image, small)

    def _of_shape(self, view: Image) -> ScalableDetector:
        """The one whose network was last laid out for pictures of these proportions."""
        height, width = view.shape[:2]
        across = min(width, self.width)
        shape = (round(height * across / width), across)
        found = self._by_shape.pop(shape, None)
        if found is None:
            if not self._by_shape:
                found = self._plain
            elif len(self._by_shape) < SHAPES_KEPT:
                # By way of another width: a detector shares its network with one of its own width.
                found = self._plain.at_width(self.width + 1, self.score).at_width(self.width, self.score)
            else:
                found = self._by_shape.pop(next(iter(self._by_shape)))  # the one that was not used for longest
        self._by_shape[shape] = found
        return found


def share(detector: FaceDetector) -> FaceDetector:
    """The detector as several cameras share it.

    Args:
        detector: any.

    Returns:
        A :class:`SharedDetector`, or the detector itself where it has no networks of several widths.
    """
    return SharedDetector(detector) if isinstance(detector, ScalableDetector) else detector
