"""fer2013.csv, FER-2013 as a table: a class number, 48 x 48 pixels as text and a split per row."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from fer_edge.errors import DataError
from fer_edge.preprocess import GrayImage
from fer_train.data.decoding import BrokenImageError
from fer_train.data.folder_layout import Entry
from fer_train.data.records import Record

CSV_LABELS: Final[tuple[int, ...]] = (0, 1, 2, 3, 5, 6, 4)
"""``fer2013.csv`` numbers angry, disgust, fear, happy, sad, surprise, neutral; this maps them to our order."""
CSV_SPLITS: Final[dict[str, str]] = {"Training": "train", "PublicTest": "validation", "PrivateTest": "test"}


class CsvSource:
    """The original ``fer2013.csv``: columns ``emotion, pixels, Usage``; read row by row, never as a whole."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.total = path.stat().st_size
        """Bytes, the unit of a record's position."""
        self.skipped: list[tuple[str, str]] = []
        self.dropped: dict[str, int] = {}
        with self.path.open("rb") as handle:
            head = handle.readline(4096)
        try:
            header = [name.strip() for name in next(csv.reader([head.decode("utf-8-sig")]), [])]
        except UnicodeDecodeError:
            header = []
        missing = {"emotion", "pixels", "Usage"} - set(header)
        if missing:
            raise DataError(f"{self.path} is not a fer2013.csv: the first line lacks {', '.join(sorted(missing))}")
        self._columns = {name: header.index(name) for name in ("emotion", "pixels", "Usage")}

    def key(self) -> str:
        """Digest of size, time of change, and both ends: 287 MB are not read twice."""
        stat = self.path.stat()
        digest = hashlib.sha256(f"{self.path.resolve()}\0{stat.st_size}\0{stat.st_mtime_ns}\0".encode())
        with self.path.open("rb") as handle:
            digest.update(handle.read(1 << 16))
            handle.seek(max(0, stat.st_size - (1 << 16)))
            digest.update(handle.read())
        return digest.hexdigest()

    def records(self) -> Iterator[Record]:
        """Images in the order of the rows; the name is ``<Usage>_row<row>``, rows counted from 0 after the header.

        Raises :class:`DataError` when the last row breaks off.
        """
        self.skipped.clear()
        position = 0
        seen_any = False
        with self.path.open("rb") as handle:
            position += len(handle.readline())
            for row, line in enumerate(handle):
                position += len(line)
                if not line.strip():
                    continue
                try:
                    record = self._record(row, line, position)
                except BrokenImageError as error:
                    if not line.endswith(b"\n"):
                        raise DataError(f"{self.path} is truncated in row {row}: {error}") from error
                    self.skipped.append((f"row {row}", str(error)))
                    continue
                seen_any = True
                yield record
        if not seen_any:
            raise DataError(f"{self.path} holds no images")

    def close(self) -> None:
        """Nothing stays open between readings."""

    def _record(self, row: int, line: bytes, position: int) -> Record:
        fields = [value.strip().strip(b'"') for value in line.split(b",")]
        if len(fields) <= max(self._columns.values()):
            raise BrokenImageError(f"{len(fields)} columns instead of {max(self._columns.values()) + 1}")
        emotion, pixels, usage = (fields[self._columns[name]] for name in ("emotion", "pixels", "Usage"))
        split = CSV_SPLITS.get(usage.decode(errors="replace"))
        if split is None:
            raise BrokenImageError(f"Usage {usage.decode(errors='replace')!r} is none of {', '.join(CSV_SPLITS)}")
        if not emotion.isdigit() or int(emotion) >= len(CSV_LABELS):
            raise BrokenImageError(f"emotion {emotion.decode(errors='replace')!r} is not 0 to 6")
        name = f"{usage.decode()}_row{row:05d}"
        return Record(Entry(name, split, CSV_LABELS[int(emotion)]), _PixelText(pixels), position)


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
    """``(N,)`` uint8 from decimal numbers with blanks between. Raises :class:`BrokenImageError`."""
    # numpy's text reader is ten times as fast as int() of each token, but stops in silence at anything strange.
    if text.translate(None, b"0123456789 "):
        raise BrokenImageError("pixels are not whole numbers")
    values = np.fromstring(text, dtype=np.int64, sep=" ") if text.strip() else np.empty(0, dtype=np.int64)
    if len(values) and (values.min() < 0 or values.max() > 255):
        raise BrokenImageError("a pixel lies outside 0 to 255")
    return values.astype(np.uint8)
