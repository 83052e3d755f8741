"""Facial emotion recognition on small devices: numpy, OpenCV and one TFLite runtime, nothing else.

In five lines::

    from fer_edge import FacePipeline, open_classifier

    for result in FacePipeline("video.mp4", open_classifier()):
        for face in result.faces:
            print(result.time_s, face.track_id, face.emotion, face.box)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fer_edge.inference.classifier import Classifier, Prediction
from fer_edge.labels import EMOTIONS
from fer_edge.loading.open import open_classifier

if TYPE_CHECKING:
    from fer_edge.pipeline import FacePipeline
    from fer_edge.results import Face, Result

__all__ = ["EMOTIONS", "Classifier", "Face", "FacePipeline", "Prediction", "Result", "open_classifier"]


def __getattr__(name: str) -> Any:
    """Load the camera side only when it is used: training and benchmarks import this package, too."""
    if name in ("Face", "FacePipeline", "Result"):
        from fer_edge import pipeline

        return getattr(pipeline, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
