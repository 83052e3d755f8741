"""Which TFLite runtime is installed."""

from __future__ import annotations

import importlib.util

from fer_edge.errors import MissingDependencyError


def installed_backend() -> str:
    """``litert`` or ``tflite-runtime``, whichever is installed; LiteRT where both are.

    Raises :class:`MissingDependencyError` where neither is.
    """
    if importlib.util.find_spec("ai_edge_litert"):
        return "litert"
    if importlib.util.find_spec("tflite_runtime"):
        return "tflite-runtime"
    raise MissingDependencyError(
        "no TFLite runtime is installed; install one with: pip install ai-edge-litert "
        "(on 32-bit Arm: pip install -r edge/requirements-tflite-runtime.txt)"
    )
