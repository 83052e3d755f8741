"""``--history``: what was seen in the last day."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fer_edge.outputs.output import OutputSpec, option

if TYPE_CHECKING:
    from fer_edge.outputs.base import Output
    from fer_edge.outputs.output import OutputRequest


def open_history(request: OutputRequest) -> Output:
    """An SQLite file, continued where it is there."""
    from fer_edge.outputs.history import History

    return History(request.arguments.history)


def holds_something_else(path: Path) -> str | None:
    """Why a file that is there already is not an SQLite file."""
    try:
        with path.open("rb") as file:
            return None if file.read(16) in (b"", b"SQLite format 3\0") else "does not hold an SQLite database"
    except OSError:  # reported when it is opened
        return None


OUTPUT = OutputSpec(
    name="history",
    options=(
        option(
            "--history",
            metavar="FILE",
            help="keep how long each emotion was seen in the last day, by camera and minute, in this SQLite file; "
            "--web shows it",
        ),
    ),
    open=open_history,
    writes_file=True,
    refuses=holds_something_else,
    rank=35,
)
