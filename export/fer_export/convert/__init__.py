"""From weights to files: TFLite and ONNX, float and INT8."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fer_edge.lazy import lazy_names

if TYPE_CHECKING:
    from fer_export.convert.class_order import ORDERS, order_name
    from fer_export.convert.four_files import Networks, build_networks
    from fer_export.convert.keras_model import INPUT_RANGES, UserModel, load_weights
    from fer_export.convert.onnx_files import float_onnx, int8_onnx
    from fer_export.convert.onnxruntime_quantizer import quantize_with_onnxruntime
    from fer_export.convert.qdq_graph import OnnxTarget, UnknownOperatorError
    from fer_export.convert.qdq_writer import float_shadow, tflite_to_onnx

__all__ = [
    "INPUT_RANGES",
    "ORDERS",
    "Networks",
    "OnnxTarget",
    "UnknownOperatorError",
    "UserModel",
    "build_networks",
    "float_onnx",
    "float_shadow",
    "int8_onnx",
    "load_weights",
    "order_name",
    "quantize_with_onnxruntime",
    "tflite_to_onnx",
]

_HOMES: Final[dict[str, str]] = {
    "ORDERS": "fer_export.convert.class_order",
    "order_name": "fer_export.convert.class_order",
    "Networks": "fer_export.convert.four_files",
    "build_networks": "fer_export.convert.four_files",
    "INPUT_RANGES": "fer_export.convert.keras_model",
    "UserModel": "fer_export.convert.keras_model",
    "load_weights": "fer_export.convert.keras_model",
    "float_onnx": "fer_export.convert.onnx_files",
    "int8_onnx": "fer_export.convert.onnx_files",
    "quantize_with_onnxruntime": "fer_export.convert.onnxruntime_quantizer",
    "OnnxTarget": "fer_export.convert.qdq_graph",
    "UnknownOperatorError": "fer_export.convert.qdq_graph",
    "float_shadow": "fer_export.convert.qdq_writer",
    "tflite_to_onnx": "fer_export.convert.qdq_writer",
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
