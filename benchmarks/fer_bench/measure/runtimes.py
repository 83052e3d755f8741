"""The runtimes that can be measured: those of ``fer_edge``, and OpenCV's own as a reference."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from fer_edge.inference.backend import BackendSpec
from fer_edge.inference.backends import backend_spec

__all__ = ["OLD_RUNTIME_PYTHON", "OPENCV", "REFERENCE", "load_runtime", "runtime_spec"]

OPENCV: Final[str] = "opencv"
OLD_RUNTIME_PYTHON: Final[Path] = Path(__file__).parents[3] / ".venv-tflite-runtime" / "bin" / "python"
"""tflite-runtime needs numpy 1, hence an environment of its own; found here, ``--all`` uses it."""


def _open_reference(path: Path, *, threads: int = 1) -> Any:
    from fer_bench.measure.opencv_reference import OpenCVReference

    return OpenCVReference(path, threads=threads)


REFERENCE: Final[BackendSpec] = BackendSpec(
    name=OPENCV,
    open=_open_reference,
    runtime_module="cv2",
    package="opencv-python",
    suffixes=(".onnx",),
    offered=False,
)


def runtime_spec(name: str) -> BackendSpec:
    """The record of a runtime: one of ``fer_edge``, or that of the OpenCV reference.

    Args:
        name: of the runtime.

    Returns:
        The record.

    Raises:
        UsageError: there is no runtime of this name.
    """
    return REFERENCE if name == OPENCV else backend_spec(name)


def load_runtime(name: str) -> Callable[..., Any]:
    """What opens a model on a runtime.

    Args:
        name: of the runtime.

    Returns:
        ``(model_path, *, threads)`` to a classifier.

    Raises:
        UsageError: there is no runtime of this name.
    """
    return runtime_spec(name).open
