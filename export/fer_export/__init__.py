"""From trained weights to verified INT8 and float models in TFLite and ONNX.

A run of ``fer-train`` as four files, judged on a data set::

    from pathlib import Path

    from fer_export import ExportRequest, export_models
    from fer_train.data.dataset import load_dataset

    data = load_dataset(Path("fer2013.zip"))
    request = ExportRequest(
        weights=Path("runs/mine"),
        out=Path("out"),
        split=data.split("validation"),
        representatives=data.split("train"),
        data="fer2013.zip",
    )
    print(export_models(request).verdict.remarks)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fer_edge.dependencies import set_defaults, set_folders
from fer_edge.lazy import lazy_names

if TYPE_CHECKING:
    from fer_export.check.gate import Limits, Verdict
    from fer_export.export import export_models
    from fer_export.request import ExportRequest, ExportResult, GateFailedError, GateReport, Steps
    from fer_export.tflite_file import TFLiteModel, read_tflite

__all__ = [
    "ExportRequest",
    "ExportResult",
    "GateFailedError",
    "GateReport",
    "Limits",
    "Steps",
    "TFLiteModel",
    "Verdict",
    "export_models",
    "read_tflite",
]

_HOMES: Final[dict[str, str]] = {
    "Limits": "fer_export.check.gate",
    "Verdict": "fer_export.check.gate",
    "export_models": "fer_export.export",
    "ExportRequest": "fer_export.request",
    "ExportResult": "fer_export.request",
    "GateFailedError": "fer_export.request",
    "GateReport": "fer_export.request",
    "Steps": "fer_export.request",
    "TFLiteModel": "fer_export.tflite_file",
    "read_tflite": "fer_export.tflite_file",
}

# Before anything imports Keras, Matplotlib or ONNX Runtime: they read these once.
set_defaults()
set_folders()

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
