"""Which way up a picture is: what files say of it, and turning pixels accordingly.

There are eight ways, numbered as in EXIF (CIPA DC-008, tag 0x0112): 1 upright, 2 mirrored, 3 upside down, 4 mirrored
and upside down, 5 to 8 the same lying on their sides. Every kind of file is brought to these numbers, and so are the
options ``--rotate`` and ``--flip``. They are read from the content, never concluded from a file's name.
"""

from __future__ import annotations

import io
import itertools
import os
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from fer_edge.arrays import Image
from fer_edge.capture.iso_boxes import ReadAt, boxes, find
from fer_edge.capture.picture_notes import noted_orientation

__all__ = [
    "MAX_TRACKS",
    "UPRIGHT",
    "asked_orientation",
    "combine",
    "film_orientation",
    "matrix_orientation",
    "picture_orientation",
    "turn",
    "video_orientation",
]


UPRIGHT: Final[int] = 1
_MATRICES: Final[dict[int, tuple[int, int, int, int]]] = {
    1: (1, 0, 0, 1),
    2: (-1, 0, 0, 1),
    3: (-1, 0, 0, -1),
    4: (1, 0, 0, -1),
    5: (0, 1, 1, 0),
    6: (0, -1, 1, 0),
    7: (0, -1, -1, 0),
    8: (0, 1, -1, 0),
}
"""EXIF number -> (xx, xy, yx, yy) of the picture to show: ``x' = xx x + xy y``, ``y' = yx x + yy y``, y downwards."""
_NUMBERS: Final = {matrix: number for number, matrix in _MATRICES.items()}
_ROTATIONS: Final[dict[int, int]] = {0: 1, 90: 6, 180: 3, 270: 8}  # clockwise
_MIRRORED: Final[int] = 2
_PICTURES: Final = (b"vide", b"pict")
"""Handlers of tracks: of films, and of HEIC sequences."""
_EBML: Final[bytes] = b"\x1a\x45\xdf\xa3"
MAX_TRACKS: Final[int] = 32
"""Of a film that are looked at: a damaged one may claim any number."""


def turn(image: Image, orientation: int, *, own: bool = False) -> Image:
    """``image`` ``(H, W, 3)`` as it is to be seen; for 5 to 8 the result is ``(W, H, 3)``.

    Args:
        image: as stored.
        orientation: 1 to 8, how it is stored.
        own: whether ``image`` may be written over: at 4K each copy is 25 MB.

    Returns:
        The image itself for 1, and with ``own`` for 2 to 4; else a contiguous copy.
    """
    if orientation == UPRIGHT:
        return image
    xx, xy, yx, yy = _MATRICES[orientation]
    across, down = (xx or xy) < 0, (yy or yx) < 0
    code = -1 if across and down else (1 if across else 0)
    if xx:
        return np.asarray(cv2.flip(image, code, dst=image if own else None), dtype=np.uint8)
    turned = cv2.transpose(image)
    if across or down:
        cv2.flip(turned, code, dst=turned)
    return np.asarray(turned, dtype=np.uint8)


def asked_orientation(rotate: int, flip: bool) -> int:
    """What ``--rotate`` (0, 90, 180 or 270 degrees clockwise) and then ``--flip`` (left and right) come to.

    Args:
        rotate: degrees clockwise: 0, 90, 180 or 270.
        flip: whether to mirror left and right afterwards.

    Returns:
        Orientation 1 to 8 (Exif 2.32, tag 0x0112).
    """
    return combine(_ROTATIONS[rotate], _MIRRORED if flip else UPRIGHT)


def combine(first: int, then: int) -> int:
    """The one orientation that does what turning by ``first`` and by ``then`` after it does.

    Args:
        first: orientation 1 to 8 that is applied first.
        then: orientation 1 to 8 that is applied to its result.

    Returns:
        The one orientation, 1 to 8, that does both.
    """
    a, b, c, d = _MATRICES[then]
    e, f, g, h = _MATRICES[first]
    return _NUMBERS[(a * e + b * g, a * f + b * h, c * e + d * g, c * f + d * h)]


def picture_orientation(content: bytes) -> int:
    """What the EXIF data of a JPEG, PNG or WebP file says, else its XMP data (of TIFF, too); 1 where it says nothing.

    Other formats: TIFF's own tag is applied by OpenCV itself, HEIC and AVIF have :func:`item_orientation`.

    Args:
        content: the encoded picture.

    Returns:
        Orientation 1 to 8; 1 where the file names none.
    """
    return noted_orientation(content) or UPRIGHT


