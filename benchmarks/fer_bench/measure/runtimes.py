"""The runtimes that can be measured: those of ``fer_edge``, and OpenCV's own as a reference."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from fer_edge.inference.backends import load_backend

OPENCV: Final[str] = "opencv"
OLD_RUNTIME_PYTHON: Final[Path] = Path(__file__).parents[3] / ".venv-tflite-runtime" / "bin" / "python"
"""tflite-runtime needs numpy 1, hence an environment of its own; found here, ``--all`` uses it."""


def load_runtime(name: str) -> Callable[..., Any]:
    """The class behind ``name``, as :func:`fer_edge.inference.backends.load_backend`, or the OpenCV reference."""
    if name == OPENCV:
        from fer_bench.measure.opencv_reference import OpenCVReference

        return OpenCVReference
    return load_backend(name)
