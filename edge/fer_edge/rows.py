"""The table of faces: one row per face and frame, the same columns in ``fer-camera --csv`` and in ``fer-analyze``.

Numbers are rounded as in a JSON line: times and probabilities to four decimals, scores to three.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from typing import Final, TextIO

from fer_edge.labels import EMOTIONS
from fer_edge.results import Result

__all__ = ["COLUMNS", "RAW_COLUMNS", "Row", "csv_header", "face_rows", "name_in_tables", "write_csv_rows"]

RAW_COLUMNS: Final[tuple[str, ...]] = tuple(f"{name}_raw" for name in EMOTIONS)
"""Probabilities of the frame alone, in the order of :data:`fer_edge.labels.EMOTIONS`."""
COLUMNS: Final[tuple[str, ...]] = (
    "file", "frame", "time_s", "track_id", "x", "y", "w", "h", "score", "emotion", *EMOTIONS, *RAW_COLUMNS,
)  # fmt: skip
"""In this order. ``x``, ``y``, ``w``, ``h`` are pixels of the frame; ``angry`` to ``surprise`` are averaged over time,
as ``--smoothing-s`` asks; ``emotion`` is empty where the answer is uncertain."""

Row = tuple[str | int | float | None, ...]


def name_in_tables(name: str | os.PathLike[str]) -> str:
    """A file's name as text that every table can hold: what is not UTF-8 in it is escaped.

    Args:
        name: a path or address, without passwords.

    Returns:
        The text for the column ``file``.
    """
    return os.fspath(name).encode("utf-8", "backslashreplace").decode("utf-8")


def face_rows(file: str, result: Result) -> list[Row]:
    """The rows of one frame.

    Args:
        file: for the first column, as :func:`name_in_tables` gives it.
        result: of the frame.

    Returns:
        One row per face in the order of :data:`COLUMNS`, from left to right in the picture.
    """
    time_s = round(float(result.time_s), 4)
    return [
        (
            file, result.index, time_s, face.track_id, *(int(value) for value in face.box), round(float(face.score), 3),
            face.emotion, *(round(float(p), 4) for p in face.probabilities), *(round(float(p), 4) for p in face.raw),
        )
        for face in result.faces
    ]  # fmt: skip


def csv_header() -> str:
    """The first line of a CSV file of faces.

    Returns:
        The names of the columns, with the end of the line.
    """
    return ",".join(COLUMNS) + "\n"


def write_csv_rows(file: TextIO, rows: Iterable[Row]) -> None:
    """Write rows as comma-separated values (RFC 4180, lines end in a line feed).

    Args:
        file: opened with ``newline=""``.
        rows: in the order of :data:`COLUMNS`.
    """
    csv.writer(file, lineterminator="\n").writerows(rows)
