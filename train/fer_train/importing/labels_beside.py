"""Data sets whose labels lie beside the images: AffectNet of 2021, and FER+ as Microsoft's script writes it.

* AffectNet: ``train_set/images/12.jpg`` and ``train_set/annotations/12_exp.npy``, an array of one number, 0 to 7.
* FER+: ``FER2013Train/fer0000000.png`` and ``FER2013Train/label.csv`` with ten votes per image; the class with most
  votes is taken (Barsoum et al. 2016, majority voting), a tie is left out. A folder without
  ``label.csv`` takes the same votes by image name from ``fer2013new.csv`` beside or above it.
"""

from __future__ import annotations

import csv
import io
import os
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np
import numpy.typing as npt

from fer_edge.errors import DataError, UsageError
from fer_edge.files import text_encoding
from fer_edge.labels import EMOTIONS
from fer_train.data.crowd_votes import OTHER_COLUMNS, vote_rows
from fer_train.data.decoded_cache import with_first_reason
from fer_train.data.fer2013_csv import CSV_SPLITS
from fer_train.data.folder_layout import IMAGE_SUFFIXES, Entry, Layout, LayoutRule, is_clutter
from fer_train.data.zip_archive import DAMAGED_MEMBER, open_zip, read_member
from fer_train.importing.class_names import FERPLUS_FOLDER, NUMBERINGS, split_folder

_EXPRESSION: Final[str] = "_exp.npy"
_IMAGES: Final[str] = "images"
_MAX_ARRAY_BYTES: Final[int] = 4096
_MAX_TABLE_BYTES: Final[int] = 64 << 20
_LABEL_TABLE: Final[str] = "label.csv"
_VOTE_TABLE: Final[str] = "fer2013new.csv"
_FERPLUS_COLUMNS: Final[tuple[str, ...]] = (
    "neutral", "happy", "surprise", "sad", "angry", "disgust", "fear", *OTHER_COLUMNS,
)  # fmt: skip

LabelsByPath = dict[PurePosixPath, str]
"""Path of an image without its suffix -> its class, or ``"!reason"`` where it has none."""


def labels_beside(source: Path, numbering: str | None) -> LayoutRule | None:
    """The layout rule of a folder or a zip of one of these kinds; None for any other.

    Raises:
        DataError: a table or an array is not as described above.
        UsageError: ``numbering`` is given, which these kinds do not leave open.
    """
    if source.is_dir():
        paths: list[PurePosixPath] = []
        for root, _, files in os.walk(source):
            folder = PurePosixPath(Path(root).relative_to(source).as_posix())
            paths += [folder / name for name in files if _matters(folder / name)]
        return _rule(sorted(paths), lambda path: _read_file(source / path), str(source), numbering)
    if not zipfile.is_zipfile(source):
        return None
    with open_zip(source) as archive:
        infos = {PurePosixPath(i.filename): i for i in archive.infolist() if _matters(PurePosixPath(i.filename))}

        def read(path: PurePosixPath) -> bytes:
            if infos[path].file_size > _MAX_TABLE_BYTES:
                raise DataError(f"{source}: {path} has {infos[path].file_size >> 20} MiB, too much for labels")
            try:
                return read_member(archive, infos[path])
            except DAMAGED_MEMBER as error:
                raise DataError(f"{source}: {path} is damaged ({error}); download it again") from error

        return _rule(sorted(infos), read, str(source), numbering)


def _matters(path: PurePosixPath) -> bool:
    return path.name.endswith(_EXPRESSION) or path.name.lower() in (_LABEL_TABLE, _VOTE_TABLE) or _is_ferplus(path)


def _is_ferplus(path: PurePosixPath) -> bool:
    return FERPLUS_FOLDER.fullmatch(path.parent.name) is not None


def _ferplus_split(path: PurePosixPath) -> str:
    return split_folder(PurePosixPath(path.parent.name, path.name))


def _read_file(path: Path) -> bytes:
    try:
        with path.open("rb") as handle:
            return handle.read(_MAX_TABLE_BYTES)
    except OSError as error:
        raise DataError(f"{path} is not readable ({error.strerror})") from error


