"""TFLite models on the CPU, by LiteRT (ai-edge-litert) or the older tflite-runtime; both use XNNPACK."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fer_edge.errors import MissingDependencyError, ModelError
from fer_edge.inference.classifier import ClassifierBase
from fer_edge.inference.tensors import TensorSpec

EDGE_TPU_CUSTOM_OP = b"edgetpu-custom-op"


def tensor_spec(details: dict[str, Any]) -> TensorSpec:
    """Our description of a tensor from the interpreter's ``get_input_details()`` entry."""
    scale, zero_point = details["quantization"]
    shape = tuple(int(n) for n in details["shape"])
    return TensorSpec(str(details["name"]), shape, np.dtype(details["dtype"]), float(scale), int(zero_point))


class _TFLiteClassifier(ClassifierBase):
    """One TFLite model on one interpreter. Not to be shared between threads, as the interpreter is not."""

    package = ""
    accepts_compiled = False
    """Whether models compiled for the Edge TPU run here."""

    def __init__(self, model_path: Path, *, threads: int = 1) -> None:
        content = model_path.read_bytes()
        if content[4:8] != b"TFL3":  # the file identifier of the TFLite schema
            raise ModelError(f"{model_path} is not a TFLite model (no TFL3 mark); expected a .tflite file")
        if EDGE_TPU_CUSTOM_OP in content and not self.accepts_compiled:
            raise ModelError(
                f"{model_path} is compiled for the Edge TPU and runs only there (--backend coral); "
                "on the CPU use the model that it was compiled from"
            )
        try:
            self._interpreter = self._load(content, threads)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise ModelError(f"{model_path} cannot be loaded, truncated or damaged? {reason}") from error
        inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        if len(inputs) != 1 or len(outputs) != 1:
            raise ModelError(
                f"{model_path}: expected one input and one output, the model has {len(inputs)} and {len(outputs)}"
            )
        self._input_index, self._output_index = inputs[0]["index"], outputs[0]["index"]
        version = f"{self.package} {metadata.version(self.package)}"
        super().__init__(model_path, tensor_spec(inputs[0]), tensor_spec(outputs[0]), version)

    def _load(self, content: bytes, threads: int) -> Any:
        raise NotImplementedError

    def infer(self, tensor: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Bare network: ``(1, S, S, 3)`` to ``(1, 7)``, both in the model's own dtypes."""
        self._interpreter.set_tensor(self._input_index, tensor)
        self._interpreter.invoke()
        result: npt.NDArray[Any] = self._interpreter.get_tensor(self._output_index)  # a copy
        return result


class LiteRTClassifier(_TFLiteClassifier):
    """TFLite by ``ai-edge-litert``: bit-identical INT8 results on x86 and Arm, at any number of threads."""

    backend = "litert"
    package = "ai-edge-litert"

    def _load(self, content: bytes, threads: int) -> Any:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise MissingDependencyError(
                f"ai-edge-litert cannot be imported ({error}); install it with: pip install ai-edge-litert"
            ) from error
        return Interpreter(model_content=content, num_threads=threads)


class TFLiteRuntimeClassifier(_TFLiteClassifier):
    """TFLite by ``tflite-runtime`` 2.14, the last release: for 32-bit Arm and for Coral's older stacks."""

    backend = "tflite-runtime"
    package = "tflite-runtime"

    def _load(self, content: bytes, threads: int) -> Any:
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
