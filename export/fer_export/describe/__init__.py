"""What an export says of itself: manifest, golden vectors, reports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fer_edge.lazy import lazy_names

if TYPE_CHECKING:
    from fer_export.describe.golden_vectors import draw_frames, write_golden
    from fer_export.describe.manifest import MANIFEST_NAME, build_manifest, model_entry, write_manifest
    from fer_export.describe.report import ReportData, markdown, model_rows, page

__all__ = [
    "MANIFEST_NAME",
    "ReportData",
    "build_manifest",
    "draw_frames",
    "markdown",
    "model_entry",
    "model_rows",
    "page",
    "write_golden",
    "write_manifest",
]

_HOMES: Final[dict[str, str]] = {
    "draw_frames": "fer_export.describe.golden_vectors",
    "write_golden": "fer_export.describe.golden_vectors",
    "MANIFEST_NAME": "fer_export.describe.manifest",
    "build_manifest": "fer_export.describe.manifest",
    "model_entry": "fer_export.describe.manifest",
    "write_manifest": "fer_export.describe.manifest",
    "ReportData": "fer_export.describe.report",
    "markdown": "fer_export.describe.report",
    "model_rows": "fer_export.describe.report",
    "page": "fer_export.describe.report",
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
