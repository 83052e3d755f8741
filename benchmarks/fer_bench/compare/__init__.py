"""Is one measurement slower or less accurate than another, and surely so?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fer_edge.lazy import lazy_names

if TYPE_CHECKING:
    from fer_bench.compare.command import compare_main
    from fer_bench.compare.models import ModelComparison, compare_reports
    from fer_bench.compare.pipelines import PipelineComparison, compare_pipelines
    from fer_bench.compare.time_difference import TimeDifference

__all__ = [
    "ModelComparison",
    "PipelineComparison",
    "TimeDifference",
    "compare_main",
    "compare_pipelines",
    "compare_reports",
]

_HOMES: Final[dict[str, str]] = {
    "compare_main": "fer_bench.compare.command",
    "ModelComparison": "fer_bench.compare.models",
    "compare_reports": "fer_bench.compare.models",
    "PipelineComparison": "fer_bench.compare.pipelines",
    "compare_pipelines": "fer_bench.compare.pipelines",
    "TimeDifference": "fer_bench.compare.time_difference",
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
