"""``--csv``: one row per face and frame, to a file or to standard output."""

from __future__ import annotations

import errno
import io
import sys
from io import FileIO
from pathlib import Path

from fer_edge.command import Nowhere, let_go_of_stdout
from fer_edge.outputs.jsonl import make_folder
from fer_edge.outputs.output import STDOUT
from fer_edge.outputs.written import Written
from fer_edge.results import Result
from fer_edge.rows import csv_header, face_rows, name_in_tables, write_csv_rows


class CsvFile:
    """Writes the rows of each frame whole or not at all; the file begins with the first frame.

    ``destination`` is a path, or ``-`` for standard output; a file is overwritten. The first column holds the name of
    the camera, where there are several, else the file, else ``source``.
    """

    name = "CSV"
    lossless = True
    lets_go = True

    def __init__(self, destination: str, source: str) -> None:
        self.path = None if destination == STDOUT else Path(destination)
        self._source = name_in_tables(source)
        self._file: FileIO | None = None
        self._began = False
        self._n_rows = 0
        if self.path is not None:
            make_folder(self.path)

    def write(self, result: Result) -> None:
        """The rows of one frame. Raises ``OSError`` when the disk is full."""
        text = io.StringIO(newline="")
        if not self._began:
            text.write(csv_header())
        place = result.camera or result.frame.path
        file = self._source if place is None else name_in_tables(place)
        rows = face_rows(file, result)
        write_csv_rows(text, rows)
        if self.path is None:
            _print(text.getvalue())
        else:
            self._append(self.path, text.getvalue().encode("utf-8"))
        self._began = True
        self._n_rows += len(rows)

    def written(self) -> Written | None:
        """The rows in the file, for the notice at the end; None where there is no file."""
        return None if self.path is None else Written(self._n_rows, "row", self.path)

    def _append(self, path: Path, content: bytes) -> None:
        if self._file is None:
            self._file = FileIO(path, "w")
        before = self._file.tell() if self._file.seekable() else None
        rest = memoryview(content)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError:
            if before is not None:
                self._file.truncate(before)  # half a row is no row
            raise

    def close(self) -> None:
        """Close the file; standard output stays open."""
        if self._file is not None:
            self._file.close()


def _print(text: str) -> None:
    if sys.stdout is None or isinstance(sys.stdout, Nowhere):
        raise OSError(errno.EBADF, "standard output is closed")
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError:
        let_go_of_stdout()  # what waits in its buffer would fail, and be reported, once more at the end
        raise
