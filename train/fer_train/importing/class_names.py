"""Other people's folder names, mapped to our splits and our seven classes: RAF-DB, AffectNet, CK+ and their like.

:func:`import_rule` is the layout rule of ``fer-data import``; reading for training stays strict.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Final

from fer_edge.errors import DataError, UsageError
from fer_edge.labels import EMOTIONS
from fer_train.data.emotion_words import CLASS_OF, plain
from fer_train.data.folder_layout import (
    IMAGE_SUFFIXES,
    NOT_AN_IMAGE,
    SPLITS,
    Entry,
    Layout,
    LayoutRule,
    is_clutter,
    split_of_file,
)

__all__ = [
    "DROPPED_CLASSES",
    "FERPLUS_FOLDER",
    "NUMBERINGS",
    "better_numbering",
    "import_rule",
    "named_split",
    "names_of_numbers",
    "note_numbering",
    "split_folder",
]

DROPPED_CLASSES: Final[frozenset[str]] = frozenset(
    {"contempt", "none", "uncertain", "unknown", "noface", "nonface", "nf"}
)
FERPLUS_FOLDER: Final[re.Pattern[str]] = re.compile(r"fer2013(train|valid|test)", re.IGNORECASE)
"""A folder of FER+ as Microsoft's script names it."""
_PACKED: Final[tuple[str, ...]] = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".rar", ".7z")
_SPLIT_OF: Final[dict[str, str]] = {
    **dict.fromkeys(("train", "training", "trainset", "trainclass", "trainingset", "fer2013train"), "train"),
    **dict.fromkeys(
        ("val", "valid", "validation", "valset", "valclass", "validationset", "dev", "fer2013valid"), "validation"
    ),
    **dict.fromkeys(("test", "testing", "testset", "testclass", "fer2013test"), "test"),
}
NUMBERINGS: Final[dict[str, tuple[str, ...]]] = {
    # class numbers from `first` on, in each data set's own order
    "rafdb": ("", "surprise", "fear", "disgust", "happy", "sad", "angry", "neutral"),
    "affectnet": (
        "neutral", "happy", "sad", "surprise", "fear", "disgust", "angry", "contempt", "none", "uncertain", "noface",
    ),
    "affectnet-by-name": ("angry", "contempt", "disgust", "fear", "happy", "neutral", "sad", "surprise"),
    "fer2013": ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"),
    "alphabetical": ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"),
}  # fmt: skip
"""Names of numbered class folders; an empty name is a number that the data set does not use."""


def import_rule(numbering: str | None = None) -> LayoutRule:
    """The rule that maps other people's spellings.

    Args:
        numbering: whose numbers numbered class folders are, a key of :data:`NUMBERINGS`; None guesses.

    Returns:
        The layout rule of ``fer-data import``.

    Raises:
        UsageError: an unknown numbering.
    """
    if numbering is not None and numbering not in NUMBERINGS:
        raise UsageError(f"unknown numbering {numbering!r}; expected one of {', '.join(NUMBERINGS)}")

    def rule(paths: Iterable[PurePosixPath], where: str) -> Layout:
        return _map(list(paths), where, numbering)

    return rule


def _map(paths: list[PurePosixPath], where: str, numbering: str | None) -> Layout:
    files = [path for path in paths if not is_clutter(path) and len(path.parts) > 1]
    images = [path for path in files if path.suffix.lower() in IMAGE_SUFFIXES]
    if not images:
        packed = sorted(path.name for path in paths if path.name.lower().endswith(_PACKED))
        inside = f"; unpack what lies in it first: {', '.join(packed[:3])}" if packed else ""
        raise DataError(f"{where} holds no images in class folders; expected [train|test|validation]/<class>/*{inside}")
    layout = Layout()
    table = _folder_table(images, where, numbering, layout)
    dropped: Counter[str] = Counter()
    taken: set[str] = set()
    for path in sorted(images):
        word = table[path.parent]
        if word in DROPPED_CLASSES:
            dropped[word] += 1
            continue
        folder = split_folder(path)
        split = split_of_file(folder, path.name)
        # FER-2013's PublicTest files go back to test/, where their names mark them.
        shown = "test" if folder == "test" else split
        name = f"{shown}/{word}/{path.name}"
        if name in taken:
            name = f"{shown}/{word}/{'_'.join(path.parts)}"
        taken.add(name)
        layout.entries.append(Entry(name, split, EMOTIONS.index(word), path))
    layout.entries.sort()
    layout.dropped = dict(dropped)
    layout.skipped = sorted(
        (str(path), NOT_AN_IMAGE)
        for path in files
        if path.suffix.lower() not in IMAGE_SUFFIXES and path.parent in table
    )
    return layout


