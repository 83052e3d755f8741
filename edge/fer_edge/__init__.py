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

from fer_edge._version import __version__
from fer_edge.lazy import lazy_names

TYPE_CHECKING = False  # as type checkers know it; typing's own takes longer to import than all that is here

if TYPE_CHECKING:
    from typing import Final

    from fer_edge.analysis.read import read_table
    from fer_edge.cameras.group import CameraGroup
    from fer_edge.inference.classifier import Classifier, Prediction
    from fer_edge.labels import EMOTIONS
    from fer_edge.loading.open import open_classifier
    from fer_edge.pipeline import FacePipeline
    from fer_edge.results import Face, Result
    from fer_edge.stills import analyze

__all__ = [
    "EMOTIONS",
    "CameraGroup",
    "Classifier",
    "Face",
    "FacePipeline",
    "Prediction",
    "Result",
    "__version__",
    "analyze",
    "open_classifier",
    "read_table",
]

_HOMES: Final[dict[str, str]] = {
    "CameraGroup": "fer_edge.cameras.group",
    "Classifier": "fer_edge.inference.classifier",
    "Prediction": "fer_edge.inference.classifier",
    "EMOTIONS": "fer_edge.labels",
    "open_classifier": "fer_edge.loading.open",
    "FacePipeline": "fer_edge.pipeline",
    "Face": "fer_edge.results",
    "Result": "fer_edge.results",
    "analyze": "fer_edge.stills",
    "read_table": "fer_edge.analysis.read",
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
