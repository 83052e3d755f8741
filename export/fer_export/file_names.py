"""Names of the files that an export writes."""

from __future__ import annotations

from typing import Final

__all__ = ["FLOAT_ONNX", "FLOAT_TFLITE", "INT8_ONNX", "INT8_TFLITE", "MODEL_FILES"]

FLOAT_TFLITE: Final[str] = "fer_float.tflite"
INT8_TFLITE: Final[str] = "fer_int8.tflite"
FLOAT_ONNX: Final[str] = "fer_float.onnx"
INT8_ONNX: Final[str] = "fer_int8.onnx"
MODEL_FILES: Final[tuple[str, ...]] = (FLOAT_TFLITE, INT8_TFLITE, FLOAT_ONNX, INT8_ONNX)
