"""``--jsonl``: one JSON object per frame."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fer_edge.option_types import number
from fer_edge.outputs.output import OutputSpec, option

if TYPE_CHECKING:
    from fer_edge.outputs.base import Output
    from fer_edge.outputs.output import OutputRequest


def open_jsonl(request: OutputRequest) -> Output:
    """A file, or standard output; a live source's lines are added to those of its earlier runs."""
    from fer_edge.outputs.jsonl import JsonLines

    limit_mb = request.arguments.jsonl_max_mb
    limit = None if limit_mb is None else int(limit_mb * 1e6)
    return JsonLines(request.arguments.jsonl, max_bytes=limit, keep=request.source.live)


def holds_something_else(path: Path) -> str | None:
    """Why a file that is there already is not one of ours, so that nothing else is written over."""
    try:
        with path.open("rb") as file:
            return None if file.read(1) in (b"", b"{") else "does not hold JSON lines"
    except OSError:  # told when it is opened
        return None


OUTPUT = OutputSpec(
    name="jsonl",
    options=(
        option(
            "--jsonl",
            metavar="FILE",
            help="one JSON object per frame; - is standard output. A live source's lines are appended",
        ),
        option(
            "--jsonl-max-mb",
            type=number(0.001, 1e6),
            metavar="MB",
            help="start a new file at this size (1 MB = 1,000,000 bytes) and keep three old ones",
        ),
    ),
    open=open_jsonl,
    writes_file=True,
    refuses=holds_something_else,
    of_one_camera=True,
    rank=40,
)
