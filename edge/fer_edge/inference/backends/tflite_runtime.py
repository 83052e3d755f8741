"""TFLite models on the CPU by ``tflite-runtime`` 2.14, the last release: for 32-bit Arm and Coral's older stacks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer_edge.errors import MissingDependencyError
from fer_edge.inference.backend import BackendSpec, Tolerance

if TYPE_CHECKING:
    from fer_edge.inference.classifier import Classifier


def open_model(model_path: Path, *, threads: int = 1) -> Classifier:
    """One ``.tflite`` model on one interpreter.

    Raises:
        MissingDependencyError: tflite-runtime is not installed, or numpy is too new for it.
        ModelError: a bad file.
    """
    from fer_edge.inference.tflite import TFLiteClassifier

    def interpreter(content: bytes) -> Any:
        import numpy as np

        if np.lib.NumpyVersion(np.__version__) >= "2.0.0":
            # Its wheel was built for numpy 1 and fails with an unexplained SystemError on 2.
            raise MissingDependencyError(
                f'tflite-runtime needs numpy < 2, numpy {np.__version__} is installed; pip install "numpy<2", '
                "or use ai-edge-litert instead"
            )
        try:
            from tflite_runtime.interpreter import Interpreter
        except ImportError as error:
            raise MissingDependencyError(
                f"tflite-runtime cannot be imported ({error}); install it with: "
                "pip install -r edge/requirements-tflite-runtime.txt"
            ) from error
        return Interpreter(model_content=content, num_threads=threads)

    def version() -> str:
        from importlib import metadata

        return f"tflite-runtime {metadata.version('tflite-runtime')}"

    return TFLiteClassifier(BACKEND.name, model_path, interpreter, version)


BACKEND = BackendSpec(
    name="tflite-runtime",
    open=open_model,
    runtime_module="tflite_runtime.interpreter",
    package="tflite-runtime",
    suffixes=(".tflite",),
    rank=20,
    is_tflite=True,
    # Older kernels round sums otherwise here and there: by one step of 1/256 at first, by more after fifty layers.
    tolerance=Tolerance(0.010, 0.90),
)
