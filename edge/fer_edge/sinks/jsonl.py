"""One JSON object a frame and line: to a file that is rotated before it grows too large, or to standard output."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Final, TextIO

from fer_edge.errors import UsageError
from fer_edge.pipeline import Result

STDOUT: Final[str] = "-"
KEPT_FILES: Final[int] = 3


class JsonLines:
    """Writes ``Result.as_dict()`` lines, each complete as soon as the next is begun.

    ``target`` is a path, or ``-`` for standard output. A file is begun anew; with ``max_bytes`` it is continued, and
    one that would exceed it is renamed to ``NAME.1`` first (and that to ``NAME.2``, up to ``NAME.3``).
    """

    lossless = True

    def __init__(self, target: str | os.PathLike[str], *, max_bytes: int | None = None) -> None:
        self.name = "JSON lines"
        self.path = None if os.fspath(target) == STDOUT else Path(target)
        self._max_bytes = max_bytes
        self._written = 0
        # A file is opened for its first line: a source that gives nothing then leaves the old file alone.
        self._stream: TextIO | None = None
        if self.path is not None:
            make_folder(self.path)

    def _open(self, path: Path) -> TextIO:
        stream = path.open("w" if self._max_bytes is None else "a", encoding="utf-8")
        self._written = stream.tell()
        return stream

    def write(self, result: Result) -> None:
        """One line; flushed, so that the reader of a pipe has it at once."""
        if self._stream is None:
            self._stream = sys.stdout if self.path is None else self._open(self.path)
        line = json.dumps(result.as_dict(), separators=(", ", ": ")) + "\n"
        if self.path is not None and self._max_bytes is not None and 0 < self._written > self._max_bytes - len(line):
            self._stream.close()
            self._stream = self._rotate(self.path)
        self._stream.write(line)
        self._stream.flush()
        self._written += len(line)

    def _rotate(self, path: Path) -> TextIO:
        for number in range(KEPT_FILES - 1, 0, -1):
            older = path.with_name(f"{path.name}.{number}")
            if older.exists():
                older.replace(path.with_name(f"{path.name}.{number + 1}"))
        path.replace(path.with_name(f"{path.name}.1"))
        return self._open(path)

    def close(self) -> None:
        """Close the file; standard output stays open."""
        if self.path is not None and self._stream is not None:
            self._stream.close()


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
