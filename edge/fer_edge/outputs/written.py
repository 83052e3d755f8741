"""What outputs have written to files, for the notice at the end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from fer_edge.command import counted

__all__ = ["Written", "notice"]


@dataclass(frozen=True)
class Written:
    """What one output wrote. Outputs that write files give it as ``written()``, once they are closed."""

    count: int
    """How many pieces."""
    unit: str
    """What they are, in the singular: ``frame``, ``line``, ``image``."""
    path: Path
    """The file, or the folder of several files."""
    is_folder: bool = False
    """Whether :attr:`path` is a folder."""


def notice(everything: Iterable[Written]) -> str:
    """One line for all: ``wrote 24 frames to out.mp4, 24 lines to out.jsonl``.

    Files of one unit in one folder are summed up, so that a folder of videos is no page of names.

    Args:
        everything: in the order of the outputs.

    Returns:
        The line; empty where nothing was written.
    """
    groups: dict[tuple[str, str], list[Written]] = {}
    for item in everything:
        if item.count:
            folder = item.path if item.is_folder else item.path.parent
            groups.setdefault((item.unit, str(folder)), []).append(item)
    parts = []
    for (unit, place), items in groups.items():
        total = counted(sum(item.count for item in items), unit)
        files = {item.path for item in items}
        if len(files) > 1:
            parts.append(f"{total} to {counted(len(files), 'file')} in {place}")
        else:
            parts.append(f"{total} to {items[0].path}")
    return f"wrote {', '.join(parts)}" if parts else ""
