"""Which split and which class an image belongs to, by where it lies: the split rules of the toolkit, once.

``train/<class>/*``, ``test/<class>/*`` and optionally ``validation/`` or ``val/``, at the top of a folder or a zip or
below any number of wrapping folders. In ``test/``, names that begin with ``PublicTest_`` are split *validation* and
``PrivateTest_`` split *test*, as FER-2013's authors meant them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final

from fer_edge.command import did_you_mean
from fer_edge.errors import DataError
from fer_edge.labels import EMOTIONS

__all__ = [
    "IMAGE_SUFFIXES",
    "NOT_AN_IMAGE",
    "SPLITS",
    "SPLIT_FOLDERS",
    "Entry",
    "Layout",
    "LayoutRule",
    "assign",
    "class_of",
    "find_root",
    "is_clutter",
    "require_classes",
    "split_of_file",
]

SPLITS: Final[tuple[str, ...]] = ("train", "validation", "test")
SPLIT_FOLDERS: Final[dict[str, str]] = {
    "train": "train",
    "test": "test",
    "validation": "validation",
    "val": "validation",
}
IMAGE_SUFFIXES: Final[frozenset[str]] = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".pgm"})
_IGNORED_NAMES: Final[frozenset[str]] = frozenset({"thumbs.db", "desktop.ini", "__macosx"})
NOT_AN_IMAGE: Final[str] = f"not an image file ({', '.join(sorted(IMAGE_SUFFIXES))})"
_EXPECTED: Final[str] = "expected train/<class>/, test/<class>/ and optionally validation/<class>/"


@dataclass(frozen=True, order=True)
class Entry:
    """One image of a data set. Entries sort by name."""

    name: str
    """Path below the data set's root, with forward slashes."""
    split: str
    """``train``, ``validation`` or ``test``."""
    label: int
    """0..6 in the order of :data:`fer_edge.labels.EMOTIONS`."""
    path: PurePosixPath = field(default=PurePosixPath(), compare=False)
    """Path below the folder or the archive that was given, which may wrap the root."""
    box: tuple[int, int, int, int] | None = field(default=None, compare=False)
    """``(x, y, w, h)`` of the face in pixels of the image; None: the image is the face."""


@dataclass
class Layout:
    """What a folder or an archive holds."""

    entries: list[Entry] = field(default_factory=list)
    """The images, sorted by name."""
    skipped: list[tuple[str, str]] = field(default_factory=list)
    """``(name, reason)`` of files that are not images."""
    dropped: dict[str, int] = field(default_factory=dict)
    """Images of classes that the toolkit does not know, counted by class."""
    notes: list[str] = field(default_factory=list)
    """How the layout was read, where that was a choice: one line each."""
    numbering: str | None = None
    """Whose numbers numbered class folders were taken for."""


LayoutRule = Callable[[Iterable[PurePosixPath], str], Layout]
"""Takes relative file paths and the name of the whole for error messages."""


def is_clutter(path: PurePosixPath) -> bool:
    """Whether operating systems, and not people, put this file there (``.DS_Store``, ``Thumbs.db``, ``__MACOSX``).

    Args:
        path: relative path of the file.

    Returns:
        True for clutter.
    """
    return any(part.startswith(".") or part.lower() in _IGNORED_NAMES for part in path.parts)


def find_root(paths: Iterable[PurePosixPath], where: str) -> PurePosixPath:
    """The folder that holds ``train/`` or ``test/``, however deep it is wrapped.

    Args:
        paths: relative paths of files.
        where: what the files are part of, for messages.

    Returns:
        The folder; ``.`` when it is the top.

    Raises:
        DataError: there is none or more than one.
    """
    roots: set[PurePosixPath] = set()
    for path in paths:
        folders = path.parts[:-1]
        for depth, part in enumerate(folders):
            if part.lower() in SPLIT_FOLDERS:
                roots.add(PurePosixPath(*folders[:depth]))
                break
    if not roots:
        raise DataError(f"{where} holds no data set: {_EXPECTED} (`fer-data import` reads AffectNet, FER+ and others)")
    shallowest = min(len(root.parts) for root in roots)
    roots = {root for root in roots if len(root.parts) == shallowest}
    if len(roots) > 1:
        names = ", ".join(sorted(str(root) for root in roots))
        raise DataError(f"{where} holds more than one data set ({names}); give one of them")
    return roots.pop()


