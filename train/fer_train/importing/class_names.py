"""Other people's folder names, mapped to our splits and our seven classes: RAF-DB, AffectNet, CK+ and their like.

:func:`import_rule` is the layout rule of ``fer-data import``; reading for training stays strict.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Final

from fer_edge.errors import DataError, UsageError
from fer_edge.labels import EMOTIONS
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

_SPELLINGS: Final[dict[str, tuple[str, ...]]] = {
    "angry": ("angry", "anger", "angriness", "ang"),
    "disgust": ("disgust", "disgusted", "dis"),
    "fear": ("fear", "fearful", "afraid", "scared", "fea"),
    "happy": ("happy", "happiness", "joy", "happ", "hap"),
    "neutral": ("neutral", "neutrality", "neu"),
    "sad": ("sad", "sadness"),
    "surprise": ("surprise", "surprised", "sur"),
}
_DROPPED: Final[frozenset[str]] = frozenset({"contempt", "none", "uncertain", "unknown", "noface", "nonface", "nf"})
_CLASS_OF: Final[dict[str, str]] = {word: name for name, words in _SPELLINGS.items() for word in words}
_SPLIT_OF: Final[dict[str, str]] = {
    **dict.fromkeys(("train", "training", "trainset", "trainclass", "trainingset"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "valset", "valclass", "validationset", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "testset", "testclass"), "test"),
}
NUMBERINGS: Final[dict[str, tuple[str, ...]]] = {
    # class numbers from `first` on, in each data set's own order
    "rafdb": ("", "surprise", "fear", "disgust", "happy", "sad", "angry", "neutral"),
    "affectnet": (
        "neutral", "happy", "sad", "surprise", "fear", "disgust", "angry", "contempt", "none", "uncertain", "noface",
    ),
    "fer2013": ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"),
}  # fmt: skip
"""Names of numbered class folders; an empty name is a number that the data set does not use."""


def emotion_of(word: str) -> str | None:
    """Our name of an emotion that somebody spells ``Anger``, ``happiness`` or ``surprised``; None for other words."""
    return _CLASS_OF.get(_plain(word))


def import_rule(numbering: str | None = None) -> LayoutRule:
    """The rule that maps other spellings; ``numbering`` says whose numbers numbered class folders are."""
    if numbering is not None and numbering not in NUMBERINGS:
        raise UsageError(f"unknown numbering {numbering!r}; expected one of {', '.join(NUMBERINGS)}")

    def rule(paths: Iterable[PurePosixPath], where: str) -> Layout:
        return _map(list(paths), where, numbering)

    return rule


def _map(paths: list[PurePosixPath], where: str, numbering: str | None) -> Layout:
    files = [path for path in paths if not is_clutter(path) and len(path.parts) > 1]
    images = [path for path in files if path.suffix.lower() in IMAGE_SUFFIXES]
    if not images:
        raise DataError(f"{where} holds no images in class folders; expected [train|test|validation]/<class>/*")
    table = _folder_table(images, where, numbering)
    layout = Layout()
    dropped: Counter[str] = Counter()
    taken: set[str] = set()
    for path in sorted(images):
        word = table[path.parent]
        if word in _DROPPED:
            dropped[word] += 1
            continue
        folder = _split_folder(path)
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


def _folder_table(images: list[PurePosixPath], where: str, numbering: str | None) -> dict[PurePosixPath, str]:
    """Folder -> one of our classes or a dropped one. Raises :class:`DataError` for folders that are neither."""
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
    if unknown:
        shown = ", ".join(unknown[:3]) + (f" and {len(unknown) - 3} more" if len(unknown) > 3 else "")
        raise DataError(
            f"{where}: unknown folder {shown}; expected class folders named like {', '.join(EMOTIONS)}, or numbers"
        )
    if numbered:
        names = _names_of_numbers(set(numbered.values()), where, numbering)
        table.update({folder: names[number] for folder, number in numbered.items()})
    return table


def _names_of_numbers(numbers: set[int], where: str, numbering: str | None) -> dict[int, str]:
    if numbering is None:
        if numbers == set(range(1, 8)):
            numbering = "rafdb"
        elif numbers >= set(range(8)):
            numbering = "affectnet"
        else:
            raise DataError(
                f"{where}: class folders are numbers ({', '.join(map(str, sorted(numbers)))}) that could mean several "
                f"things; say which with --numbering {'|'.join(NUMBERINGS)}"
            )
    names = {i: name for i, name in enumerate(NUMBERINGS[numbering]) if name}
    strange = sorted(numbers - set(names))
    if strange:
        raise DataError(f"{where}: class folder {strange[0]} is no class of the {numbering} numbering")
    return names


def _plain(part: str) -> str:
    return re.sub(r"[^a-z0-9]", "", part.lower())


def _class_word(part: str) -> str | None:
    """Our name, or a dropped class's, for a folder called ``Anger``, ``0_angry`` or ``03-Happiness``."""
    word = re.sub(r"^\d+", "", _plain(part))
    return _CLASS_OF.get(word) or (word if word in _DROPPED else None)


def _class_number(part: str) -> int | None:
    match = re.fullmatch(r"(?:class)?(\d{1,3})", _plain(part))
    return int(match[1]) if match else None


def _split_folder(path: PurePosixPath) -> str:
    """Split that a folder above the file names; without any, everything is train."""
    for part in path.parts[:-1]:
        split = _SPLIT_OF.get(_plain(part))
        if split is not None:
            return split
    return SPLITS[0]
