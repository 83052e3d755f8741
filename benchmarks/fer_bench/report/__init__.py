"""Show what was measured: terminal, HTML page, charts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fer_edge.lazy import lazy_names

if TYPE_CHECKING:
    from fer_bench.report.end_to_end import end_to_end_section, print_end_to_end
    from fer_bench.report.file_name import conditions_name
    from fer_bench.report.html_page import page, write_page
    from fer_bench.report.operator_profile import print_profile, profile_section
    from fer_bench.report.terminal import console, print_machine, print_report, scaling_table
    from fer_bench.report.trust import plain_sentence, untrusted_sentence

__all__ = [
    "conditions_name",
    "console",
    "end_to_end_section",
    "page",
    "plain_sentence",
    "print_end_to_end",
    "print_machine",
    "print_profile",
    "print_report",
    "profile_section",
    "scaling_table",
    "untrusted_sentence",
    "write_page",
]

_HOMES: Final[dict[str, str]] = {
    "end_to_end_section": "fer_bench.report.end_to_end",
    "print_end_to_end": "fer_bench.report.end_to_end",
    "conditions_name": "fer_bench.report.file_name",
    "page": "fer_bench.report.html_page",
    "write_page": "fer_bench.report.html_page",
    "print_profile": "fer_bench.report.operator_profile",
    "profile_section": "fer_bench.report.operator_profile",
    "console": "fer_bench.report.terminal",
    "print_machine": "fer_bench.report.terminal",
    "print_report": "fer_bench.report.terminal",
    "scaling_table": "fer_bench.report.terminal",
    "plain_sentence": "fer_bench.report.trust",
    "untrusted_sentence": "fer_bench.report.trust",
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
