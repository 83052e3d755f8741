"""HEIC, as iPhones write it, and what HEIC and AVIF files say of their pictures.

A HEIC photo is stored as tiles of 512x512 pixels, each a picture of its own; FFmpeg inside OpenCV gives the first of
them and no word of the others. So HEIC is read by libheif (package ``pillow-heif``, or ``pi-heif``, which is the same
without an encoder) or not at all.
"""

from __future__ import annotations

import importlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from fer_edge.arrays import Image
from fer_edge.capture.iso_boxes import Box, ReadAt, boxes, find, reader
from fer_edge.capture.orientation import UPRIGHT, combine
from fer_edge.errors import MissingDependencyError, SourceError

PACKAGES: Final = ("pillow_heif", "pi_heif")
MAX_LINK_BYTES: Final[int] = 1 << 19
"""Of the box that says which picture has which properties; a photo of 48 tiles takes 400."""
_COUNTER_CLOCKWISE: Final = {0: 1, 1: 8, 2: 3, 3: 6}
_MIRRORS: Final = {0: 4, 1: 2}  # 0 exchanges top and bottom, 1 left and right


@dataclass(frozen=True)
class HeifHeader:
    """What the boxes say of the picture that is to be shown."""

    width: int
    """Cut as it is to be seen (``clap``), before it is turned; 0 when the file does not say."""
    height: int
    orientation: int
    """Numbered as in EXIF; from ``irot`` and ``imir`` (ISO/IEC 23008-12, 6.5.10 and 6.5.12), which alone count here."""


def heif_header(content: bytes) -> HeifHeader:
    """Size and orientation of the primary picture of a HEIC or AVIF file; 0 x 0 for a damaged one."""
    read_at = reader(content)
    meta = find(read_at, 0, len(content), b"meta")
    nothing = HeifHeader(0, 0, UPRIGHT)
    if meta is None:
        return nothing
    start = meta.start + 4  # a full box: version and flags
    primary = find(read_at, start, meta.end, b"pitm")
    shared = find(read_at, start, meta.end, b"iprp", b"ipco")
    links = find(read_at, start, meta.end, b"iprp", b"ipma")
    if primary is None or shared is None or links is None:
        return nothing
    long_id = read_at(primary.start, 1) != b"\0"
    item = int.from_bytes(read_at(primary.start + 4, 4 if long_id else 2), "big")
    properties = list(boxes(read_at, shared.start, shared.end))
    width = height = 0
    orientation = UPRIGHT
    for index in _linked(read_at, links, item):
        if not 1 <= index <= len(properties):
            continue
        property_ = properties[index - 1]
        if property_.kind == b"ispe":
            size = read_at(property_.start + 4, 8)
            width, height = int.from_bytes(size[:4], "big"), int.from_bytes(size[4:], "big")
        elif property_.kind == b"clap":  # what of it is to be seen, in fractions
            across, across_of, down, down_of = struct.unpack(">4I", read_at(property_.start, 16).ljust(16, b"\0"))
            width, height = across // max(1, across_of), down // max(1, down_of)
        elif property_.kind == b"irot":
            quarters = int.from_bytes(read_at(property_.start, 1), "big") & 3
            orientation = combine(orientation, _COUNTER_CLOCKWISE[quarters])
        elif property_.kind == b"imir":
            orientation = combine(orientation, _MIRRORS[int.from_bytes(read_at(property_.start, 1), "big") & 1])
    return HeifHeader(width, height, orientation)


def _linked(read_at: ReadAt, links: Box, item: int) -> Iterator[int]:
    """Numbers, from 1, of the properties of one item, in their order (ISO/IEC 23008-12, 9.3.1)."""
    head = read_at(links.start, 8)
    if len(head) < 8:
        return
    id_bytes, wide = (2 if head[0] == 0 else 4), head[3] & 1
    at, end = links.start + 8, min(links.end, links.start + MAX_LINK_BYTES)
    for _ in range(min(int.from_bytes(head[4:8], "big"), end - at)):
        this = int.from_bytes(read_at(at, id_bytes), "big")
        count = int.from_bytes(read_at(at + id_bytes, 1), "big")
        at += id_bytes + 1
        for _ in range(count):
            value = int.from_bytes(read_at(at, 1 + wide), "big")
            at += 1 + wide
            if this == item:
                yield value & (0x7FFF if wide else 0x7F)
        if at >= end:
            return


def decode_heic(content: bytes, name: str) -> list[Image]:
    """The pictures of a HEIC file, nearly always one, whole and upright.

    Args:
        content: the file.
        name: for messages.

    Returns:
        ``(H, W, 3)`` BGR uint8 each, in the file's order.

    Raises:
        MissingDependencyError: neither package is installed.
        SourceError: damaged, or less came out than the file says it holds.
    """
    library = _library()
    if library is None:
        raise MissingDependencyError(
            f"{name} is HEIC, which OpenCV does not read; install a reader with: pip install pillow-heif "
            "(or save the photo as JPEG)"
        )
    header = heif_header(content)
    try:
        opened = library.open_heif(content, convert_hdr_to_8bit=True, bgr_mode=True)
        pictures = [np.asarray(picture) for picture in opened]
        primary = int(opened.primary_index)
    except (ValueError, EOFError, SyntaxError, RuntimeError, OSError, MemoryError, IndexError) as error:
        raise SourceError(f"{name} cannot be decoded as HEIC; truncated or damaged? ({error})") from error
    if not 0 <= primary < len(pictures):
        raise SourceError(f"{name} cannot be decoded as HEIC; truncated or damaged?")
    # libheif turns by itself, and so may exchange the sides.
    height, width = pictures[primary].shape[:2]
    if header.width and sorted((width, height)) != sorted((header.width, header.height)):
        raise SourceError(f"{name}: only {width}x{height} of {header.width}x{header.height} pixels could be decoded")
    return [_bgr(picture) for picture in pictures]


def _bgr(pixels: npt.NDArray[Any]) -> Image:
    if pixels.dtype == np.uint16:  # grey pictures of more than eight bits stay as they are
        pixels = (pixels >> 8).astype(np.uint8)
    if pixels.ndim == 2:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR)
    return np.ascontiguousarray(pixels[:, :, :3], dtype=np.uint8)


def _library() -> Any:
    """The first of :data:`PACKAGES` that is installed, or None."""
    for package in PACKAGES:
        try:
            return importlib.import_module(package)
        except ImportError:
            continue
    return None
