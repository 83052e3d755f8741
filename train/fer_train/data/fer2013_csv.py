"""fer2013.csv, FER-2013 as a table: a class number, 48 x 48 pixels as text and a split per row."""

from __future__ import annotations

import contextlib
import csv
import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from fer_edge.errors import DataError
from fer_edge.labels import EMOTIONS
from fer_edge.preprocess import GrayImage
from fer_train.data.decoding import BrokenImageError
from fer_train.data.emotion_words import emotion_of, plain
from fer_train.data.folder_layout import Entry
from fer_train.data.records import Record
from fer_train.data.table_text import TableText

__all__ = ["CSV_LABELS", "CSV_SPLITS", "NO_USAGE", "CsvReader", "parse_pixels"]

CSV_LABELS: Final[tuple[int, ...]] = (0, 1, 2, 3, 5, 6, 4)
"""``fer2013.csv`` numbers angry, disgust, fear, happy, sad, surprise, neutral; this maps them to our order."""
CSV_SPLITS: Final[dict[str, str]] = {"Training": "train", "PublicTest": "validation", "PrivateTest": "test"}
_USAGES: Final[dict[str, str]] = {
    **dict.fromkeys(("training", "train"), "Training"),
    **dict.fromkeys(("publictest", "validation", "valid", "val", "dev"), "PublicTest"),
    **dict.fromkeys(("privatetest", "test", "testing"), "PrivateTest"),
}
_COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    "emotion": ("emotion", "emotions", "label", "class"),
    "pixels": ("pixels", "pixel", "image"),
    "usage": ("usage", "split", "set"),
}
"""What the columns are called, in any letter case."""
_DROPPED: Final[frozenset[str]] = frozenset({"contempt"})
NO_USAGE: Final[str] = (
    "the CSV has no Usage column: every row is train, and a seeded tenth of each class becomes validation when it is "
    "read"
)


class CsvReader:
    """``fer2013.csv``, columns ``emotion, pixels, Usage``, read row by row, never as a whole.

    Also as other programs save it again: another order of columns or an index before them, other letter case, ``;``,
    ``|`` or tabs between columns, quotes, a byte order mark, UTF-16, CR alone, a line ``sep=;``, ``3.0`` or ``happy``
    for 3, ``255.0`` for a pixel, no Usage at all.

    Args:
        path: the file.

    Raises:
        DataError: the first line lacks a column.
    """

    numbering = None

    def __init__(self, path: Path) -> None:
        self.path = path
        self.total = path.stat().st_size
        """Bytes, the unit of a record's position."""
        self.skipped: list[tuple[str, str]] = []
        self.dropped: dict[str, int] = {}
        self.unknown_usages: Counter[str] = Counter()
        """Words of the Usage column that name no split, and the rows skipped for each."""
        self._text = TableText.of(path)
        self._width = len(self._text.header)
        words = [name.strip().lower() for name in self._text.header]
        self._columns = {
            column: next((words.index(name) for name in names if name in words), -1)
            for column, names in _COLUMNS.items()
        }
        missing = [column for column in ("emotion", "pixels") if self._columns[column] < 0]
        if missing:
            raise DataError(
                f"{self.path} is not a fer2013.csv: the first line lacks {', '.join(missing)}; expected "
                f"emotion,pixels,Usage, got {self._text.first_line.strip()[:60]!r}"
            )
        self.notes = [] if self._columns["usage"] >= 0 else [NO_USAGE]

    def key(self) -> str:
        """Digest of size, time of change, and both ends: 287 MB are not read twice.

        Returns:
            SHA-256 in hexadecimal digits.
        """
        stat = self.path.stat()
        digest = hashlib.sha256(f"{self.path.resolve()}\0{stat.st_size}\0{stat.st_mtime_ns}\0".encode())
        with self.path.open("rb") as handle:
            digest.update(handle.read(1 << 16))
            handle.seek(max(0, stat.st_size - (1 << 16)))
            digest.update(handle.read())
        return digest.hexdigest()

    def records(self) -> Iterator[Record]:
        """Images in the order of the rows; the name is ``<Usage>_row<row>``, rows counted from 0 after the header.

        Yields:
            One record per image.

        Raises:
            DataError: the last row breaks off, or there is no image at all.
        """
        self.skipped.clear()
        self.dropped.clear()
        self.unknown_usages.clear()
        seen_any = False
        for row, (line, position) in enumerate(self._text.lines()):
            if not line.strip():
                continue
            try:
                record = self._record(row, line, position)
            except BrokenImageError as error:
                if not line.endswith(b"\n"):
                    raise DataError(f"{self.path} is truncated in row {row}: {error}") from error
                self.skipped.append((f"row {row}", str(error)))
                continue
            if record is None:
                continue
            seen_any = True
            yield record
        if not seen_any:
            first = f"; {len(self.skipped)} rows were skipped, the first: {': '.join(self.skipped[0])}"
            raise DataError(f"{self.path} holds no images{first if self.skipped else ''}")

    def close(self) -> None:
        """Nothing stays open between readings."""

    def _record(self, row: int, line: bytes, position: int) -> Record | None:
        fields = self._fields(line)
        n_columns = max(self._columns.values()) + 1
        if len(fields) < n_columns:
            raise BrokenImageError(f"{len(fields)} columns instead of {n_columns}")
        emotion, pixels = (fields[self._columns[name]] for name in ("emotion", "pixels"))
        usage: str | None = "Training"
        if self._columns["usage"] >= 0:
            word = fields[self._columns["usage"]].decode(errors="replace")
            usage = _USAGES.get(plain(word))
            if usage is None:
                self.unknown_usages[word[:40]] += 1
                raise BrokenImageError(f"Usage {word[:40]!r} is none of {', '.join(CSV_SPLITS)}")
        label = self._label(emotion.decode(errors="replace"))
        if label is None:
            return None
        return Record(Entry(f"{usage}_row{row:05d}", CSV_SPLITS[str(usage)], label), _PixelText(pixels), position)

    def _fields(self, line: bytes) -> list[bytes]:
        delimiter = self._text.delimiter
        fields = [value.strip().strip(b'"') for value in line.split(delimiter.encode())]
        if len(fields) <= self._width or b'"' not in line:
            return fields
        # A delimiter within quotes; the csv module takes its time, and nobody writes millions of rows like that.
        text = line.decode(errors="replace")
        try:
            return [value.strip().encode() for value in next(csv.reader([text], delimiter=delimiter), [])]
        except csv.Error as error:
            raise BrokenImageError(str(error)) from error

    def _label(self, word: str) -> int | None:
        """Our label of ``3``, ``3.0`` or ``happy``; None for a class that is counted as dropped."""
        if word.isdigit() and int(word) < len(CSV_LABELS):
            return CSV_LABELS[int(word)]
        if (name := emotion_of(word)) is not None:
            return EMOTIONS.index(name)
        if word.lower() in _DROPPED:
            self.dropped[word.lower()] = self.dropped.get(word.lower(), 0) + 1
            return None
        with contextlib.suppress(ValueError, OverflowError):
            number = float(word)
            if number == int(number) and 0 <= number < len(CSV_LABELS):
                return CSV_LABELS[int(number)]
        raise BrokenImageError(f"emotion {word[:40]!r} is not 0 to 6 or one of {', '.join(EMOTIONS)}")


