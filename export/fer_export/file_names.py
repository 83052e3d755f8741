"""Names of the model files in an output folder; the files there refer to each other by them."""

from __future__ import annotations

from typing import Final

__all__ = [
    "CALIBRATION",
    "FLOAT_NCHW_ONNX",
    "FLOAT_ONNX",
    "FLOAT_TFLITE",
    "INT8_ONNX",
    "INT8_TFLITE",
    "MODEL_FILES",
]

FLOAT_TFLITE: Final[str] = "fer_float.tflite"
INT8_TFLITE: Final[str] = "fer_int8.tflite"
FLOAT_ONNX: Final[str] = "fer_float.onnx"
INT8_ONNX: Final[str] = "fer_int8.onnx"
MODEL_FILES: Final[tuple[str, ...]] = (FLOAT_TFLITE, INT8_TFLITE, FLOAT_ONNX, INT8_ONNX)
FLOAT_NCHW_ONNX: Final[str] = "fer_float_nchw.onnx"
"""For tools that quantise themselves: the float network of the QAT weights, NCHW, batch 1, pads folded."""
CALIBRATION: Final[str] = "calibration"
"""Folder of faces for such tools."""
