"""Facial emotion recognition on small devices: numpy, OpenCV and one TFLite runtime, nothing else.

One picture::

    import fer_edge

    for face in fer_edge.analyze("face.jpg"):
        print(face.emotion, face.box)

A video, a camera or a folder::

    from fer_edge import FacePipeline, open_classifier

    for result in FacePipeline("video.mp4", open_classifier()):
        for face in result.faces:
            print(result.time_s, face.track_id, face.emotion, face.box)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fer_edge.classifier import Classifier, Prediction, open_classifier
from fer_edge.labels import EMOTIONS

if TYPE_CHECKING:
    from fer_edge.pipeline import Face, FacePipeline, Result
    from fer_edge.stills import analyze

__version__ = "0.1.0"  # pyproject.toml takes it from here, so that a copied folder knows it, too

__all__ = [
    "EMOTIONS",
    "Classifier",
    "Face",
    "FacePipeline",
    "Prediction",
    "Result",
    "analyze",
    "open_classifier",
]


def __getattr__(name: str) -> Any:
    """Load the camera side only when it is used: training and benchmarks import this package, too."""
    if name in ("Face", "FacePipeline", "Result"):
        from fer_edge import pipeline

        return getattr(pipeline, name)
    if name == "analyze":
        from fer_edge import stills

        return stills.analyze
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