@dataclass(frozen=True)
class _PixelText:
    pixels: bytes

    def encoded(self) -> bytes:
        done, content = cv2.imencode(".png", self.decode())
        if not done:
            raise BrokenImageError("not encodable as PNG")
        return content.tobytes()

    def decode(self) -> GrayImage:
        values = parse_pixels(self.pixels)
        side = round(len(values) ** 0.5)
        if side == 0 or side * side != len(values):
            raise BrokenImageError(f"{len(values)} pixels are not a square")
        return values.reshape(side, side)


def parse_pixels(text: bytes) -> npt.NDArray[np.uint8]:
    """Pixels that are written as text.

    Args:
        text: decimal numbers with blanks between them, or a list as Python prints it.

    Returns:
        ``(N,)`` uint8.

    Raises:
        BrokenImageError: there is something else, or a number outside 0 to 255.
    """
    # numpy's text reader is ten times as fast as int() of each token, but stops in silence at anything strange.
    if b"," in text or text[:1] == b"[":  # a list, as Python prints it, or without its brackets
        text = text.strip(b"[]").replace(b",", b" ")
    strange = text.translate(None, b"0123456789 ")
    if strange.strip(b"."):
        raise BrokenImageError("pixels are not whole numbers")
    if strange:  # 255.0
        values = _whole(text)
    else:
        values = np.fromstring(text, dtype=np.int64, sep=" ") if text.strip() else np.empty(0, dtype=np.int64)
    if len(values) and (values.min() < 0 or values.max() > 255):
        raise BrokenImageError("a pixel lies outside 0 to 255")
    return values.astype(np.uint8)


def _whole(text: bytes) -> npt.NDArray[np.int64]:
    try:
        numbers = np.array(text.split(), dtype=np.float64)
    except ValueError as error:
        raise BrokenImageError("pixels are not numbers") from error
    if (numbers != np.rint(numbers)).any():
        raise BrokenImageError("pixels are not whole numbers from 0 to 255")
    return numbers.astype(np.int64)
