"""TIFF files: their pages, thumbnails and raw photos, and what is inside that OpenCV does not show (TIFF 6.0)."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from fer_edge.arrays import Image

_NEW_SUBFILE_TYPE: Final[int] = 254
_WIDTH, _HEIGHT = 256, 257
_BITS_PER_SAMPLE: Final[int] = 258
_COMPRESSION: Final[int] = 259
_SUB_DIRECTORIES: Final[int] = 330
_SAMPLE_FORMAT: Final[int] = 339
_DNG_VERSION: Final[int] = 50706
_SHORT: Final[int] = 3
MAX_PAGES: Final[int] = 1000
MAX_ENTRIES: Final[int] = 100_000
"""In all directories of a TIFF file together: crafted ones may overlap."""
_SAMPLES: Final = {
    2: "signed samples",
    3: "floats",
    4: "samples of an undefined kind",
    5: "complex samples",
    6: "complex floats",
}
"""SampleFormat -> in words; 1 is plain numbers."""
_COMPRESSIONS: Final = {
    6: "JPEG of the old kind",
    33003: "JPEG 2000",
    33005: "JPEG 2000",
    34661: "JBIG",
    34712: "JPEG 2000",
    34887: "LERC",
    34892: "lossy JPEG",
    34925: "LZMA",
    34933: "PNG",
    34934: "JPEG XR",
    50000: "ZSTD",
    50001: "WebP",
    50002: "JPEG XL",
    52546: "JPEG XL",
}
"""What few programs read; those that libtiff knows are built into it or not."""
_KNOWN_TO_LIBTIFF: Final = frozenset(
    {*range(1, 9), 32766, 32771, 32773, 32809, 32908, 32909, 32946, 34661, 34676, 34677, 34887, 34925, 50000, 50001}
)
"""Of all others OpenCV 4.14 makes a black picture, without a word."""
_LOG_LUV: Final = frozenset({34676, 34677})
"""Floats that OpenCV shows as those of Radiance HDR."""


def tiff_pages(content: bytes) -> list[bool]:
    """For each directory of a TIFF file whether it is a page, not a thumbnail or a mask (TIFF 6.0, section 8)."""
    return [not tags.get(_NEW_SUBFILE_TYPE, 0) & 5 for tags in _directories(content)]


def tiff_pixels(content: bytes) -> int:
    """Width times height of all directories of a TIFF file together, as they say; 0 for other files."""
    return sum(tags.get(_WIDTH, 0) * tags.get(_HEIGHT, 0) for tags in _directories(content))


def is_raw_photo(content: bytes) -> bool:
    """Whether a TIFF file is a camera's raw file: what OpenCV decodes of it is the thumbnail in front."""
    directories = _directories(content)
    if not directories:
        return False
    first = directories[0]
    return _DNG_VERSION in first or (bool(first.get(_NEW_SUBFILE_TYPE, 0) & 1) and _SUB_DIRECTORIES in first)


def why_not_shown(content: bytes) -> str | None:
    """What a TIFF file holds of which OpenCV makes nothing, or a picture that is wrong; None for all others.

    Args:
        content: the file.

    Returns:
        What it is, for messages, and what to do.
    """
    for tags, is_page in zip(_directories(content), tiff_pages(content), strict=True):
        compression = tags.get(_COMPRESSION, 1)
        if not is_page or compression in _LOG_LUV:
            continue
        bits, kind = tags.get(_BITS_PER_SAMPLE, 1), tags.get(_SAMPLE_FORMAT, 1)
        if kind in _SAMPLES or bits > 16:
            samples = f"{bits}-bit {_SAMPLES.get(kind, 'samples')}"
            return f"a TIFF of {samples}, which is not read here; save it with 8 or 16 bits without sign, or as PNG"
        if compression not in _KNOWN_TO_LIBTIFF:
            return _compressed(compression)
    return None


def why_not_decoded(content: bytes) -> str | None:
    """Why OpenCV could not decode a TIFF file, if that is for its compression; None where it is damaged.

    Args:
        content: the file.

    Returns:
        What it is, for messages, and what to do.
    """
    found = [tags.get(_COMPRESSION, 1) for tags in _directories(content)]
    return next((_compressed(number) for number in found if number in _COMPRESSIONS), None)


def _compressed(number: int) -> str:
    name = _COMPRESSIONS.get(number, f"method {number}")
    return (
        f"a TIFF compressed by {name}, which OpenCV {cv2.__version__} as built here does not decode; "
        "save it with LZW, Deflate or no compression, or as PNG"
    )


def _directories(content: bytes) -> list[dict[int, int]]:
    """``{tag: value}`` of each directory: of several numbers where they lie, of several SHORT ones the first."""
    order = {b"II": "little", b"MM": "big"}.get(content[:2])
    if order is None:
        return []

    def number(at: int, n_bytes: int) -> int:
        return int.from_bytes(content[at : at + n_bytes], order)  # type: ignore[arg-type]

    # Bytes of a count of entries, of an entry, of a place; BigTIFF (libtiff.gitlab.io/libtiff/specification/bigtiff)
    # numbers in 64 bits.
    layout = {42: (2, 12, 4), 43: (8, 20, 8)}.get(number(2, 2))
    if layout is None:
        return []
    count_size, entry_size, place_size = layout

    def value(entry: int) -> int:
        n_values, at = number(entry + 4, place_size), entry + entry_size - place_size
        if number(entry + 2, 2) != _SHORT:
            return number(at, {4: 4}.get(number(entry + 2, 2), place_size))
        return number(at if 2 * n_values <= place_size else number(at, place_size), 2)

    frames: list[dict[int, int]] = []
    seen: set[int] = set()
    left = MAX_ENTRIES
    at = number(place_size, place_size)
    while at and at not in seen and at + count_size <= len(content) and len(frames) < MAX_PAGES and left > 0:
        seen.add(at)
        behind = at + count_size + entry_size * number(at, count_size)
        entries = range(at + count_size, min(behind, len(content) + 1 - entry_size), entry_size)[:left]
        left -= len(entries)
        frames.append({number(e, 2): value(e) for e in entries})
        at = number(behind, place_size)
    return frames


def decode_pages(content: bytes) -> list[Image]:
    """The pages of a TIFF file, ``(H, W, 3)`` BGR uint8 each; empty when they cannot be decoded."""
    try:
        got, images = cv2.imdecodemulti(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        return []
    pages = tiff_pages(content)
    if not got or len(images) != len(pages):
        return []
    return [np.asarray(image, dtype=np.uint8) for image, kept in zip(images, pages, strict=True) if kept]
