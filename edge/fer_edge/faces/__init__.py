"""Find faces and follow them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fer_edge.lazy import lazy_names

if TYPE_CHECKING:
    from fer_edge.faces.detection import Box, DetectedFace, FaceDetector
    from fer_edge.faces.detector import DetectorSpec
    from fer_edge.faces.detectors import detector_names, open_detector
    from fer_edge.faces.follow import BoxFlow
    from fer_edge.faces.tiles import for_photos
    from fer_edge.faces.tracks import TrackedAnswer, Tracker

__all__ = [
    "Box",
    "BoxFlow",
    "DetectedFace",
    "DetectorSpec",
    "FaceDetector",
    "TrackedAnswer",
    "Tracker",
    "detector_names",
    "for_photos",
    "open_detector",
]

_HOMES: Final[dict[str, str]] = {
    "Box": "fer_edge.faces.detection",
    "DetectedFace": "fer_edge.faces.detection",
    "FaceDetector": "fer_edge.faces.detection",
    "DetectorSpec": "fer_edge.faces.detector",
    "detector_names": "fer_edge.faces.detectors",
    "open_detector": "fer_edge.faces.detectors",
    "BoxFlow": "fer_edge.faces.follow",
    "for_photos": "fer_edge.faces.tiles",
    "TrackedAnswer": "fer_edge.faces.tracks",
    "Tracker": "fer_edge.faces.tracks",
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
