"""Can a result be written where it is wanted? Asked before minutes of measuring, not after them."""

from __future__ import annotations

from pathlib import Path

from fer_edge.errors import UsageError
from fer_edge.files import why_read_only

__all__ = ["check_writable"]


def check_writable(path: Path | None, *, may_be_folder: bool = False) -> None:
    """Fail where a file could not be written.

    Args:
        path: the file, whose folder need not exist yet; None is nothing to write.
        may_be_folder: whether a folder will do, in which the file gets a name.

    Raises:
        UsageError: it is a folder, or lies in something that is not a writable one.
    """
    if path is None:
        return
    if path.is_dir() and not may_be_folder:
        raise UsageError(f"{path} cannot be written: it is a folder")
    above = next(folder for folder in path.absolute().parents if folder.exists())
    reason = why_read_only(above) if above.is_dir() else "not a folder"
    if reason is not None:
        raise UsageError(f"{path} cannot be written: {above}: {reason}")
