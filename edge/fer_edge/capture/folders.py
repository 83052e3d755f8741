"""Which files of a folder, or of those that a pattern names, are pictures; the others are reported, not ignored."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import Final

from fer_edge.capture.sniff import IMAGE_SUFFIXES, Kind, sniff_file
from fer_edge.logs import LOG

__all__ = ["MAX_SHOWN", "images_among", "matching", "what_else"]

MAX_SHOWN: Final[int] = 8
"""Files that are named; of more only the number."""


def matching(pattern: str) -> list[Path]:
    """The files that a pattern such as ``'shots/*.jpg'`` names, sorted.

    Folders that exist under just this name are taken as they stand, even if they hold brackets.

    Args:
        pattern: as for :func:`glob.glob`, ``**`` included.

    Returns:
        Paths of files and folders.
    """
    parts = Path(pattern).parts
    literal = Path()
    n_literal = 0
    for part in parts[:-1]:
        if not (literal / part).exists():
            break
        literal /= part
        n_literal += 1
    rest = str(Path(*parts[n_literal:]))
    root = Path(glob.escape(str(literal)))
    paths = glob.glob(str(root / rest), recursive=True)  # noqa: PTH207 - absolute patterns, too
    return sorted(map(Path, paths))


def images_among(paths: list[Path]) -> list[Path]:
    """Those that are pictures by their content; one notice names the others and why they are left out.

    Args:
        paths: files and folders.

    Returns:
        The pictures, in the same order.
    """
    images, left_out = [], []
    for path in paths:
        if path.is_dir() or path.name.startswith("."):
            continue
        content = sniff_file(path)
        if not path.is_file():  # a pipe would be waited for
            left_out.append(f"{path.name} ({content.format})")
        elif content.kind is Kind.PICTURE or (content.kind is Kind.UNKNOWN and path.suffix.lower() in IMAGE_SUFFIXES):
            images.append(path)
        elif content.kind is Kind.VIDEO:
            left_out.append(f"{path.name} (a video; open it by itself)")
        else:
            left_out.append(f"{path.name} ({content.format})")
    if left_out:
        more = f" and {len(left_out) - MAX_SHOWN} more" if len(left_out) > MAX_SHOWN else ""
        LOG.info(f"left out, no pictures: {', '.join(left_out[:MAX_SHOWN])}{more}")
    return images


def what_else(folder: Path) -> str:
    """What to say of a folder without a single picture.

    Args:
        folder: the folder.

    Returns:
        The end of a message.
    """
    n_folders = sum(1 for path in folder.iterdir() if path.is_dir())
    if n_folders:
        return f"it holds {n_folders} folders: give one of them, or '{folder}/**/*'"
    return "expected JPEG, PNG, WebP, TIFF, BMP, GIF, HEIC or AVIF files, whatever their names"
