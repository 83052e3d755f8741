"""Float ONNX models by OpenCV's DNN module: a reference for measurements, not a backend for use.

It computes the float ONNX network right (top-1 and probabilities agree to 1e-5), several times slower than the
runtimes. Other files are refused here, because it computes them wrong or not at all, depending on its version: 4.14
loses the bias of TFLite's dense layers, neither 4.14 nor 5.0 has an int8 mean, and 5.0 does not load the INT8 ONNX file
(export/README.md, "Which runtime opens which file?").
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from fer_edge.errors import MissingDependencyError, ModelError
from fer_edge.inference.classifier import ClassifierBase
from fer_edge.inference.tensors import TensorSpec
from fer_edge.labels import NUM_EMOTIONS

__all__ = ["OpenCVReference"]


class OpenCVReference(ClassifierBase):
    """One float ONNX model in one ``cv2.dnn`` network.

    Args:
        model_path: the file.
        threads: CPU threads of one inference.

    Raises:
        ModelError: the file is not a float ONNX model, or OpenCV cannot load it.
        MissingDependencyError: onnx is not installed.
    """

    backend = "opencv"

    def __init__(self, model_path: Path, *, threads: int = 1) -> None:
        cv2.setNumThreads(threads)
        shape = _input_shape(model_path)
        try:
            self._net = cv2.dnn.readNetFromONNX(str(model_path))
        except cv2.error as error:
            raise ModelError(
                f"{model_path} cannot be loaded by OpenCV: {str(error).strip().splitlines()[0]}"
            ) from error
        float32 = np.dtype(np.float32)
        specs = TensorSpec("input", shape, float32), TensorSpec("output", (1, NUM_EMOTIONS), float32)
        super().__init__(model_path, *specs, f"opencv {cv2.__version__}")

    def infer(self, tensor: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Bare network.

        Args:
            tensor: ``(1, S, S, 3)`` float32.

        Returns:
            ``(1, 7)`` float32.
        """
        self._net.setInput(tensor)
        result: npt.NDArray[Any] = self._net.forward().reshape(1, NUM_EMOTIONS)
        return result


def _input_shape(path: Path) -> tuple[int, ...]:
    """From the file: OpenCV does not report it. Raises :class:`ModelError` for anything but a float ONNX model."""
    try:
        import onnx
    except ImportError as error:
        raise MissingDependencyError.for_extra("onnx", "export") from error
    try:
        entry = onnx.load(str(path), load_external_data=False).graph.input[0].type.tensor_type
    except Exception as error:  # protobuf's errors share no public base class
        raise ModelError(f"{path} is not an ONNX model; OpenCV computes only float ONNX models right") from error
    if entry.elem_type != onnx.TensorProto.FLOAT:
        raise ModelError(f"{path}: OpenCV computes only float ONNX models right, this one takes another input")
    return tuple(dimension.dim_value or 1 for dimension in entry.shape.dim)
