"""Data sets whose labels stand in tables: which image each row means, its split and its class."""

from __future__ import annotations

import contextlib
import io
import os
import re
import zipfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final, TextIO

from fer_edge.errors import DataError, UsageError
from fer_edge.files import text_encoding
from fer_edge.labels import EMOTIONS
from fer_train.data.decoded_cache import with_first_reason
from fer_train.data.emotion_words import emotion_of, plain
from fer_train.data.folder_layout import IMAGE_SUFFIXES, SPLITS, Entry, Layout, LayoutRule, is_clutter
from fer_train.data.zip_archive import DAMAGED_MEMBER, open_zip
from fer_train.importing.class_names import DROPPED_CLASSES, named_split, names_of_numbers, note_numbering
from fer_train.importing.table_rows import AFFECTNET, EXPW, TABLE, LabelledRow, kind_of, rows_of

__all__ = ["Open", "label_tables"]

_SUFFIXES: Final[tuple[str, ...]] = (".csv", ".tsv", ".txt", ".lst")
_HEAD_CHARACTERS: Final[int] = 8192
_MAX_BYTES: Final[int] = 1 << 30
"""AffectNet's training.csv has about 400 MB."""
_NUMBERING: Final[dict[str, str]] = {AFFECTNET: "affectnet", EXPW: "fer2013"}
"""Of the tables whose authors say what the numbers mean."""
_MOST_UNNAMED: Final[float] = 0.5
"""A table of any kind that names less than this share of the images is a table of something else."""

Open = Callable[[PurePosixPath], contextlib.AbstractContextManager[TextIO]]


@dataclass
class _Table:
    path: PurePosixPath
    kind: str
    rows: list[LabelledRow] = field(default_factory=list)


def label_tables(source: Path, numbering: str | None, otherwise: LayoutRule) -> LayoutRule | None:
    """The layout rule of a folder or a zip with such tables.

    Args:
        source: the folder or zip.
        numbering: whose numbers the labels are, a key of ``NUMBERINGS``; None goes by the table.
        otherwise: the rule where the tables turn out to be of something else.

    Returns:
        The rule; None where there is no such table.

    Raises:
        DataError: a table is damaged.
        UsageError: ``numbering`` does not fit a table whose numbers are known.
    """
    if source.is_dir():
        found = sorted(
            PurePosixPath(Path(root, name).relative_to(source).as_posix())
            for root, _, files in os.walk(source)
            for name in files
            if name.lower().endswith(_SUFFIXES)
        )
        tables = _read(found, lambda path: _open_file(source / path), str(source))
    elif zipfile.is_zipfile(source):
        with open_zip(source) as archive:
            infos = {PurePosixPath(i.filename): i for i in archive.infolist() if i.filename.lower().endswith(_SUFFIXES)}
            tables = _read(sorted(infos), lambda path: _open_member(archive, infos[path]), str(source))
    else:
        return None
    for table in tables:
        own = _NUMBERING.get(table.kind)
        if own is not None and numbering not in (None, own):
            raise UsageError(f"--numbering {numbering} does not fit {table.path}, {table.kind}; leave it out")
    if not tables:
        return None

    def rule(paths: object, where: str) -> Layout:
        listed = list(paths)  # type: ignore[call-overload]
        return _assign(listed, where, tables, numbering) or otherwise(listed, where)

    return rule


@contextlib.contextmanager
def _open_file(path: Path) -> Iterator[TextIO]:
    try:
        with path.open("rb") as file:
            encoding = text_encoding(file.read(4))
        with path.open(encoding=encoding, errors="replace", newline="") as text:
            yield text
    except OSError as error:
        raise DataError(f"{path} is not readable ({error.strerror})") from error


@contextlib.contextmanager
def _open_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[TextIO]:
    if info.file_size > _MAX_BYTES:
        raise DataError(f"{archive.filename}: {info.filename} has {info.file_size >> 20} MiB, too much for labels")
    try:
        with archive.open(info) as member:
            encoding = text_encoding(member.read(4))
        with archive.open(info) as member, io.TextIOWrapper(member, encoding, "replace", newline="") as text:
            yield text
    except DAMAGED_MEMBER as error:
        raise DataError(f"{archive.filename}: {info.filename} is damaged ({error}); download it again") from error


def _read(found: list[PurePosixPath], opened: Open, where: str) -> list[_Table]:
    tables = []
    for path in found:
        if is_clutter(path):
            continue
        with opened(path) as text:
            kind = kind_of(text.read(_HEAD_CHARACTERS))
        if kind is None:
            continue
        with opened(path) as text:
            tables.append(_Table(path, kind, list(rows_of(kind, text, f"{where}: {path}"))))
    return tables


