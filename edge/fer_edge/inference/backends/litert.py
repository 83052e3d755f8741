"""TFLite models on the CPU by LiteRT (``ai-edge-litert``), with XNNPACK.

INT8 results are bit-identical on every x86 processor and at any number of threads.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer_edge.errors import MissingDependencyError
from fer_edge.inference.backend import EXACT, BackendSpec, Tolerance

if TYPE_CHECKING:
    from fer_edge.inference.classifier import Classifier


def open_model(model_path: Path, *, threads: int = 1) -> Classifier:
    """One ``.tflite`` model on one interpreter.

    Raises:
        MissingDependencyError: LiteRT is not installed.
        ModelError: a bad file.
    """
    from fer_edge.inference.tflite import TFLiteClassifier

    def interpreter(content: bytes) -> Any:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise MissingDependencyError(
                f"ai-edge-litert cannot be imported ({error}); install it with: pip install ai-edge-litert"
            ) from error
        return Interpreter(model_content=content, num_threads=threads)

    def version() -> str:
        from importlib import metadata

        return f"ai-edge-litert {metadata.version('ai-edge-litert')}"

    return TFLiteClassifier(BACKEND.name, model_path, interpreter, version)


BACKEND = BackendSpec(
    name="litert",
    open=open_model,
    runtime_module="ai_edge_litert.interpreter",
    package="ai-edge-litert",
    suffixes=(".tflite",),
    rank=10,
    install_hint="ai-edge-litert (on 32-bit Arm: pip install -r edge/requirements-tflite-runtime.txt)",
    is_tflite=True,
    tolerance=EXACT,
    # Every logit is identical there, but the last operator, SOFTMAX, rounds differently: measured on emulated
    # Cortex-A72 and A76, one value of 448 by one step of 1/256, 0.00001 on average.
    tolerance_elsewhere=Tolerance(0.0002, 1.0),
    can_profile=True,
)