def _folder_table(
    images: list[PurePosixPath], where: str, numbering: str | None, layout: Layout
) -> dict[PurePosixPath, str]:
    """Folder -> one of our classes or a dropped one; ``layout`` records whose numbers were taken.

    Raises :class:`DataError` for folders that are neither.
    """
    folders = {path.parent for path in images}
    table: dict[PurePosixPath, str] = {}
    numbered: dict[PurePosixPath, int] = {}
    unknown: list[str] = []
    for folder in sorted(folders):
        for part in reversed(folder.parts):
            word = _class_word(part)
            if word is not None:
                table[folder] = word
                break
            if (number := _class_number(part)) is not None:
                numbered[folder] = number
                break
        else:
            unknown.append(str(folder))
    if ferplus := [folder for folder in unknown if FERPLUS_FOLDER.fullmatch(PurePosixPath(folder).name)]:
        raise DataError(
            f"{where} is FER+ without its labels: label.csv is missing in {', '.join(ferplus)}, or fer2013new.csv "
            "beside them; copy one or the other from github.com/microsoft/FERPlus"
        )
    if unknown:
        shown = ", ".join(unknown[:3]) + (f" and {len(unknown) - 3} more" if len(unknown) > 3 else "")
        raise DataError(
            f"{where}: unknown folder {shown}; expected class folders named like {', '.join(EMOTIONS)}, or numbers"
        )
    if numbered:
        taken, names = names_of_numbers(set(numbered.values()), where, numbering)
        table.update({folder: names[number] for folder, number in numbered.items()})
        layout.numbering = taken
        train: Counter[int] = Counter(dict.fromkeys(numbered.values(), 0))
        train.update(numbered[p.parent] for p in images if p.parent in numbered and split_folder(p) == "train")
        note_numbering(layout, "class folders", train, taken, names)
    return table


def note_numbering(
    layout: Layout,
    what: str,
    train: Mapping[int, int],
    taken: str,
    names: Mapping[int, str],
    *,
    is_known: bool = False,
) -> None:
    """Note how numbers were read, and where another numbering fits the sizes of the classes much better.

    Args:
        layout: gets the notes.
        what: whose labels are numbers.
        train: number -> train images with it; all numbers that occur.
        taken: the numbering that they were read as.
        names: number -> class.
        is_known: whether their authors say what they mean, so that there is nothing to choose.
    """
    pairs = ", ".join(f"{number} {names[number]}" for number in sorted(train))
    if is_known:
        layout.notes.append(f"labels are read from {what}, numbered as {taken}: {pairs}")
        return
    layout.notes.append(f"{what} are numbers, read as {taken}: {pairs}; --numbering takes another")
    other = better_numbering(train, taken)
    if other is not None:
        layout.notes.append(
            f"the sizes of the classes fit the numbering {other} much better than {taken}; if they were "
            f"numbered that way, import again with --numbering {other}"
        )


_AFFECTNET_TRAIN: Final[dict[str, int]] = {
    "neutral": 74874, "happy": 134415, "sad": 25459, "surprise": 14090, "fear": 6378, "disgust": 3803, "angry": 24882,
    "contempt": 3750,
}  # fmt: skip
_BALANCES: Final[dict[str, dict[str, int]]] = {
    "affectnet": _AFFECTNET_TRAIN,
    "affectnet-by-name": _AFFECTNET_TRAIN,
    "rafdb": {
        "surprise": 1290, "fear": 281, "disgust": 717, "happy": 4772, "sad": 1982, "angry": 705, "neutral": 2524,
    },
    "fer2013": {
        "angry": 3995, "disgust": 436, "fear": 4097, "happy": 7215, "sad": 4830, "surprise": 3171, "neutral": 4965,
    },
    "alphabetical": {
        "angry": 3995, "disgust": 436, "fear": 4097, "happy": 7215, "sad": 4830, "surprise": 3171, "neutral": 4965,
    },
}  # fmt: skip
"""Train images per class as published: AffectNet (Mollahosseini et al. 2017, table 3), RAF-DB (basic, Li et al. 2017),
FER-2013 (Goodfellow et al. 2013); alphabetical folders are most often made from the latter."""
_MIN_IMAGES: Final[int] = 70
_CLEARLY_NEARER: Final[float] = 0.25
"""Nats of Kullback-Leibler divergence by which another numbering must explain the class sizes better ..."""
_NEAR: Final[float] = 0.15
"""... and below which it counts as explaining them."""


