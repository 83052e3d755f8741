"""``--jsonl``: one JSON object per frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fer_edge.option_types import number
from fer_edge.outputs.output import OutputSpec, option

if TYPE_CHECKING:
    from fer_edge.outputs.base import Sink
    from fer_edge.outputs.output import Wanted


def open_jsonl(wanted: Wanted) -> Sink:
    """A file, or standard output."""
    from fer_edge.outputs.jsonl import JsonLines

    limit_mb = wanted.arguments.jsonl_max_mb
    return JsonLines(wanted.arguments.jsonl, max_bytes=None if limit_mb is None else int(limit_mb * 1e6))


OUTPUT = OutputSpec(
    name="jsonl",
    options=(
        option("--jsonl", metavar="FILE", help="one JSON object per frame; - is standard output"),
        option(
            "--jsonl-max-mb",
            type=number(0.001, 1e6),
            metavar="MB",
            help="begin a new file at this size, keep three old ones",
        ),
    ),
    open=open_jsonl,
    writes_file=True,
    rank=40,
)
