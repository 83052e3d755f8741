"""Where labels and bars go on a picture with faces: never on another face, nor on each other.

Pure geometry on ``(x, y, w, h)`` boxes in pixels. In a crowd things get smaller before they are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

Box = tuple[int, int, int, int]

SCALES: Final = (1.0, 0.8, 0.65)
"""Sizes to try in this order; below the last one letters are no longer read."""


@dataclass(frozen=True)
class Placed:
    """Where a thing is drawn, and how large."""

    box: Box
    scale: float
    text: str = ""


def meet(a: Box, b: Box) -> bool:
    """Whether two boxes share a pixel."""
    return a[0] < b[0] + b[2] and b[0] < a[0] + a[2] and a[1] < b[1] + b[3] and b[1] < a[1] + a[3]


def place_labels(
    faces: Sequence[Box],
    texts: Sequence[Sequence[str]],
    measure: Callable[[str, float], tuple[int, int]],
    width: int,
    height: int,
) -> list[Placed | None]:
    """A place for the label of each face.

    Args:
        faces: the boxes.
        texts: for each face what it may say, the preferred first, shorter ones after it.
        measure: ``(width, height)`` in pixels of a text at a scale, its ground included.
        width: of the picture.
        height: of the picture.

    Returns:
        For each face a place inside the picture that meets no other face and no other label, or None.
    """
    placed: list[Placed | None] = []
    taken: list[Box] = []
    for number, face in enumerate(faces):
        others = [*faces[:number], *faces[number + 1 :], *taken]
        label = _first_label(face, texts[number], measure, others, (width, height))
        placed.append(label)
        if label is not None:
            taken.append(label.box)
    return placed


def _first_label(
    face: Box,
    texts: Sequence[str],
    measure: Callable[[str, float], tuple[int, int]],
    others: Sequence[Box],
    picture: tuple[int, int],
) -> Placed | None:
    for inside in (False, True):  # its own face is covered only where there is no other place
        for text in texts:
            for scale in SCALES:
                size = measure(text, scale)
                box = _first_free(_places(face, size, picture[0], inside=inside), size, others, picture)
                if box is not None:
                    return Placed(box, scale, text)
    return None


def _places(face: Box, size: tuple[int, int], width: int, *, inside: bool) -> Iterable[tuple[int, int]]:
    """Places for a label: above and below the face, or inside it there; flush left, then right."""
    x, y, w, h = face
    lefts = (max(0, min(x, width - size[0])), max(0, min(x + w - size[0], width - size[0])))
    for top in (y, y + h - size[1]) if inside else (y - size[1], y + h):
        for left in lefts:
            yield left, top


def place_bars(
    faces: Sequence[Box],
    labels: Sequence[Placed | None],
    measure: Callable[[float], tuple[int, int]],
    width: int,
    height: int,
) -> list[Placed | None]:
    """A place beside, below or above each face that meets no face, no label and no other bars, or None.

    Args:
        faces: the boxes.
        labels: as :func:`place_labels` gave them.
        measure: ``(width, height)`` in pixels of the bars at a scale.
        width: of the picture.
        height: of the picture.

    Returns:
        For each face its place or None.
    """
    taken: list[Box] = [*faces, *(label.box for label in labels if label is not None)]
    placed: list[Placed | None] = []
    for face in faces:
        place = None
        for scale in SCALES:
            size = measure(scale)
            box = _first_free(_beside(face, size, height), size, taken, (width, height))
            if box is not None:
                place = Placed(box, scale)
                taken.append(box)
                break
        placed.append(place)
    return placed


def _beside(face: Box, size: tuple[int, int], height: int) -> Iterable[tuple[int, int]]:
    x, y, w, h = face
    for left in (x + w + 1, x - size[0] - 1):
        for top in (y, y + h - size[1], y + (h - size[1]) // 2):
            yield left, max(0, min(top, height - size[1]))
    for top in (y + h + 1, y - size[1] - 1):
        for left in (x, x + w - size[0]):
            yield left, top


def _first_free(
    places: Iterable[tuple[int, int]], size: tuple[int, int], taken: Sequence[Box], picture: tuple[int, int]
) -> Box | None:
    for left, top in places:
        box = (left, top, *size)
        inside = left >= 0 and top >= 0 and left + size[0] <= picture[0] and top + size[1] <= picture[1]
        if inside and not any(meet(box, other) for other in taken):
            return box
    return None
