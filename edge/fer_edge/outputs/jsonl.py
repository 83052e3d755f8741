"""One JSON object a frame and line: to a file that is rotated before it grows too large, or to standard output."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from io import FileIO
from pathlib import Path
from typing import Final

from fer_edge.errors import UsageError
from fer_edge.results import Result

STDOUT: Final[str] = "-"
KEPT_FILES: Final[int] = 3
_TAIL: Final[int] = 1 << 16


class JsonLines:
    """Writes ``Result.as_dict()`` lines, each whole or not at all.

    ``target`` is a path, or ``-`` for standard output. A file is begun anew; with ``max_bytes`` it is continued (behind
    its last whole line, should a power cut have left half of one), and one that would exceed it is first renamed to
    ``NAME.1`` (and that to ``NAME.2``, up to ``NAME.3``).
    """

    lossless = True

    def __init__(self, target: str | os.PathLike[str], *, max_bytes: int | None = None) -> None:
        self.name = "JSON lines"
        self.path = None if os.fspath(target) == STDOUT else Path(target)
        self._max_bytes = max_bytes
        self._written = 0
        # A file is opened for its first line: a source that gives nothing then leaves the old file alone.
        self._file: FileIO | None = None
        if self.path is not None:
            make_folder(self.path)

    def _open(self, path: Path) -> FileIO:
        file = FileIO(path, "w" if self._max_bytes is None else "a")
        self._written = file.tell()
        if self._written:
            self._written = whole_lines(path, self._written)
            file.truncate(self._written)
        return file

    def write(self, result: Result) -> None:
        """One line; the reader of a pipe has it at once. Raises ``OSError`` when the disk is full."""
        line = json.dumps(result.as_dict(), separators=(", ", ": ")) + "\n"
        if self.path is None:
            sys.stdout.write(line)
            sys.stdout.flush()
            return
        if self._file is None:
            self._file = self._open(self.path)
        content = memoryview(line.encode())
        if self._max_bytes is not None and 0 < self._written > self._max_bytes - len(content):
            self._file.close()
            self._file = self._rotate(self.path)
        rest = content
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError:
            with contextlib.suppress(OSError):  # a device cannot be cut
                self._file.truncate(self._written)  # half a line is no line
            raise
        self._written += len(content)

    def _rotate(self, path: Path) -> FileIO:
        for number in range(KEPT_FILES - 1, 0, -1):
            older = path.with_name(f"{path.name}.{number}")
            if older.exists():
                older.replace(path.with_name(f"{path.name}.{number + 1}"))
        path.replace(path.with_name(f"{path.name}.1"))
        return self._open(path)

    def close(self) -> None:
        """Close the file; standard output stays open."""
        if self._file is not None:
            self._file.close()


def whole_lines(path: Path, size: int) -> int:
    """How many of the first ``size`` bytes of a text file are whole lines."""
    with path.open("rb") as file:
        while size > 0:
            begin = max(0, size - _TAIL)
            file.seek(begin)
            end = file.read(size - begin).rfind(b"\n")
            if end >= 0:
                return begin + end + 1
            size = begin
    return 0


def make_folder(path: Path) -> None:
    """Make the folder that the file ``path`` is to lie in; raises :class:`UsageError` when it cannot be one."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder; expected the name of a file to write")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.filename}: {error.strerror}") from error
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise UsageError(f"{path} cannot be written: permission denied")
