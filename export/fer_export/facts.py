"""What an export notes of itself: where weights and data come from, how it quantised, with which versions."""

from __future__ import annotations

from typing import Any

from fer_edge.versions import source_commit
from fer_export.check.gate import Comparison
from fer_export.convert.four_files import Networks
from fer_export.convert.keras_model import UserModel
from fer_export.describe import manifest
from fer_export.file_names import FLOAT_TFLITE, INT8_TFLITE
from fer_export.request import ExportRequest
from fer_train.evaluation.evaluate import ECE_BINS
from fer_train.evaluation.temperature import describe
from fer_train.runs.trained import Trained
from fer_train.wording import counted

__all__ = ["calibration_facts", "facts_for_manifest", "facts_for_report"]


def facts_for_manifest(request: ExportRequest, networks: Networks, trained: Trained | UserModel) -> dict[str, Any]:
    """What the manifest records of an export beside its models.

    Args:
        request: what was exported.
        networks: the model files.
        trained: the weights.

    Returns:
        Plain JSON values.
    """
    return {
        "quantisation": networks.method,
        "onnx_target": request.onnx_target,
        "onnx_quantiser": "onnxruntime" if networks.onnx_quantiser else "fer-export",
        "weights": request.origin,
        "data": request.data,
        "data_fingerprint": request.data_fingerprint,
        "recipe": trained.config or None,
        "temperature": _temperature_record(trained),
    }


def facts_for_report(request: ExportRequest, networks: Networks, trained: Trained | UserModel) -> dict[str, str]:
    """What the reports list at the top.

    Args:
        request: what was exported.
        networks: the model files.
        trained: the weights.

    Returns:
        ``{name: text}``.
    """
    return {
        "weights": request.origin,
        "quantisation": {
            "QAT": "QAT, the ranges learned in training",
            "PTQ": f"PTQ, ranges measured on {request.representatives.name} faces, the same number of each class",
        }[networks.method],
        "input": f"{trained.input_size}x{trained.input_size} grey in three channels",
        "temperature": describe(record) if (record := _temperature_record(trained)) else "not scaled",
        "data": f"{request.data}, split {request.split.name}, {counted(len(request.split), 'image')}",
        "INT8 ONNX for": {"x86": "x86 (U8S8)", "arm": "Arm (S8S8)", "npu": "NPU compilers (S8S8, equal scales)"}[
            request.onnx_target
        ],
        "versions": ", ".join(f"{name} {version}" for name, version in manifest.versions().items()),
        "commit": source_commit() or "unknown (not a git checkout)",
    }


def _temperature_record(trained: Trained | UserModel) -> dict[str, Any] | None:
    """What ``fer-train calibrate`` found and folded, calibration errors before and after; None without it."""
    temperatures = trained.temperatures if isinstance(trained, Trained) else None
    return {key: value for key, value in temperatures.record.items() if key != "folded"} if temperatures else None


def calibration_facts(comparisons: dict[str, Comparison], *, labelled: bool) -> dict[str, str]:
    """How well probabilities are calibrated, for the reports.

    Args:
        comparisons: with the float model, by file name.
        labelled: whether the faces have true labels.

    Returns:
        ``{name: text}``; empty without labels.
    """
    if not labelled:
        return {}
    float_error, int8_error = (comparisons[name].other.ece for name in (FLOAT_TFLITE, INT8_TFLITE))
    n = comparisons[INT8_TFLITE].other.n_images
    return {
        f"expected calibration error ({ECE_BINS} bins)": (
            f"float {float_error:.4f}, INT8 {int8_error:.4f} on these {n} images"
        )
    }