def _rule(
    members: list[PurePosixPath], read: Callable[[PurePosixPath], bytes], where: str, numbering: str | None
) -> LayoutRule | None:
    members = [path for path in members if not is_clutter(path)]
    arrays = [p for p in members if p.name.endswith(_EXPRESSION) and p.parent.name.lower() == "annotations"]
    tables = [p for p in members if p.name.lower() == _LABEL_TABLE and _is_ferplus(p)]
    images = [p for p in members if p.suffix.lower() in IMAGE_SUFFIXES and _is_ferplus(p)]
    unlabelled = {p.parent for p in images} - {p.parent for p in tables}
    votes = [p for p in members if p.name.lower() == _VOTE_TABLE] if unlabelled else []
    labels: LabelsByPath = {}
    if arrays:
        kind, allowed = "AffectNet with annotations/N_exp.npy", "affectnet"
        for path in arrays:
            number = path.name.removesuffix(_EXPRESSION)
            labels[path.parent.parent / _IMAGES / number] = _affectnet_class(read(path), f"{where}: {path}")
    elif tables or votes:
        names = [name for name, found in ((_LABEL_TABLE, tables), (_VOTE_TABLE, votes)) if found]
        kind, allowed = f"FER+ with {' and '.join(names)}, the class with most votes", ""
        for path in tables:
            labels |= _ferplus_classes(read(path), path.parent, f"{where}: {path}")
        if len(votes) > 1:
            raise DataError(
                f"{where} holds {len(votes)} tables {_VOTE_TABLE} ({', '.join(map(str, votes))}); leave one"
            )
        for path in votes:
            voted = _voted_classes(read(path), f"{where}: {path}")
            for image in (p for p in images if p.parent in unlabelled):
                found = voted.get((_ferplus_split(image), image.stem)) or voted.get(("", image.stem))
                if found is not None:
                    labels[image.parent / image.stem] = found
    else:
        return None
    if numbering not in (None, allowed):
        raise UsageError(f"--numbering {numbering} does not fit {kind}; leave it out")
    return lambda paths, name: _assign(list(paths), name, labels, kind, allowed or None)


def _affectnet_class(content: bytes, where: str) -> str:
    names = NUMBERINGS["affectnet"]
    try:
        if len(content) > _MAX_ARRAY_BYTES:
            raise ValueError(f"{len(content)} bytes")
        value = np.load(io.BytesIO(content), allow_pickle=False)
        word = value.reshape(-1)[0] if value.size == 1 else -1
        number = int(float(word.decode() if isinstance(word, bytes) else str(word)))
    except (ValueError, EOFError, OSError, TypeError, OverflowError) as error:
        raise DataError(f"{where} is not an array of one number ({str(error).splitlines()[0][:80]})") from error
    if not 0 <= number < len(names):
        raise DataError(f"{where} holds {str(value)[:40]}; expected one number, 0 to {len(names) - 1}")
    return names[number]


def _ferplus_classes(content: bytes, folder: PurePosixPath, where: str) -> LabelsByPath:
    labels: LabelsByPath = {}
    try:
        rows = list(csv.reader(io.StringIO(content.decode(text_encoding(content)))))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{where} is not a FER+ table ({error})") from error
    for number, row in enumerate(rows, start=1):
        if not row:
            continue
        try:
            votes = np.array([float(value) for value in row[2:]])
        except ValueError:
            votes = np.empty(0)
        if len(votes) != len(_FERPLUS_COLUMNS):
            if number == 1:
                continue  # a header
            raise DataError(f"{where}, line {number}: expected a name, a box and {len(_FERPLUS_COLUMNS)} votes")
        labels[folder / PurePosixPath(row[0].strip()).stem] = _majority(votes, _FERPLUS_COLUMNS)
    return labels


def _voted_classes(content: bytes, where: str) -> dict[tuple[str, str], str]:
    """``(split, name of an image without its suffix)`` -> its class, from ``fer2013new.csv``; ``""`` is any split."""
    try:
        text = content.decode(text_encoding(content))
    except UnicodeDecodeError as error:
        raise DataError(f"{where} is not a FER+ table ({error})") from error
    labels: dict[tuple[str, str], str] = {}
    for row in vote_rows(io.StringIO(text), where):
        if name := PurePosixPath(row.name.strip()).stem:
            found = _majority(np.array(row.votes), (*EMOTIONS, *OTHER_COLUMNS))
            labels[CSV_SPLITS.get(row.usage or "", ""), name] = found
            labels.setdefault(("", name), found)
    return labels


def _majority(votes: npt.NDArray[np.float64], columns: Sequence[str]) -> str:
    best = np.flatnonzero(votes == votes.max())
    return columns[int(best[0])] if len(best) == 1 else "!no class has most votes"


def _assign(paths: list[PurePosixPath], where: str, labels: LabelsByPath, kind: str, numbering: str | None) -> Layout:
    layout = Layout(notes=[f"read as {kind}"], numbering=numbering)
    dropped: Counter[str] = Counter()
    for path in sorted(p for p in paths if not is_clutter(p) and p.suffix.lower() in IMAGE_SUFFIXES):
        folder = path.parent.parent / _IMAGES if path.parent.name.lower() == _IMAGES else path.parent
        emotion = labels.get(folder / path.stem)
        if emotion is None:
            layout.skipped.append((str(path), "no label beside it"))
        elif emotion.startswith("!"):
            layout.skipped.append((str(path), emotion[1:]))
        elif emotion not in EMOTIONS:
            dropped[emotion] += 1
        else:
            split = _ferplus_split(path) if _is_ferplus(path) else split_folder(path)
            name = f"{split}/{emotion}/{path.name}"
            layout.entries.append(Entry(name, split, EMOTIONS.index(emotion), path))
    layout.dropped = dict(dropped)
    if not layout.entries:
        raise with_first_reason(DataError(f"{where}, {layout.notes[0]}, holds no image with a label"), layout.skipped)
    layout.entries.sort()
    if len({entry.name for entry in layout.entries}) != len(layout.entries):
        raise DataError(f"{where} holds two data sets with images of the same names; give one of them")
    return layout
