"""Latency, memory and accuracy of FER models, measured so that people can trust them.

Two models, and which one is faster::

    from fer_bench import BenchRequest, measure_models

    report = measure_models(BenchRequest(models=("fer_int8.tflite", "fer_float.tflite"), accuracy=False))
    for result in report.results:
        print(result.name, result.latency_ms.p50, result.valid)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fer_edge.dependencies import set_defaults, set_folders
from fer_edge.lazy import lazy_names

if TYPE_CHECKING:
    from fer_bench.compare.models import ModelComparison, compare_reports
    from fer_bench.compare.pipelines import PipelineComparison, compare_pipelines
    from fer_bench.measure.measurement import measure_models
    from fer_bench.report.html_page import write_page
    from fer_bench.report_file import read_report, write_report
    from fer_bench.request import BenchRequest, CompareRequest
    from fer_bench.schema import EndToEnd, Profile, Report, Result

__all__ = [
    "BenchRequest",
    "CompareRequest",
    "EndToEnd",
    "ModelComparison",
    "PipelineComparison",
    "Profile",
    "Report",
    "Result",
    "compare_pipelines",
    "compare_reports",
    "measure_models",
    "read_report",
    "write_page",
    "write_report",
]

_HOMES: Final[dict[str, str]] = {
    "ModelComparison": "fer_bench.compare.models",
    "compare_reports": "fer_bench.compare.models",
    "PipelineComparison": "fer_bench.compare.pipelines",
    "compare_pipelines": "fer_bench.compare.pipelines",
    "measure_models": "fer_bench.measure.measurement",
    "write_page": "fer_bench.report.html_page",
    "read_report": "fer_bench.report_file",
    "write_report": "fer_bench.report_file",
    "BenchRequest": "fer_bench.request",
    "CompareRequest": "fer_bench.request",
    "EndToEnd": "fer_bench.schema",
    "Profile": "fer_bench.schema",
    "Report": "fer_bench.schema",
    "Result": "fer_bench.schema",
}

# Before anything imports Keras, Matplotlib or ONNX Runtime: they read these once.
set_defaults()
set_folders()

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
