"""How a table was saved by some program: encoding, line ends, delimiter; and its lines as UTF-8 whatever they are."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fer_edge.files import text_encoding

__all__ = ["DELIMITERS", "TABLE_SUFFIXES", "TableText"]

TABLE_SUFFIXES: Final[frozenset[str]] = frozenset({".csv", ".tsv", ".txt"})
"""``.txt`` is what spreadsheets call Unicode text."""
DELIMITERS: Final[tuple[str, ...]] = (",", ";", "\t", "|")
"""Between columns, as programs write tables."""
_HEAD_BYTES: Final[int] = 1 << 16
_MOST_BLANK_LINES: Final[int] = 20
_LINE_END: Final[re.Pattern[str]] = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True)
class TableText:
    """The form of a table; :meth:`of` finds it."""

    path: Path
    """The file."""
    header: tuple[str, ...]
    """Names of the columns as they stand."""
    first_line: str
    """The line that holds them."""
    delimiter: str
    """Between columns: ``,``, ``;``, a tab or ``|``."""
    encoding: str
    """``utf-8-sig``, or UTF-16 as spreadsheets write "Unicode text"."""
    lines_before: int
    """Lines up to and with the header; more than one after blank lines or the line ``sep=;`` of a spreadsheet."""
    plain: bool
    """Whether lines end in LF and are UTF-8, so that nothing need be decoded."""

    @classmethod
    def of(cls, path: Path) -> TableText:
        """The form of the table at ``path``, from its first bytes.

        Args:
            path: the file; it must be readable.

        Returns:
            Its form; the header is empty where there is no text.
        """
        with path.open("rb") as handle:
            head = handle.read(_HEAD_BYTES)
        encoding = text_encoding(head)
        text = head.decode(encoding, errors="replace")
        lines = _LINE_END.split(text, maxsplit=_MOST_BLANK_LINES)
        blank = next((i for i, line in enumerate(lines) if line.strip("\ufeff \t")), 0)
        lines = lines[blank:]
        separator = re.fullmatch(r"\"?sep=(.)\"?", lines[0].strip("\ufeff")) if len(lines) > 1 else None
        line = lines[1] if separator else lines[0]
        delimiter = separator[1] if separator else max(DELIMITERS, key=line.count)
        try:
            header = tuple(next(csv.reader([line], delimiter=delimiter), []))
        except csv.Error:  # NUL bytes, a field without end
            header = ()
        plain = encoding == "utf-8-sig" and not ("\r" in text and "\n" not in text)
        return cls(path, header, line, delimiter, encoding, blank + (2 if separator else 1), plain)

    def lines(self) -> Iterator[tuple[bytes, int]]:
        """The lines after the header.

        Returns:
            Each in UTF-8 with its line end (LF), and the position in bytes of the file after it.
        """
        position = 0
        for number, line in enumerate(self._all()):
            position += len(line) * (1 if self.encoding == "utf-8-sig" else 2)
            if number >= self.lines_before:
                yield line, position

    def _all(self) -> Iterator[bytes]:
        if self.plain:
            with self.path.open("rb") as handle:
                yield from handle
            return
        with self.path.open(encoding=self.encoding, errors="replace") as text:  # LF whatever the line ends are
            for line in text:
                yield line.encode()