def class_of(folder: str, where: str) -> int:
    """The class that a folder is named after.

    Args:
        folder: name of the folder, in any letter case.
        where: the folder, for messages.

    Returns:
        Its label, 0..6.

    Raises:
        DataError: it is none of the seven.
    """
    try:
        return EMOTIONS.index(folder.lower())
    except ValueError:
        if folder.isdigit():
            raise DataError(
                f"{where} is a number, which could mean several classes; name the folders {', '.join(EMOTIONS)}, or "
                "copy them with `fer-data import SRC --to DIR --numbering affectnet` (or another, see its --help)"
            ) from None
        hint = did_you_mean(folder.lower(), EMOTIONS) or f"; expected {', '.join(EMOTIONS)}"
        raise DataError(
            f"{where} is not one of the seven class folders{hint} (`fer-data import` maps other spellings)"
        ) from None


def assign(paths: Iterable[PurePosixPath], where: str) -> Layout:
    """The layout of files in class folders named like the seven emotions.

    Args:
        paths: relative paths of files.
        where: what the files are part of, for messages.

    Returns:
        The entries, and what was skipped.

    Raises:
        DataError: a folder is unknown, or there is no data set at all.
    """
    files = [path for path in paths if not is_clutter(path)]
    root = find_root(files, where)
    layout = Layout()
    for path in files:
        if root.parts and path.parts[: len(root.parts)] != root.parts:
            continue  # beside the data set, for example a licence file
        parts = path.parts[len(root.parts) :]
        is_image = path.suffix.lower() in IMAGE_SUFFIXES
        if len(parts) == 1 or (not is_image and (len(parts) == 2 or parts[0].lower() not in SPLIT_FOLDERS)):
            continue  # a README or a CSV beside train/
        if parts[0].lower() not in SPLIT_FOLDERS:
            raise DataError(f"{where}: unknown folder {'/'.join(path.parts[:-1])}; {_EXPECTED}")
        if len(parts) == 2:
            raise DataError(f"{where}: {path} lies outside a class folder; {_EXPECTED}")
        name = "/".join(parts)
        label = class_of(parts[1], f"{where}: folder {parts[0]}/{parts[1]}")
        if is_image:
            split = split_of_file(SPLIT_FOLDERS[parts[0].lower()], path.name)
            layout.entries.append(Entry(name, split, label, path))
        else:
            layout.skipped.append((name, NOT_AN_IMAGE))
    layout.entries.sort()
    layout.skipped.sort()
    return layout


def split_of_file(folder_split: str, file_name: str) -> str:
    """Which split a file belongs to: FER-2013's PublicTest lies in ``test/``.

    Args:
        folder_split: split of its folder.
        file_name: name of the file.

    Returns:
        ``train``, ``validation`` or ``test``.
    """
    if folder_split == "test" and file_name.startswith("PublicTest_"):
        return "validation"
    return folder_split


def require_classes(counts: dict[str, list[int]], where: str) -> None:
    """Make sure that every split with images has all seven classes.

    Args:
        counts: split -> images of each of the seven classes.
        where: what the files are part of, for messages.

    Raises:
        DataError: a split has images but none of some class, or there are no images at all.
    """
    if not any(sum(classes) for classes in counts.values()):
        raise DataError(f"{where} holds no readable image")
    for split, classes in counts.items():
        missing = [name for name, count in zip(EMOTIONS, classes, strict=True) if count == 0]
        if sum(classes) and missing:
            raise DataError(f"{where}: split {split} has no image of class {', '.join(missing)}; all seven are needed")
