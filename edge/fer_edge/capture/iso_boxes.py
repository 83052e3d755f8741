"""Boxes of the ISO base media file format (ISO/IEC 14496-12): MP4, MOV, HEIC and AVIF are made of them.

Read piece by piece through a function, so that a film of gigabytes, or one at an address, costs a few kilobytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

ReadAt = Callable[[int, int], bytes]
"""``read_at(offset, n_bytes)``: fewer bytes at the end of the file."""

MAX_BOXES: Final[int] = 512
"""On one level; a damaged file may claim millions of empty ones."""


@dataclass(frozen=True)
class Box:
    """Where the content of one box lies."""

    kind: bytes
    """Four letters, for example ``b"moov"``."""
    start: int
    """First byte of its content, after the header."""
    end: int
    """First byte after it."""


def boxes(read_at: ReadAt, start: int, end: int) -> Iterator[Box]:
    """The boxes that follow each other from ``start`` on; ends at the first that does not fit before ``end``."""
    at = start
    for _ in range(MAX_BOXES):
        head = read_at(at, 16)
        if at + 8 > end or len(head) < 8:
            return
        size, header = int.from_bytes(head[:4], "big"), 8
        if size == 1:  # the size follows in eight bytes
            size, header = int.from_bytes(head[8:16], "big"), 16
        elif size == 0:  # up to the end
            size = end - at
        if size < header or (at + size > end and head[4:8] not in (b"mdat", b"moov", b"meta")):
            return
        yield Box(head[4:8], at + header, min(at + size, end))
        at += size


def find(read_at: ReadAt, start: int, end: int, *path: bytes) -> Box | None:
    """The first box with this path, for example ``find(read_at, 0, size, b"moov", b"mvhd")``; None if there is none."""
    for box in boxes(read_at, start, end):
        if box.kind == path[0]:
            if len(path) == 1:
                return box
            return find(read_at, box.start, box.end, *path[1:])
    return None


def reader(content: bytes) -> ReadAt:
    """``read_at`` for bytes in memory."""
    return lambda offset, n_bytes: content[offset : offset + n_bytes]


def table_comes_last(head: bytes) -> bool:
    """Whether the pictures of a film stand before its table of contents, by its first bytes."""
    for box in boxes(reader(head), 0, 1 << 62):
        if box.kind in (b"moov", b"moof", b"mdat"):
            return box.kind == b"mdat"
    return False
