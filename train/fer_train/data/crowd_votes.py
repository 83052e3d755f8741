"""Crowd votes as soft labels: FER+ (Barsoum et al. 2016), ten annotators per image, joined by name.

Two layouts are read: ``image, neutral, happiness, ...`` with an image file's name in each row, and Microsoft's own
``fer2013new.csv`` (``Usage, Image name, neutral, ...``), whose rows follow ``fer2013.csv``; the latter joins images
that were read or imported from that CSV, which are named after its rows.
"""

from __future__ import annotations

import csv
import itertools
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np
import numpy.typing as npt

from fer_edge.errors import DataError
from fer_edge.files import text_encoding
from fer_edge.labels import EMOTIONS, NUM_EMOTIONS
from fer_train.data.table_text import DELIMITERS

__all__ = ["OTHER_COLUMNS", "VOTE_COLUMNS", "VoteRow", "Votes", "load_vote_counts", "load_votes", "vote_rows"]

VOTE_COLUMNS: Final[dict[str, str]] = {
    "angry": "anger",
    "disgust": "disgust",
    "fear": "fear",
    "happy": "happiness",
    "neutral": "neutral",
    "sad": "sadness",
    "surprise": "surprise",
}
"""Our class -> FER+ column."""
OTHER_COLUMNS: Final[tuple[str, ...]] = ("contempt", "unknown", "NF")
_ROW_NAME: Final[re.Pattern[str]] = re.compile(r"^(?:Training|PublicTest|PrivateTest)_row(\d+)$")


@dataclass(frozen=True)
class VoteRow:
    """One row of a vote table."""

    name: str
    """Of the image, as it stands; Microsoft's table leaves it empty where the image was dropped."""
    usage: str | None
    """``Training``, ``PublicTest`` or ``PrivateTest`` in Microsoft's table; None in the other layout."""
    votes: tuple[float, ...]
    """Ten counts: the emotions in the order of :data:`fer_edge.labels.EMOTIONS`, then :data:`OTHER_COLUMNS`."""


@dataclass(frozen=True)
class Votes:
    """Votes of one file for a list of images: seven emotions and the three answers that are none of them."""

    emotions: npt.NDArray[np.float32]
    """``(N, 7)`` counts in the order of :data:`fer_edge.labels.EMOTIONS`; zeros where there is no row."""
    others: npt.NDArray[np.float32]
    """``(N, 3)`` counts of contempt, unknown, not a face."""
    known: npt.NDArray[np.bool_]
    """``(N,)`` whether the file has a row for the image."""


def load_votes(
    csv_path: str | os.PathLike[str], names: Sequence[str], *, min_share: float = 0.5
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Soft labels from the votes of a crowd.

    Votes for contempt, unknown and not-a-face are dropped. An image whose seven emotions together got less than
    ``min_share`` of its votes has no soft label.

    Args:
        csv_path: the table of votes.
        names: names of the images, of which only the file name counts.
        min_share: least share of the votes, 0 to 1, that the seven emotions together must have got.

    Returns:
        ``(soft, mask)``: ``(N, 7)`` float32 with rows that sum to 1, or are 0 without a soft label; ``(N,)`` bool,
            whether there is one.

    Raises:
        DataError: the file is not a vote table, is truncated, or knows none of the images.
    """
    votes = load_vote_counts(csv_path, names)
    total = votes.emotions.sum(axis=1)
    everything = total + votes.others.sum(axis=1)
    mask: npt.NDArray[np.bool_] = votes.known & (total > 0) & (total >= min_share * everything)
    soft = np.zeros_like(votes.emotions)
    soft[mask] = votes.emotions[mask] / total[mask, None]
    return soft, mask


def load_vote_counts(csv_path: str | os.PathLike[str], names: Sequence[str]) -> Votes:
    """The votes as counted.

    Args:
        csv_path: the table of votes.
        names: names of the images, of which only the file name counts.

    Returns:
        The counts, a row per name.

    Raises:
        DataError: as in :func:`load_votes`.
    """
    table = _read_table(Path(csv_path))
    emotions = np.zeros((len(names), NUM_EMOTIONS), dtype=np.float32)
    others = np.zeros((len(names), len(OTHER_COLUMNS)), dtype=np.float32)
    known = np.zeros(len(names), dtype=bool)
    for i, name in enumerate(names):
        stem = PurePosixPath(name).stem
        row_name = _ROW_NAME.match(stem)
        row = table.get(f"row {int(row_name[1])}" if row_name else stem)
        if row is None and row_name:
            row = table.get(stem)
        if row is not None:
            emotions[i], others[i], known[i] = row[:NUM_EMOTIONS], row[NUM_EMOTIONS:], True
    if len(names) and not known.any():
        raise DataError(f"{csv_path} has votes for none of the {len(names)} images (the first is {names[0]})")
    return Votes(emotions, others, known)


def vote_rows(lines: Iterable[str], where: str) -> Iterator[VoteRow]:
    """The rows of a vote table.

    Args:
        lines: of the table, from the header.
        where: the table, for messages.

    Yields:
        One row per image.

    Raises:
        DataError: it is not a vote table, or is truncated.
    """
    columns = [VOTE_COLUMNS[emotion] for emotion in EMOTIONS] + list(OTHER_COLUMNS)
    try:
        lines = iter(lines)
        first = next(lines, "")
        reader = csv.DictReader(itertools.chain([first], lines), delimiter=max(DELIMITERS, key=first.count))
        header = reader.fieldnames or []
        missing = [column for column in columns if column not in header]
        key = next((column for column in ("image", "Image name") if column in header), None)
        if missing or key is None:
            raise DataError(f"{where} is not a FER+ vote table: missing column {(missing or ['image'])[0]}")
        for number, row in enumerate(reader, start=1):
            values = [row[column] for column in columns]
            if any(value is None for value in (row[key], *values)):
                raise DataError(f"{where} is truncated in row {number}")
            try:
                votes = tuple(float(value) for value in values)
            except ValueError:
                raise DataError(f"{where}, row {number}: a vote is not a number") from None
            yield VoteRow(row[key], (row.get("Usage") or "").strip() if key == "Image name" else None, votes)
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{where} is not a FER+ vote table ({error})") from error


def _read_table(path: Path) -> dict[str, tuple[float, ...]]:
    try:
        with path.open("rb") as handle:
            encoding = text_encoding(handle.read(2))
        with path.open(newline="", encoding=encoding) as handle:
            # Microsoft's file leaves the name of a dropped image empty; its place in the file still counts.
            table = {
                PurePosixPath(row.name).stem if row.usage is None else f"row {number}": row.votes
                for number, row in enumerate(vote_rows(handle, str(path)))
            }
    except FileNotFoundError:
        raise DataError(f"no file {path}; expected a FER+ vote table (CSV)") from None
    if not table:
        raise DataError(f"{path} holds no votes")
    return table
