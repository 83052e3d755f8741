"""Rows of tables that name images and their labels: AffectNet's CSV files, ExpW's ``label.lst``, RAF-DB's and others.

* AffectNet (Mollahosseini et al. 2017): ``subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,
  expression,valence,arousal``; ``validation.csv`` comes without that header.
* ExpW (Zhang et al. 2018): ``name.jpg face_id top left right bottom confidence label`` in each line of ``label.lst``.
* Any other table with a header: a column that names the image and one with its label, a word or a number.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from fer_edge.errors import DataError
from fer_train.data.emotion_words import plain

__all__ = ["AFFECTNET", "EXPW", "TABLE", "Box", "LabelledRow", "kind_of", "rows_of"]

Box = tuple[int, int, int, int]
"""``(x, y, w, h)`` of a face in pixels of its image."""

AFFECTNET: Final[str] = "AffectNet's table with face boxes"
EXPW: Final[str] = "ExpW's label.lst with face boxes"
TABLE: Final[str] = "a table of images and labels"
_IMAGE_COLUMNS: Final[tuple[str, ...]] = (
    "subdirectoryfilepath", "image", "imagename", "imagepath", "img", "imgname", "imgpath", "file", "filename",
    "filepath", "path", "pth", "name", "pic", "picture",
)  # fmt: skip
_LABEL_COLUMNS: Final[tuple[str, ...]] = (
    "expression", "emotion", "label", "labels", "class", "classname", "classid", "expressionlabel", "emotionlabel",
    "target", "category",
)  # fmt: skip
_BOX_COLUMNS: Final[tuple[str, ...]] = ("facex", "facey", "facewidth", "faceheight")
_AFFECTNET_COLUMNS: Final[tuple[str, ...]] = (
    "subdirectoryfilepath", *_BOX_COLUMNS, "faciallandmarks", "expression", "valence", "arousal",
)  # fmt: skip
_EXPW_LINE: Final[re.Pattern[str]] = re.compile(
    r"(?P<name>\S.*?)\s+(?P<face>\d+)\s+(?P<top>-?\d+)\s+(?P<left>-?\d+)\s+(?P<right>-?\d+)\s+(?P<bottom>-?\d+)\s+"
    r"-?[\d.]+(?:[eE][-+]?\d+)?\s+(?P<label>\d+)\s*"
)
_DELIMITERS: Final[tuple[str, ...]] = (",", ";", "\t", "|")
_IMAGE_NAME: Final[re.Pattern[str]] = re.compile(r"\.(?:jpe?g|png|bmp|webp|tiff?|pgm)$", re.IGNORECASE)


@dataclass(frozen=True)
class LabelledRow:
    """One face of a table."""

    image: str
    """Name of the image as it stands, with forward slashes."""
    label: str
    """A word or a number as it stands."""
    box: Box | None
    """Where the face is; None: the image is the face."""
    face: str
    """Number of the face in its image, where it may have several; else empty."""
    line: int
    """Number of the row's line, from 1."""


def kind_of(head: str) -> str | None:
    """What kind of table a text begins with.

    Args:
        head: its first lines.

    Returns:
        :data:`AFFECTNET`, :data:`EXPW` or :data:`TABLE`; None for any other text.
    """
    first = next((line for line in head.splitlines() if line.strip()), "")
    if _EXPW_LINE.fullmatch(first):
        return EXPW
    names = _names(first)
    if _is_affectnet_row(next(csv.reader([first]), [])) or names[: len(_AFFECTNET_COLUMNS)] == _AFFECTNET_COLUMNS:
        return AFFECTNET
    if any("pixel" in name for name in names):  # fer2013.csv
        return None
    return TABLE if _column(names, _IMAGE_COLUMNS) is not None and _column(names, _LABEL_COLUMNS) is not None else None


def rows_of(kind: str, lines: Iterable[str], where: str) -> Iterator[LabelledRow]:
    """The rows of a table.

    Args:
        kind: as :func:`kind_of` gave it.
        lines: of the table, from the first.
        where: the table, for messages.

    Yields:
        One row per face.

    Raises:
        DataError: a line is not as the table's kind demands.
    """
    if kind == EXPW:
        yield from _expw_rows(lines, where)
        return
    lines = iter(lines)
    first = next((line for line in lines if line.strip()), "")
    names = _names(first)
    is_headless = _is_affectnet_row(next(csv.reader([first]), []))
    if is_headless:
        names = _AFFECTNET_COLUMNS
    image, label = _column(names, _IMAGE_COLUMNS), _column(names, _LABEL_COLUMNS)
    assert image is not None and label is not None  # or kind_of would have said so
    box = [names.index(name) for name in _BOX_COLUMNS] if set(_BOX_COLUMNS) <= set(names) else []
    rest = csv.reader((line.replace("\0", "") for line in lines), delimiter="," if is_headless else _delimiter(first))
    try:
        if is_headless:
            yield _row(next(csv.reader([first])), image, label, box, 1, where)
        for row in rest:
            if row and any(value.strip() for value in row):
                yield _row(row, image, label, box, rest.line_num + 1, where)
    except csv.Error as error:
        raise DataError(f"{where}, line {rest.line_num + 1}: {error}") from error


def _row(row: list[str], image: int, label: int, box: list[int], line: int, where: str) -> LabelledRow:
    if len(row) <= max(image, label, *box):
        raise DataError(f"{where}, line {line}: {len(row)} columns, fewer than the header has")
    found: Box | None = None
    try:
        x, y, w, h = (round(float(row[i])) for i in box)
        found = (x, y, w, h)
    except ValueError:  # no box, or NULL, as where AffectNet found no face
        found = None
    return LabelledRow(row[image].strip().replace("\\", "/"), row[label].strip(), found, "", line)


def _expw_rows(lines: Iterable[str], where: str) -> Iterator[LabelledRow]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        match = _EXPW_LINE.fullmatch(line.strip())
        if match is None:
            raise DataError(
                f"{where}, line {number}: expected 'NAME.jpg face_id top left right bottom confidence label', "
                f"got {line.strip()[:60]!r}"
            )
        top, left, right, bottom = (int(match[side]) for side in ("top", "left", "right", "bottom"))
        box = (left, top, right - left, bottom - top)
        yield LabelledRow(match["name"].replace("\\", "/"), match["label"], box, match["face"], number)


def _delimiter(line: str) -> str:
    return max(_DELIMITERS, key=line.count)


def _names(line: str) -> tuple[str, ...]:
    try:
        row = next(csv.reader([line.replace("\0", "")], delimiter=_delimiter(line)), [])
    except csv.Error:
        return ()
    return tuple(plain(name) for name in row)


def _column(names: tuple[str, ...], known: tuple[str, ...]) -> int | None:
    return next((names.index(name) for name in known if name in names), None)


def _is_affectnet_row(row: list[str]) -> bool:
    """Whether a line without a header is one of AffectNet: a name, a box, 68 points, a number and two values."""
    return (
        len(row) == len(_AFFECTNET_COLUMNS)
        and _IMAGE_NAME.search(row[0]) is not None
        and row[6].strip().isdigit()
        and (";" in row[5] or not row[5].strip() or row[5].strip().upper() == "NULL")
    )
