"""One JSON object a frame and line: to a file that is rotated before it grows too large, or to standard output."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sys
import time
from io import FileIO
from pathlib import Path
from typing import Final

from fer_edge.command import Nowhere, let_go_of_stdout
from fer_edge.errors import UsageError
from fer_edge.files import why_read_only
from fer_edge.outputs.written import Written
from fer_edge.results import Result

STDOUT: Final[str] = "-"
KEPT_FILES: Final[int] = 3
START: Final[str] = "start"
_TAIL: Final[int] = 1 << 16


class JsonLines:
    """Writes ``Result.as_dict()`` lines, each whole or not at all.

    ``destination`` is a path, or ``-`` for standard output. A file is overwritten. With ``keep`` it is continued (after
    its last whole line, should a power cut have left half of one) with a line ``{"event": "start", "time": "..."}``
    (UTC, ISO 8601): what a camera saw cannot be seen again. A file that holds such a line is never overwritten. With
    ``max_bytes`` it is continued, too, and one that would exceed it is first renamed to ``NAME.1`` (and that to
    ``NAME.2``, up to ``NAME.3``).
    """

    lossless = True
    lets_go = True

    def __init__(
        self, destination: str | os.PathLike[str], *, max_bytes: int | None = None, keep: bool = False
    ) -> None:
        self.name = "JSON lines"
        self.path = None if os.fspath(destination) == STDOUT else Path(destination)
        self._max_bytes = max_bytes
        self._written = 0
        self._lines = 0
        # A file is opened for its first line: a source that gives nothing then leaves the old file alone.
        self._file: FileIO | None = None
        self._keep = keep
        self._started = start_line()
        if self.path is not None:
            make_folder(self.path)

    def _open(self, path: Path) -> FileIO:
        file = FileIO(path, "w" if self._max_bytes is None and not self._keep else "a")
        self._written = file.tell() if file.seekable() else 0
        if self._written:
            whole = whole_lines(path, self._written)
            if whole < self._written and _is_json(path, whole):  # only its end of line is missing
                self._written += file.write(b"\n")
            else:
                self._written = whole
                file.truncate(whole)
        return file

    def write(self, result: Result) -> None:
        """One line; the reader of a pipe has it at once. Raises ``OSError`` when the disk is full."""
        line = json.dumps(result.as_dict(), separators=(", ", ": ")) + "\n"
        if self.path is None:
            if sys.stdout is None or isinstance(sys.stdout, Nowhere):
                raise OSError(errno.EBADF, "standard output is closed")
            try:
                sys.stdout.write(line)
                sys.stdout.flush()
            except OSError:
                let_go_of_stdout()  # what waits in its buffer would fail, and be reported, once more at the end
                raise
            return
        if self._file is None:
            self._keep = self._keep or begins_with_start(self.path)
            self._file = self._open(self.path)
            if self._keep and self._file.seekable():
                self._file = self._put(self.path, self._file, self._started)
        self._file = self._put(self.path, self._file, line)
        self._lines += 1

    def _put(self, path: Path, file: FileIO, line: str) -> FileIO:
        """Write a line; the result is the file that is open then."""
        content = memoryview(line.encode())
        if self._max_bytes is not None and 0 < self._written > self._max_bytes - len(content):
            file.close()
            self._file = file = self._rotate(path)
        rest = content
        try:
            while rest:
                rest = rest[file.write(rest) :]
        except OSError:
            with contextlib.suppress(OSError):  # a device cannot be cut
                file.truncate(self._written)  # half a line is no line
            raise
        self._written += len(content)
        return file

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

    def written(self) -> Written | None:
        """The lines of this run; None for standard output."""
        return Written(self._lines, "line", self.path) if self.path is not None else None


def start_line(when_s: float | None = None) -> str:
    """The line that begins a run of a live source: ``when_s`` seconds since 1970, or now."""
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(when_s))
    return json.dumps({"event": START, "time": moment}) + "\n"


def begins_with_start(path: Path) -> bool:
    """Whether a file is a live source's: by its first line, or because older lines were moved to ``NAME.1``."""
    if path.with_name(f"{path.name}.1").is_file():
        return True
    if not path.is_file():  # a named pipe must not even be opened for reading: that waits for a writer, which is us
        return False
    begin = json.dumps({"event": START}).removesuffix("}").encode()
    try:
        with path.open("rb") as file:
            return file.read(len(begin)) == begin
    except OSError:
        return False


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


def _is_json(path: Path, begin: int) -> bool:
    """Whether what a file holds from ``begin`` on is one JSON object."""
    with path.open("rb") as file:
        file.seek(begin)
        try:
            return isinstance(json.loads(file.read()), dict)
        except (ValueError, RecursionError):
            return False


def make_folder(path: Path) -> None:
    """Make the folder that the file ``path`` is to lie in; raises :class:`UsageError` when it cannot be one."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder; expected the name of a file to write")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.filename}: {error.strerror}") from error
    if (reason := why_read_only(path if path.exists() else path.parent)) is not None:
        raise UsageError(f"{path} cannot be written: {reason}")
