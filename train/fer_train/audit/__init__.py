"""`fer-data audit`: duplicates, leaks between splits and wrong labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fer_edge.lazy import lazy_names

if TYPE_CHECKING:
    from fer_train.audit.checks import audit
    from fer_train.audit.findings import Audit, Finding, figure_text
    from fer_train.audit.html_report import write_report
    from fer_train.audit.terminal_report import print_summary

__all__ = [
    "Audit",
    "Finding",
    "audit",
    "figure_text",
    "print_summary",
    "write_report",
]

_HOMES: Final[dict[str, str]] = {
    "audit": "fer_train.audit.checks",
    "Audit": "fer_train.audit.findings",
    "Finding": "fer_train.audit.findings",
    "figure_text": "fer_train.audit.findings",
    "write_report": "fer_train.audit.html_report",
    "print_summary": "fer_train.audit.terminal_report",
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
