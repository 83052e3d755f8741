"""What a file is, by its first bytes: names lie, and many files have no suffix."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import BinaryIO, Final

__all__ = ["HEAD_BYTES", "IMAGE_SUFFIXES", "Content", "Kind", "sniff", "sniff_file"]

HEAD_BYTES: Final[int] = 1024
"""Enough for every kind below: MPEG transport streams show themselves by their third packet of 188 bytes."""

IMAGE_SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".pgm", ".ppm"})
"""What can be written, too; and a file of such a name that is none is named as broken, not as something else."""


class Kind(Enum):
    """What can be done with a file."""

    PICTURE = "picture"
    VIDEO = "video"
    OTHER = "other"
    """Known, and neither a picture nor a video that can be read here."""
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Content:
    """The kind of a file and the name of its format, for messages."""

    kind: Kind
    """What it is good for."""
    format: str
    """Name of the format, for messages."""


_PREFIXES: Final[tuple[tuple[bytes, Kind, str], ...]] = (
    (b"\xff\xd8\xff\xf7", Kind.OTHER, "JPEG-LS"),
    (b"\xff\xd8\xff", Kind.PICTURE, "JPEG"),
    (b"\x89PNG\r\n\x1a\n", Kind.PICTURE, "PNG"),
    (b"GIF87a", Kind.PICTURE, "GIF"),
    (b"GIF89a", Kind.PICTURE, "GIF"),
    (b"\0\0\0\x0cjP  ", Kind.PICTURE, "JPEG 2000"),
    (b"\xff\x4f\xff\x51", Kind.PICTURE, "JPEG 2000"),
    (b"#?RADIANCE", Kind.PICTURE, "Radiance HDR"),
    (b"#?RGBE", Kind.PICTURE, "Radiance HDR"),
    (b"\x59\xa6\x6a\x95", Kind.PICTURE, "Sun raster"),
    (b"\x1a\x45\xdf\xa3", Kind.VIDEO, "Matroska or WebM"),
    (b"FLV\x01", Kind.VIDEO, "FLV"),
    (b"\0\0\x01\xba", Kind.VIDEO, "MPEG program stream"),
    (b"\0\0\x01\xb3", Kind.VIDEO, "MPEG video"),
    (b"\0\0\x01\xb0", Kind.VIDEO, "MPEG-4 video"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", Kind.VIDEO, "WMV"),
    (b"OggS", Kind.VIDEO, "Ogg"),
    (b"YUV4MPEG2", Kind.VIDEO, "Y4M"),
    (b"DKIF", Kind.VIDEO, "IVF"),
    (b"\x06\x0e\x2b\x34", Kind.VIDEO, "MXF"),
    (b".RMF", Kind.VIDEO, "RealMedia"),
    (b"\xff\x0a", Kind.OTHER, "JPEG XL"),
    (b"\0\0\0\x0cJXL ", Kind.OTHER, "JPEG XL"),
    (b"FUJIFILMCCD-RAW", Kind.OTHER, "camera raw (RAF)"),
    (b"IIU\0", Kind.OTHER, "camera raw (RW2)"),
    (b"IIRO", Kind.OTHER, "camera raw (ORF)"),
    (b"IIRS", Kind.OTHER, "camera raw (ORF)"),
    (b"FOVb", Kind.OTHER, "camera raw (X3F)"),
    # OpenCV lacks OpenEXR, or (4.14, where the environment asks for it) makes it black.
    (b"\x76\x2f\x31\x01", Kind.OTHER, "OpenEXR"),
    (b"8BPS", Kind.OTHER, "Photoshop"),
    (b"gimp xcf", Kind.OTHER, "GIMP"),
    (b"II\xbc\x01", Kind.OTHER, "JPEG XR"),
    (b"qoif", Kind.OTHER, "QOI"),
    (b"DDS \x7c\0\0\0", Kind.OTHER, "DDS"),
    (b"SDPX", Kind.OTHER, "DPX"),
    (b"XPDS", Kind.OTHER, "DPX"),
    (b"\x80\x2a\x5f\xd7", Kind.OTHER, "Cineon"),
    (b"SIMPLE  =", Kind.OTHER, "FITS"),
    (b"/* XPM */", Kind.OTHER, "XPM"),
    (b"icns\0", Kind.OTHER, "ICNS"),
    (b"%PDF", Kind.OTHER, "PDF"),
    (b"PK\x03\x04", Kind.OTHER, "zip"),
    (b"\x1f\x8b", Kind.OTHER, "gzip"),
    (b"SQLite format 3", Kind.OTHER, "SQLite"),
)
_PATTERNS: Final[tuple[tuple[bytes, Kind, str], ...]] = (
    # Start code and first unit of raw H.264 (SPS, access unit delimiter, SEI) or HEVC (VPS, SPS, PPS, delimiter, SEI).
    (rb"\x00?\x00\x00\x01[\x67\x27\x09\x47\x40\x42\x44\x46\x06\x4e]", Kind.VIDEO, "H.264 or HEVC"),
    (rb"P[1-7Ff][\s#]", Kind.PICTURE, "Netpbm"),
    # FFmpeg reads these as films of one frame, of ICO the smallest picture.
    (rb"\x00\x00\x01\x00[^\x00]\x00", Kind.OTHER, "ICO"),
    (rb"\x00\x00\x02\x00[^\x00]\x00", Kind.OTHER, "CUR"),
    (rb"\x0a[\x00\x02-\x05]\x01[\x01\x02\x04\x08]", Kind.OTHER, "PCX"),
    (rb"\x01\xda[\x00\x01][\x01\x02]\x00[\x01-\x03]", Kind.OTHER, "SGI"),
    (rb"\x00\x00..\x00\x00\x00\x07\x00\x00\x00[\x00-\x02]", Kind.OTHER, "XWD"),
    (rb"P[Hh]\s\d+\s\d", Kind.OTHER, "PHM"),
    (rb"PG (ML|LM)", Kind.OTHER, "PGX"),
    (rb"#define \w+_width\s+\d", Kind.OTHER, "XBM"),
)
_OLD_PICTURE_SUFFIXES: Final = {
    **dict.fromkeys((".tga", ".icb", ".vda", ".vst"), "TGA"),
    ".pcd": "Photo CD",
    ".pix": "Alias PIX",
    ".wbmp": "WBMP",
    **dict.fromkeys((".pct", ".pict"), "PICT"),
}
"""Of those that have nothing at their beginning to know them by."""
_TGA_FOOTER: Final[bytes] = b"TRUEVISION-XFILE.\0"
_HEIC_BRANDS: Final = frozenset({b"heic", b"heix", b"heim", b"heis", b"mif1"})
_SEQUENCE_BRANDS: Final = frozenset({b"hevc", b"hevx", b"hevm", b"hevs", b"msf1"})
_AVIF_BRANDS: Final = frozenset({b"avif", b"avis"})
_MP4_STARTS: Final = frozenset({b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot", b"styp", b"moof"})
_RAW_SUFFIXES: Final = frozenset(
    {".dng", ".nef", ".nrw", ".cr2", ".arw", ".sr2", ".pef", ".srw", ".3fr", ".iiq", ".kdc", ".erf"}
)
_MJPEG_SUFFIXES: Final = frozenset({".mjpeg", ".mjpg", ".mjp"})


def sniff_file(path: Path) -> Content:
    """What a file is; ``UNKNOWN`` also for one that cannot be opened.

    Args:
        path: the file.

    Returns:
        Kind and format by its first bytes.
    """
    try:
        if not path.is_file():  # what is read from a pipe is gone
            return Content(Kind.UNKNOWN, "no plain file")
        with path.open("rb") as handle:
            head = handle.read(HEAD_BYTES)
            content = sniff(head)
            is_tga = content.kind is Kind.UNKNOWN and _ends_as_tga(handle)
    except (OSError, ValueError):
        return Content(Kind.UNKNOWN, "unreadable")
    suffix = path.suffix.lower()
    # By name alone, because the first bytes do not tell: a row of JPEG pictures, raw files, which are TIFF with a
    # thumbnail in front, and old pictures.
    if content.format == "JPEG" and suffix in _MJPEG_SUFFIXES:
        return Content(Kind.VIDEO, "MJPEG")
    if content.format == "TIFF" and suffix in _RAW_SUFFIXES:
        return Content(Kind.OTHER, f"camera raw ({suffix[1:].upper()})")
    if is_tga or (content.kind is Kind.UNKNOWN and head and suffix in _OLD_PICTURE_SUFFIXES):
        return Content(Kind.OTHER, "TGA" if is_tga else _OLD_PICTURE_SUFFIXES[suffix])
    return content


def _ends_as_tga(handle: BinaryIO) -> bool:
    size = handle.seek(0, os.SEEK_END)
    handle.seek(max(0, size - len(_TGA_FOOTER)))
    return handle.read(len(_TGA_FOOTER)) == _TGA_FOOTER


def sniff(head: bytes) -> Content:  # noqa: PLR0911 - a table of cases
    """What a file is that begins with these bytes (:data:`HEAD_BYTES` of them, or all).

    Args:
        head: the first bytes of a file, :data:`HEAD_BYTES` or all.

    Returns:
        Kind and format; :attr:`Kind.UNKNOWN` where neither is recognised.
    """
    if not head:
        return Content(Kind.UNKNOWN, "empty")
    for prefix, kind, name in _PREFIXES:
        if head.startswith(prefix):
            return Content(kind, name)
    if head[:4] == b"RIFF":
        known = {b"WEBP": (Kind.PICTURE, "WebP"), b"AVI ": (Kind.VIDEO, "AVI")}
        return Content(*known.get(head[8:12], (Kind.OTHER, "RIFF")))
    if head[4:8] == b"ftyp":
        return _of_brands(head)
    if head[4:8] in _MP4_STARTS:
        return Content(Kind.VIDEO, "MP4 or MOV")
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return Content(Kind.OTHER, "camera raw (CR2)") if head[8:10] == b"CR" else Content(Kind.PICTURE, "TIFF")
    if head[:2] == b"BM" and head[6:10] == b"\0\0\0\0":
        return Content(Kind.PICTURE, "BMP")
    if _is_transport_stream(head):
        return Content(Kind.VIDEO, "MPEG transport stream")
    for pattern, kind, name in _PATTERNS:
        if re.match(pattern, head, re.DOTALL):
            return Content(kind, name)
    return Content(Kind.UNKNOWN, _text_or_binary(head))


def _of_brands(head: bytes) -> Content:
    size = min(int.from_bytes(head[:4], "big"), len(head))
    brands = {head[8:12], *(head[at : at + 4] for at in range(16, size - 3, 4))}
    if b"crx " in brands:
        return Content(Kind.OTHER, "camera raw (CR3)")
    if head[8:12] in _SEQUENCE_BRANDS:
        return Content(Kind.VIDEO, "HEIC sequence")
    if brands & _AVIF_BRANDS:
        return Content(Kind.PICTURE, "AVIF")
    if head[8:12] in _HEIC_BRANDS or brands & {b"heic", b"heix", b"mif1"}:
        return Content(Kind.PICTURE, "HEIC")
    return Content(Kind.VIDEO, "MP4 or MOV")


def _is_transport_stream(head: bytes) -> bool:
    """Packets of 188 bytes that begin with 0x47; in M2TS four bytes stand before each."""
    return any(
        len(head) > first + 2 * size and all(head[first + number * size] == 0x47 for number in range(3))
        for first, size in ((0, 188), (4, 192), (0, 204))
    )


def _text_or_binary(head: bytes) -> str:
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return "HTML"
    if text.startswith((b"<svg", b"<?xml")):
        return "XML"
    return "binary" if b"\0" in head else "text"
