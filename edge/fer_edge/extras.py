"""What each extra of the toolkit consists of, and which of it is missing."""

from __future__ import annotations

import importlib.util
from typing import Final

__all__ = ["EXTRAS", "missing_packages"]

_TRAIN: Final = (
    "tensorflow",
    "keras",
    "tf-keras",
    "tensorflow-model-optimization",
    "tensorboard",
    "matplotlib",
    "rich",
    "jinja2",
)
_EXPORT: Final = (*_TRAIN, "onnx", "onnxruntime", "tf2onnx")
EXTRAS: Final[dict[str, tuple[str, ...]]] = {
    "train": _TRAIN,
    "jax": (*_TRAIN, "jax"),
    "torch": (*_TRAIN, "torch"),
    "export": _EXPORT,
    "bench": ("jinja2", "matplotlib", "onnxruntime", "rich"),
    "web": ("starlette", "uvicorn"),
    "mqtt": ("paho-mqtt",),
    "heic": ("pillow-heif",),
    "table": ("pyarrow", "pandas", "matplotlib", "jinja2"),
    "cluster": ("dask", "distributed", "fsspec", "s3fs"),
    "audit": ("cleanlab", "scikit-learn", "scipy"),
    "vela": (*_EXPORT, "ethos-u-vela"),
    "tflm": (*_EXPORT, "tflite-micro"),
}
"""Names on PyPI, as in ``pyproject.toml``; repeated here because a copied ``fer_edge`` folder has no metadata."""
_MODULES: Final[dict[str, str]] = {
    "ethos-u-vela": "ethosu",
    "paho-mqtt": "paho.mqtt",
    "pillow-heif": "pillow_heif",
    "scikit-learn": "sklearn",
    "tensorflow-model-optimization": "tensorflow_model_optimization",
    "tf-keras": "tf_keras",
    "tflite-micro": "tflite_micro",
}
"""Where the module to import has another name than the package."""


def missing_packages(extra: str) -> tuple[str, ...]:
    """Those packages of ``extra`` that are not installed, by their names on PyPI.

    Args:
        extra: a key of :data:`EXTRAS`.

    Returns:
        Names on PyPI; empty where all are installed.
    """
    return tuple(package for package in EXTRAS[extra] if not _is_there(_MODULES.get(package, package)))


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):  # the package above it is missing, or half-installed
        return False
