"""Netpbm pictures (netpbm.sourceforge.net/doc): PBM, PGM and PPM as text and as bytes, PAM, and PFM of floats.

OpenCV 4.14 reads them, too, but takes the red of PAM for blue, makes black of floats, leaves pictures dark whose
greatest value is not 255, and wants a line end after the last number of a text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from fer_edge.arrays import Image
from fer_edge.errors import SourceError
from fer_edge.image_bytes import MAX_IMAGE_PIXELS
from fer_edge.logs import LOG

__all__ = ["decode_netpbm"]

_Samples = npt.NDArray[Any]
"""``(H, W, channels)``."""

_NUMBER: Final = re.compile(rb"(?:\s|#[^\r\n]*[\r\n])*(\d{1,10})")
_SCALE: Final = re.compile(rb"\s*([-+]?\d{0,20}\.?\d{0,20}(?:[eE][-+]?\d{1,3})?)\s")
_TUPLE_TYPES: Final = {
    f"{name}{alpha}": depth + bool(alpha)
    for name, depth in (("BLACKANDWHITE", 1), ("GRAYSCALE", 1), ("RGB", 3))
    for alpha in ("", "_ALPHA")
}
"""TUPLTYPE of a PAM -> channels."""
_MAX_PAM_HEADER_BYTES: Final[int] = 1 << 16
_TEXT, _BITS, _FLOATS, _PAM = (b"1", b"2", b"3"), (b"1", b"4"), (b"F", b"f"), b"7"
_COLOR: Final = (b"3", b"6", b"F")


@dataclass(frozen=True)
class _Header:
    width: int
    height: int
    depth: int
    """Channels: grey, or red, green and blue, each with or without alpha."""
    white: float
    """The greatest value; of floats the one that stands for 1, negative where the lowest byte comes first."""
    at: int
    """First byte of the samples."""


def decode_netpbm(content: bytes, name: str) -> Image:
    """The picture in a Netpbm file; of several one after the other the first.

    Floats are shown as those of Radiance HDR are: 0 is black, 1 and more are white. Transparency is left out.

    Args:
        content: the file, which begins with ``P1`` to ``P7``, ``PF`` or ``Pf``.
        name: for messages.

    Returns:
        ``(H, W, 3)`` BGR uint8.

    Raises:
        SourceError: damaged, too large, or channels of an unknown meaning.
    """
    kind = content[1:2]
    header = _pam_header(content, name) if kind == _PAM else _header(content, kind)
    if header is None or header.width * header.height == 0 or not 0.0 < abs(header.white) < np.inf:
        raise SourceError(f"{name} cannot be decoded as an image; a damaged Netpbm: its header is incomplete")
    n_pixels = header.width * header.height
    if n_pixels > MAX_IMAGE_PIXELS:
        raise SourceError(
            f"{name} cannot be decoded as an image: {n_pixels // 1_000_000} million pixels, "
            f"more than {MAX_IMAGE_PIXELS // 1_000_000}"
        )
    samples = _samples(content, kind, header)
    if samples is None:
        raise SourceError(
            f"{name} cannot be decoded as an image; a damaged Netpbm: its header says {header.width}x{header.height}, "
            "and its samples end before"
        )
    if kind in _FLOATS:
        samples = _from_zero_to_one(samples, abs(header.white), name)
    white = 1.0 if kind in _FLOATS else header.white
    shown = np.asarray(cv2.convertScaleAbs(samples, alpha=255.0 / white), np.uint8).reshape(samples.shape)
    if header.depth < 3:
        return np.asarray(cv2.cvtColor(np.ascontiguousarray(shown[:, :, 0]), cv2.COLOR_GRAY2BGR), np.uint8)
    return np.ascontiguousarray(shown[:, :, 2::-1])


def _header(content: bytes, kind: bytes) -> _Header | None:
    """Numbers with comments between them, then a single blank; None where they are incomplete."""
    numbers, at = [], 2
    for _ in range(2 if kind in _BITS or kind in _FLOATS else 3):
        found = _NUMBER.match(content, at)
        if found is None:
            return None
        numbers.append(int(found[1]))
        at = found.end()
    depth = 3 if kind in _COLOR else 1
    if kind in _FLOATS:
        scale = _SCALE.match(content, at)
        try:
            white = float(scale[1]) if scale else 0.0
        except ValueError:  # no digits
            return None
        return _Header(numbers[0], numbers[1], depth, white, scale.end() if scale else at)
    white = 1 if kind in _BITS else numbers[2]
    return _Header(numbers[0], numbers[1], depth, white if white <= 0xFFFF else 0, at + 1)


def _pam_header(content: bytes, name: str) -> _Header | None:
    end = re.search(rb"\nENDHDR[ \t]*\r?\n", content[:_MAX_PAM_HEADER_BYTES])
    if end is None:
        return None
    lines = content[2 : end.start()].decode("ascii", "replace").splitlines()
    words = [line.split(maxsplit=1) for line in lines if line.strip() and not line.startswith("#")]
    values = {line[0]: line[1].strip() if len(line) > 1 else "" for line in words}
    sizes = [values.get(key, "") for key in ("WIDTH", "HEIGHT", "DEPTH", "MAXVAL")]
    if not all(re.fullmatch(r"[0-9]{1,10}", size) for size in sizes):
        return None
    width, height, depth, white = map(int, sizes)
    tuple_type = values.get("TUPLTYPE", "")
    if not tuple_type and depth in (3, 4):
        raise SourceError(
            f"{name} is a PAM of {depth} channels without TUPLTYPE: OpenCV writes blue first, others red; "
            "save it as PNG, or as PPM"
        )
    if depth != (_TUPLE_TYPES.get(tuple_type) if tuple_type else min(depth, 2)):
        expected = ", ".join(f"{key} ({channels})" for key, channels in _TUPLE_TYPES.items())
        raise SourceError(
            f"{name} is a PAM of {depth} channels with TUPLTYPE {tuple_type or 'missing'}; expected {expected}; "
            "save it as PNG"
        )
    return _Header(width, height, depth, white if white <= 0xFFFF else 0, end.end())


def _samples(content: bytes, kind: bytes, header: _Header) -> _Samples | None:
    """``(H, W, depth)``, the top row first; None where they are not all there."""
    shape = header.height, header.width, header.depth
    count = header.height * header.width * header.depth
    if kind in _TEXT:
        flat = _of_text(content[header.at - 1 :], count, bits=kind in _BITS)
        return None if flat is None else flat.reshape(shape)
    if kind in _FLOATS:
        dtype: np.dtype[Any] = np.dtype("<f4" if header.white < 0 else ">f4")
    else:
        dtype = np.dtype("u1" if header.white < 256 else ">u2")
    row = (header.width + 7) // 8  # of bits: each begins with a byte of its own
    n_bytes = header.height * row if kind in _BITS else count * dtype.itemsize
    at = header.at
    # Editors of texts and Windows write two bytes at the end of a line.
    if content[at - 1 : at + 1] == b"\r\n" and len(content) - at > n_bytes:
        at += 1
    if len(content) - at < n_bytes:
        return None
    flat = np.frombuffer(content, dtype, n_bytes // dtype.itemsize, at)
    if kind in _BITS:
        return 1 - np.unpackbits(flat.reshape(header.height, row), axis=1)[:, : header.width].reshape(shape)
    if kind in _FLOATS:
        # The bottom row is first, as OpenCV, Netpbm and GIMP write it; those of Photoshop and FFmpeg do not say so.
        return flat.reshape(shape)[::-1]
    return flat.reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def _of_text(text: bytes, count: int, *, bits: bool) -> _Samples | None:
    """The first ``count`` numbers of a text; digits of single bits need no blanks between them."""
    text = re.sub(rb"#[^\r\n]*", b"", text)
    digits = re.match(rb"[\s\d]*", text)
    text = digits[0].strip() if digits else b""
    if bits:
        text = text.translate(None, b" \t\r\n\v\f")[:count]
        return 1 - (np.frombuffer(text, np.uint8) & 1) if len(text) == count else None
    if len(text) < 2 * count - 1:  # a small file may claim enough numbers to fill the memory
        return None
    # Without its count: where there are fewer numbers, numpy (2.4) fills up with what is in memory.
    numbers = np.fromstring(text.decode("ascii"), np.int64, sep=" ")[:count]
    return np.minimum(numbers, 0xFFFF).astype(np.uint16) if len(numbers) == count else None


def _from_zero_to_one(samples: _Samples, unit: float, name: str) -> _Samples:
    values = np.nan_to_num(samples.astype(np.float32) / np.float32(unit), nan=0.0, posinf=1.0, neginf=0.0)
    share = float((values > 1.0).any(axis=2).mean())
    if share > 0.5:
        LOG.warning(
            f"{name}: {share:.0%} of its pixels are above 1, which is shown as white; expected floats of 0 to 1"
        )
    return np.asarray(np.clip(values, 0.0, 1.0))
