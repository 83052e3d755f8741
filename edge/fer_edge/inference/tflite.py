"""TFLite models by whatever interpreter a backend brings: LiteRT, tflite-runtime, with or without a delegate."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fer_edge.errors import ModelError
from fer_edge.inference.classifier import ClassifierBase
from fer_edge.inference.tensors import INPUT_SHAPES, TensorSpec

__all__ = ["EDGE_TPU_CUSTOM_OP", "TFLiteClassifier", "tensor_spec"]

EDGE_TPU_CUSTOM_OP = b"edgetpu-custom-op"


def tensor_spec(details: dict[str, Any]) -> TensorSpec:
    """Our description of a tensor.

    Args:
        details: an entry of the interpreter's ``get_input_details()`` or ``get_output_details()``.

    Returns:
        Name, shape, dtype, scale and zero point.
    """
    scale, zero_point = details["quantization"]
    shape = tuple(int(n) for n in details["shape"])
    return TensorSpec(str(details["name"]), shape, np.dtype(details["dtype"]), float(scale), int(zero_point))


def _check_fixed_size(model_path: Path, inputs: list[dict[str, Any]]) -> None:
    """Refuse a model that leaves the side of its input open: runtimes take it for 1 and fail somewhere inside."""
    for details in inputs:
        signature = tuple(int(n) for n in details.get("shape_signature", ()))
        if any(n < 0 for n in signature[1:]):
            raise ModelError(
                f"{model_path}: expected an input of shape {INPUT_SHAPES}, the model leaves its size open {signature}; "
                "fix the size of the network's input and convert it again"
            )


class TFLiteClassifier(ClassifierBase):
    """One TFLite model on one interpreter. Not to be shared between threads, as the interpreter is not.

    Args:
        backend: name of the backend.
        model_path: a ``.tflite`` file.
        interpreter: makes the interpreter from the file's content.
        runtime_version: package and version, asked for when it is read: that takes a tenth of the start.
        accepts_compiled: whether models compiled for the Edge TPU run here.

    Raises:
        ModelError: not a TFLite model, damaged, or not of our shape.
    """

    def __init__(
        self,
        backend: str,
        model_path: Path,
        interpreter: Callable[[bytes], Any],
        runtime_version: Callable[[], str],
        *,
        accepts_compiled: bool = False,
    ) -> None:
        self.backend = backend
        content = model_path.read_bytes()
        if content[4:8] != b"TFL3":  # the file identifier of the TFLite schema
            raise ModelError(f"{model_path} is not a TFLite model (no TFL3 mark); expected a .tflite file")
        if EDGE_TPU_CUSTOM_OP in content and not accepts_compiled:
            raise ModelError(
                f"{model_path} is compiled for the Edge TPU and runs only there (--backend coral); "
                "on the CPU use the model that it was compiled from"
            )
        try:
            self._interpreter = interpreter(content)
            _check_fixed_size(model_path, self._interpreter.get_input_details())
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
        super().__init__(model_path, tensor_spec(inputs[0]), tensor_spec(outputs[0]), runtime_version)

    def infer(self, tensor: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The bare network.

        Args:
            tensor: of the model's own shape and dtype.

        Returns:
            ``(1, 7)`` in the model's own dtype.
        """
        self._interpreter.set_tensor(self._input_index, tensor)
        self._interpreter.invoke()
        result: npt.NDArray[Any] = self._interpreter.get_tensor(self._output_index)  # a copy
        return result