def video_orientation(path: str | os.PathLike[str]) -> int | None:
    """The orientation of an MP4, MOV, Matroska or WebM file; None for others, and where it is not a quarter turn.

    Args:
        path: the video file.

    Returns:
        Orientation 1 to 8, None where this cannot be determined.
    """
    try:
        with Path(path).open("rb") as handle:
            size = handle.seek(0, io.SEEK_END)

            def read_at(offset: int, n_bytes: int) -> bytes:
                handle.seek(offset)
                return handle.read(n_bytes)

            return film_orientation(read_at, size)
    except (OSError, ValueError):
        return None


def film_orientation(read_at: ReadAt, size: int) -> int | None:
    """The orientation by whatever the container has for it.

    Args:
        read_at: reads ``(offset, length)`` of the file, both in bytes.
        size: of the file, in bytes.

    Returns:
        Orientation 1 to 8, None where this cannot be determined.
    """
    if read_at(0, 4) != _EBML:
        return matrix_orientation(read_at, size)
    from fer_edge.capture.matroska import projection_pose

    yaw, pitch, roll = projection_pose(read_at, size) or (0.0, 1.0, 0.0)
    degrees, rest = divmod(roll, 90.0)
    if pitch != 0.0 or abs(yaw) not in (0.0, 180.0) or rest != 0.0:
        return None
    # Roll turns counter-clockwise; seen from behind (yaw 180) this is clockwise, and left and right change places.
    counter = int(degrees) * 90 % 360
    return combine(_ROTATIONS[counter], _MIRRORED) if yaw else _ROTATIONS[-counter % 360]


def matrix_orientation(read_at: ReadAt, size: int) -> int | None:
    """The orientation by the display matrix of the first video track, times that of the film.

    ISO/IEC 14496-12, 8.3.2: ``x' = a x + c y``, ``y' = b x + d y``, stored as a, b, u, c, d, v, x, y, w. OpenCV makes a
    mere rotation of it and loses the mirroring that front cameras write.

    Args:
        read_at: reads ``(offset, length)`` of the file, both in bytes.
        size: of the file, in bytes.

    Returns:
        Orientation 1 to 8, None where this cannot be determined.
    """
    if read_at(4, 4) not in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"):
        return None
    moov = find(read_at, 0, size, b"moov")
    if moov is None:
        return None
    film = find(read_at, moov.start, moov.end, b"mvhd")
    film_matrix = _matrix(read_at, film.start, 36) if film is not None else None
    tracks = (child for child in boxes(read_at, moov.start, moov.end) if child.kind == b"trak")
    for track in itertools.islice(tracks, MAX_TRACKS):
        handler = find(read_at, track.start, track.end, b"mdia", b"hdlr")
        header = find(read_at, track.start, track.end, b"tkhd")
        if handler is None or header is None or read_at(handler.start + 8, 4) not in _PICTURES:
            continue
        a, b, c, d = _matrix(read_at, header.start, 40)
        if film_matrix is not None:
            e, f, g, h = film_matrix
            a, b, c, d = a * e + b * g, a * f + b * h, c * e + d * g, c * f + d * h
        return _nearest(a, c, b, d)
    return None


def _matrix(read_at: ReadAt, start: int, offset: int) -> tuple[float, float, float, float]:
    """a, b, c, d of the matrix in a movie or track header; version 1 has longer times before it."""
    longer = 12 if read_at(start, 1) == b"\1" else 0
    raw = read_at(start + offset + longer, 20)
    values = [int.from_bytes(raw[at : at + 4], "big", signed=True) / 65536.0 for at in (0, 4, 12, 16)]
    return values[0], values[1], values[2], values[3]


def _nearest(xx: float, xy: float, yx: float, yy: float) -> int | None:
    """The orientation of a matrix that turns by quarters, whatever it scales by; 1 for a matrix of zeros."""
    straight, crossed = max(abs(xx), abs(yy)), max(abs(xy), abs(yx))
    if straight == crossed == 0.0:
        return UPRIGHT
    if min(straight, crossed) > 0.01 * max(straight, crossed):
        return None

    def sign(value: float) -> int:
        return -1 if value < 0 else 1

    if straight > crossed:
        return _NUMBERS[(sign(xx), 0, 0, sign(yy))]
    return _NUMBERS[(0, sign(xy), sign(yx), 0)]
