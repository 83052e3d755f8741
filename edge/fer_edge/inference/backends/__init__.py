"""The runtimes that can compute a model: a lazy table, so that naming one imports nothing of the others.

A new device is one new file with its class (see ``tflite.py``) and one line in :data:`BACKENDS`.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from fer_edge.errors import ModelError, UsageError

BACKENDS: Final[dict[str, str]] = {
    "litert": "fer_edge.inference.backends.tflite:LiteRTClassifier",
    "tflite-runtime": "fer_edge.inference.backends.tflite:TFLiteRuntimeClassifier",
    "coral": "fer_edge.inference.backends.coral:CoralClassifier",
    "onnx": "fer_edge.inference.backends.onnx:OnnxClassifier",
    "fake": "fer_edge.inference.backends.fake:FakeClassifier",
}
"""Backend name -> ``module:Class``; every class takes ``(model_path, *, threads)``."""


def load_backend(name: str) -> Callable[..., Any]:
    """The class behind ``name``; an unknown name lists what exists and the nearest match."""
    if name == "tflite":
        from fer_edge.inference.backends.installed import installed_backend

        name = installed_backend()
    target = BACKENDS.get(name)
    if target is None:
        near = difflib.get_close_matches(name, BACKENDS, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UsageError(f"unknown backend {name!r}{hint} Known: {', '.join(sorted(BACKENDS))}")
    module_name, class_name = target.split(":")
    loaded: Callable[..., Any] = getattr(importlib.import_module(module_name), class_name)
    return loaded


def backend_for(model_path: Path) -> str:
    """The backend that runs a file of this name when the user does not choose one."""
    if model_path.stem.endswith("_edgetpu"):
        return "coral"
    by_suffix = {".tflite": "tflite", ".onnx": "onnx"}
    try:
        return by_suffix[model_path.suffix]
    except KeyError:
        raise ModelError(f"{model_path}: expected a model file ending in .tflite or .onnx") from None
