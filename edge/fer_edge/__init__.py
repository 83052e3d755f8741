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

import importlib
from typing import TYPE_CHECKING, Any, Final

from fer_edge._version import __version__

if TYPE_CHECKING:
    from fer_edge.inference.classifier import Classifier, Prediction
    from fer_edge.labels import EMOTIONS
    from fer_edge.loading.open import open_classifier
    from fer_edge.pipeline import FacePipeline
    from fer_edge.results import Face, Result
    from fer_edge.stills import analyze

__all__ = [
    "EMOTIONS",
    "Classifier",
    "Face",
    "FacePipeline",
    "Prediction",
    "Result",
    "__version__",
    "analyze",
    "open_classifier",
]

_HOMES: Final[dict[str, str]] = {
    "EMOTIONS": "fer_edge.labels",
    "Classifier": "fer_edge.inference.classifier",
    "Face": "fer_edge.results",
    "FacePipeline": "fer_edge.pipeline",
    "Prediction": "fer_edge.inference.classifier",
    "Result": "fer_edge.results",
    "analyze": "fer_edge.stills",
    "open_classifier": "fer_edge.loading.open",
}


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used: errors, help and versions need neither OpenCV nor numpy.

    Raises:
        MissingDependencyError: a package, or a library of the system that one needs, is missing; in one line.
    """
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from fer_edge.missing import explained

    with explained():
        value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value  # the next look-up finds it without coming here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
