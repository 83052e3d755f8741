"""From a face to probabilities: tensors, the Classifier interface and its backends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fer_edge.lazy import lazy_names

if TYPE_CHECKING:
    from fer_edge.inference.backend import EXACT, BackendSpec, Tolerance
    from fer_edge.inference.backends import (
        backend_for,
        backend_spec,
        backends_for,
        load_backend,
        model_suffixes,
        offered_backends,
    )
    from fer_edge.inference.classifier import Classifier, ClassifierBase, FunctionClassifier, Prediction
    from fer_edge.inference.tensors import TensorSpec, dequantize, quantize, to_model_input

__all__ = [
    "EXACT",
    "BackendSpec",
    "Classifier",
    "ClassifierBase",
    "FunctionClassifier",
    "Prediction",
    "TensorSpec",
    "Tolerance",
    "backend_for",
    "backend_spec",
    "backends_for",
    "dequantize",
    "load_backend",
    "model_suffixes",
    "offered_backends",
    "quantize",
    "to_model_input",
]

_HOMES: Final[dict[str, str]] = {
    "BackendSpec": "fer_edge.inference.backend",
    "EXACT": "fer_edge.inference.backend",
    "Tolerance": "fer_edge.inference.backend",
    "backend_for": "fer_edge.inference.backends",
    "backend_spec": "fer_edge.inference.backends",
    "backends_for": "fer_edge.inference.backends",
    "load_backend": "fer_edge.inference.backends",
    "model_suffixes": "fer_edge.inference.backends",
    "offered_backends": "fer_edge.inference.backends",
    "Classifier": "fer_edge.inference.classifier",
    "ClassifierBase": "fer_edge.inference.classifier",
    "FunctionClassifier": "fer_edge.inference.classifier",
    "Prediction": "fer_edge.inference.classifier",
    "TensorSpec": "fer_edge.inference.tensors",
    "dequantize": "fer_edge.inference.tensors",
    "quantize": "fer_edge.inference.tensors",
    "to_model_input": "fer_edge.inference.tensors",
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
