"""Quantisation-aware training and conversion to INT8 TFLite."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fer_edge.lazy import lazy_names

if TYPE_CHECKING:
    from fer_train.quantization.qat_network import equalize_depthwise, measure_ranges, snap_kernels, wrap_for_qat
    from fer_train.quantization.tflite import evaluate_int8, float_to_tflite, ptq_to_tflite, qat_to_tflite

__all__ = [
    "equalize_depthwise",
    "evaluate_int8",
    "float_to_tflite",
    "measure_ranges",
    "ptq_to_tflite",
    "qat_to_tflite",
    "snap_kernels",
    "wrap_for_qat",
]

_HOMES: Final[dict[str, str]] = {
    "equalize_depthwise": "fer_train.quantization.qat_network",
    "measure_ranges": "fer_train.quantization.qat_network",
    "snap_kernels": "fer_train.quantization.qat_network",
    "wrap_for_qat": "fer_train.quantization.qat_network",
    "evaluate_int8": "fer_train.quantization.tflite",
    "float_to_tflite": "fer_train.quantization.tflite",
    "ptq_to_tflite": "fer_train.quantization.tflite",
    "qat_to_tflite": "fer_train.quantization.tflite",
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