def better_numbering(counts: Mapping[int, int], taken: str) -> str | None:
    """A numbering whose published class sizes fit much better than the one that was taken.

    Args:
        counts: number of the folder -> train images in it.
        taken: the numbering that the numbers were read as.

    Returns:
        A key of :data:`NUMBERINGS`. None without one, and for sets that are too small or too even to tell.
    """
    total = sum(counts.values())
    if total < _MIN_IMAGES:
        return None

    def divergence(numbering: str) -> float:
        balance, names = _BALANCES[numbering], NUMBERINGS[numbering]
        named = {n: balance.get(names[n], 0) if n < len(names) else 0 for n in counts}
        if not all(named.values()):
            return math.inf
        return sum(
            count / total * math.log((count / total) / (named[n] / sum(named.values())))
            for n, count in counts.items()
            if count
        )

    distances = {name: divergence(name) for name in _BALANCES}
    best = min(distances, key=lambda name: distances[name])
    if distances[best] > _NEAR or distances.get(taken, math.inf) - distances[best] < _CLEARLY_NEARER:
        return None
    return best


def names_of_numbers(numbers: set[int], where: str, numbering: str | None) -> tuple[str, dict[int, str]]:
    """What numbers stand for.

    Args:
        numbers: those that occur.
        where: what they are part of, for messages.
        numbering: a key of :data:`NUMBERINGS`; None guesses, where that is safe.

    Returns:
        The numbering, and number -> class.

    Raises:
        DataError: they could mean several things, or do not fit the numbering.
    """
    if numbering is None:
        if numbers == set(range(1, 8)):
            numbering = "rafdb"
        elif numbers >= set(range(8)):
            numbering = "affectnet"
        else:
            raise DataError(
                f"{where}: classes are numbers ({', '.join(map(str, sorted(numbers)))}) that could mean several "
                f"things; say which with --numbering {'|'.join(NUMBERINGS)}"
            )
    names = {i: name for i, name in enumerate(NUMBERINGS[numbering]) if name}
    strange = sorted(numbers - set(names))
    if strange:
        raise DataError(f"{where}: {strange[0]} is not a class of the {numbering} numbering")
    return numbering, names


def _class_word(part: str) -> str | None:
    """Our name, or a dropped class's, for a folder called ``Anger``, ``0_angry`` or ``03-Happiness``."""
    word = re.sub(r"^\d+", "", plain(part))
    return CLASS_OF.get(word) or (word if word in DROPPED_CLASSES else None)


def _class_number(part: str) -> int | None:
    match = re.fullmatch(r"(?:class)?(\d{1,3})", plain(part))
    return int(match[1]) if match else None


def split_folder(path: PurePosixPath) -> str:
    """Split that a folder above the file names; without any, everything is train.

    Args:
        path: of an image.

    Returns:
        ``train``, ``validation`` or ``test``.
    """
    for part in path.parts[:-1]:
        split = _SPLIT_OF.get(plain(part))
        if split is not None:
            return split
    return SPLITS[0]


def named_split(path: PurePosixPath) -> str | None:
    """Split that a folder, or a word in the name of a file or folder, stands for.

    Args:
        path: of a file, or of a folder.

    Returns:
        ``train``, ``validation`` or ``test``; None where no word says so.
    """
    for part in path.parts:
        for word in (plain(part), *re.split(r"[^a-z]+", part.lower())):
            if word in _SPLIT_OF:
                return _SPLIT_OF[word]
    return None
