"""``--csv``: the table of faces, one row per face and frame, with the columns of ``fer-analyze``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fer_edge.outputs.output import STDOUT, OutputSpec, option

if TYPE_CHECKING:
    from fer_edge.outputs.base import Output
    from fer_edge.outputs.output import OutputRequest

_HEADER = b"file,frame,time_s,track_id,"


def open_csv(request: OutputRequest) -> Output:
    """A file, or standard output; a live source's never replaces an earlier one, which nobody could make again."""
    from fer_edge.outputs.available.save import spared
    from fer_edge.outputs.csv_file import CsvFile
    from fer_edge.redact import redact_address

    destination = request.arguments.csv
    if destination != STDOUT and request.source.live:
        destination = str(spared(Path(destination), live=True))
    return CsvFile(
        destination, redact_address(str(request.job.files[0] if request.job.files else request.arguments.source))
    )


def holds_something_else(path: Path) -> str | None:
    """Why a file that is there already is not one of ours, so that nothing else is written over."""
    try:
        with path.open("rb") as file:
            return None if file.read(len(_HEADER)) in (b"", _HEADER) else "does not hold a table of faces"
    except OSError:  # told when it is opened
        return None


OUTPUT = OutputSpec(
    name="csv",
    options=(
        option(
            "--csv",
            metavar="FILE",
            help="a table with one row per face and frame, the columns of fer-analyze; - is standard output",
        ),
    ),
    open=open_csv,
    writes_file=True,
    refuses=holds_something_else,
    rank=45,
)