def _assign(paths: list[PurePosixPath], where: str, tables: list[_Table], numbering: str | None) -> Layout | None:
    """The layout; None where the tables, of no known kind, do not name the images."""
    images = [path for path in paths if not is_clutter(path) and path.suffix.lower() in IMAGE_SUFFIXES]
    index: dict[str, list[PurePosixPath]] = defaultdict(list)
    for path in images:
        index[path.name.lower()].append(path)
        index[path.stem.lower()].append(path)
    layout = Layout()
    matched: list[tuple[_Table, LabelledRow, PurePosixPath]] = []
    for table in tables:
        for row in table.rows:
            image = _image_of(row, table, index)
            if image is not None:
                matched.append((table, row, image))
            elif table.kind != TABLE:
                layout.skipped.append((row.image, "in the table of labels, but not there"))
    named = {path for _, _, path in matched}
    if all(table.kind == TABLE for table in tables) and len(named) <= _MOST_UNNAMED * len(images):
        return None
    layout.skipped += [(str(path), "not in the table of labels") for path in images if path not in named]
    emotions = _emotions(matched, where, numbering, layout)
    _add_entries(layout, matched, emotions)
    if not layout.entries:
        kinds = " and ".join(f"{table.path} ({table.kind})" for table in tables)
        raise with_first_reason(DataError(f"{where}: no image that {kinds} names is there"), layout.skipped)
    layout.skipped.sort()
    return layout


def _image_of(row: LabelledRow, table: _Table, index: dict[str, list[PurePosixPath]]) -> PurePosixPath | None:
    """The file that a row means: the one whose path ends as the row says; of several, the one nearest to the table."""
    asked = PurePosixPath(row.image)
    parts = [part.lower() for part in asked.parts if part not in (".", "/")]
    if not parts:
        return None
    candidates = index.get(parts[-1], [])
    for depth in range(len(parts), 0, -1):
        ending = parts[-depth:-1]
        fits = [c for c in candidates if [p.lower() for p in c.parts[:-1]][-len(ending) :] == ending or not ending]
        if len(fits) == 1:
            return fits[0]
        if fits:
            split = named_split(table.path)
            nearest = [c for c in fits if split is not None and named_split(c) == split]
            return nearest[0] if len(nearest) == 1 else None
    return None


def _emotions(
    matched: list[tuple[_Table, LabelledRow, PurePosixPath]], where: str, numbering: str | None, layout: Layout
) -> dict[tuple[str, str], str]:
    """``(kind of table, label as it stands)`` -> one of our emotions, or a class that is dropped."""
    emotions: dict[tuple[str, str], str] = {}
    numbers: dict[str, Counter[int]] = defaultdict(Counter)
    for table, row, path in matched:
        number = re.fullmatch(r"(\d{1,3})(?:\.0+)?", row.label)
        if number is not None:
            numbers[table.kind][int(number[1])] += _split(table, path) == SPLITS[0]
            continue
        word = emotion_of(row.label) or (plain(row.label) if plain(row.label) in DROPPED_CLASSES else None)
        if word is None:
            raise DataError(
                f"{where}: {table.path}, line {row.line}: unknown label {row.label[:40]!r}; expected a number, or a "
                f"word like {', '.join(EMOTIONS)}"
            )
        emotions[table.kind, row.label] = word
    for kind, counts in numbers.items():
        taken, names = names_of_numbers(set(counts), f"{where}, {kind}", _NUMBERING.get(kind, numbering))
        layout.numbering = taken
        note_numbering(layout, kind, counts, taken, names, is_known=kind in _NUMBERING)
        for _, row, _ in matched:
            number = re.fullmatch(r"(\d{1,3})(?:\.0+)?", row.label)
            if number is not None:
                emotions.setdefault((kind, row.label), names.get(int(number[1]), ""))
    if not numbers:
        layout.notes.append(f"labels are read from {', '.join(sorted({str(t.path) for t, _, _ in matched}))}")
    return emotions


def _split(table: _Table, path: PurePosixPath) -> str:
    """By the image's folders, else by the table's name, else by the image's; without any, train."""
    return named_split(path.parent) or named_split(table.path) or named_split(PurePosixPath(path.name)) or SPLITS[0]


def _add_entries(
    layout: Layout,
    matched: list[tuple[_Table, LabelledRow, PurePosixPath]],
    emotions: dict[tuple[str, str], str],
) -> None:
    dropped: Counter[str] = Counter()
    seen: dict[tuple[PurePosixPath, str, object], str] = {}
    taken: set[str] = set()
    for table, row, path in matched:
        emotion = emotions[table.kind, row.label]
        before = seen.setdefault((path, row.face, row.box), emotion)
        if before != emotion:
            layout.skipped.append((str(path), f"labelled {before} and {emotion}"))
            continue
        if emotion not in EMOTIONS:
            dropped[emotion] += 1
            continue
        split = _split(table, path)
        file = path.name if row.box is None else f"{path.stem}{'_' + row.face if row.face else ''}.png"
        name = f"{split}/{emotion}/{file}"
        if name in taken:
            name = f"{split}/{emotion}/{'_'.join((*path.parts[:-1], file))}"
        if name in taken:  # the same row twice
            continue
        taken.add(name)
        layout.entries.append(Entry(name, split, EMOTIONS.index(emotion), path, row.box))
    layout.entries.sort()
    layout.dropped = dict(dropped)
