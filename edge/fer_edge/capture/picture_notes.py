"""What a JPEG, PNG, WebP or TIFF file notes of its orientation: in EXIF, and where that says nothing in XMP."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from typing import Final

from fer_edge.image_bytes import MAX_PARTS

__all__ = ["noted_orientation"]

_TAG: Final[int] = 0x0112
_XMP_TAG: Final[int] = 0x02BC
"""Of a TIFF directory (XMP specification, part 3, "TIFF")."""
_RAW_EXIF: Final = (b"Raw profile type exif\0", b"Raw profile type APP1\0")
_RAW_XMP: Final[bytes] = b"Raw profile type xmp\0"
_XMP_IN_JPEG: Final[bytes] = b"http://ns.adobe.com/xap/1.0/\0"
_XMP_IN_PNG: Final[bytes] = b"XML:com.adobe.xmp\0"
_MAX_TEXT_BYTES: Final[int] = 1 << 20
"""EXIF and XMP of JPEG fit into 64 KiB each; hexadecimal digits double that, XMP may be padded."""
_NAMESPACE: Final[re.Pattern[bytes]] = re.compile(rb"xmlns:([\w.-]+)\s*=\s*[\"']http://ns\.adobe\.com/tiff/1\.0/[\"']")
_TEXTS: Final = (b"tEXt", b"zTXt", b"iTXt")


def noted_orientation(content: bytes) -> int | None:
    """The orientation that a picture's EXIF data, else its XMP data, holds.

    Of TIFF only XMP counts, and only where the directory itself says nothing: OpenCV applies the latter.

    Args:
        content: the encoded picture.

    Returns:
        Orientation 1 to 8; None where the file names none.
    """
    exif: int | None = None
    xmp: int | None = None
    for is_exif, block in _blocks(content):
        if is_exif:
            exif = _exif(block) if exif is None else exif
        else:
            xmp = _xmp(block) if xmp is None else xmp
    return exif if exif is not None else xmp


def _blocks(content: bytes) -> Iterator[tuple[bool, bytes]]:
    """``(True, TIFF block of EXIF)`` and ``(False, XMP packet)``, as they come."""
    if content[:2] == b"\xff\xd8":
        yield from _of_jpeg(content)
    elif content[:4] == b"\x89PNG":
        yield from _of_png(content)
    elif content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        yield from _of_webp(content)
    elif content[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        entries = _Directory(content)
        if entries.value(_TAG) is None and (packet := entries.content(_XMP_TAG)):
            yield False, packet


def _of_jpeg(content: bytes) -> Iterator[tuple[bool, bytes]]:
    at = 2
    for _ in range(MAX_PARTS):
        if at + 4 > len(content) or content[at] != 0xFF:
            break
        marker = content[at + 1]
        if marker == 0xFF:  # a filling byte
            at += 1
            continue
        if marker in (0xDA, 0xD9):
            break
        size = int.from_bytes(content[at + 2 : at + 4], "big")
        if marker == 0xE1:
            block = content[at + 4 : at + 2 + size]
            if block.startswith(b"Exif\0\0"):
                yield True, block[6:]
            elif block.startswith(_XMP_IN_JPEG):
                yield False, block[len(_XMP_IN_JPEG) :]
        at += 2 + size


def _of_png(content: bytes) -> Iterator[tuple[bool, bytes]]:
    at = 8
    for _ in range(MAX_PARTS):
        if at + 12 > len(content):
            break
        size, kind = int.from_bytes(content[at : at + 4], "big"), content[at + 4 : at + 8]
        data = content[at + 8 : at + 8 + size]
        if kind == b"eXIf":
            yield True, data.removeprefix(b"Exif\0\0")  # which some programs copy from JPEG
        elif kind in _TEXTS and data.startswith(_RAW_EXIF):
            yield True, _raw_profile(data, packed=kind == b"zTXt")
        elif kind in _TEXTS and data.startswith(_RAW_XMP):
            yield False, _raw_profile(data, packed=kind == b"zTXt")
        elif kind in _TEXTS and data.startswith(_XMP_IN_PNG):
            yield False, _text(data, kind)
        if kind == b"IEND":
            break
        at += 12 + size


def _of_webp(content: bytes) -> Iterator[tuple[bool, bytes]]:
    at = 12
    for _ in range(MAX_PARTS):
        if at + 8 > len(content):
            break
        kind, size = content[at : at + 4], int.from_bytes(content[at + 4 : at + 8], "little")
        if kind == b"EXIF":
            yield True, content[at + 8 : at + 8 + size].removeprefix(b"Exif\0\0")
        elif kind == b"XMP ":
            yield False, content[at + 8 : at + 8 + size]
        at += 8 + size + size % 2


def _unpacked(data: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, _MAX_TEXT_BYTES)
    except zlib.error:
        return b""


def _text(data: bytes, kind: bytes) -> bytes:
    """The text of a chunk without its keyword; zTXt and perhaps iTXt are packed (PNG specification, 11.3.3)."""
    text = data.partition(b"\0")[2]
    if kind == b"tEXt":
        return text
    if kind == b"zTXt":
        return _unpacked(text[1:])  # one byte before it names the compression, of which there is one
    packed = text[:1] == b"\1"
    text = text[2:].partition(b"\0")[2].partition(b"\0")[2]  # after the language and the translated keyword
    return _unpacked(text) if packed else text


def _raw_profile(data: bytes, *, packed: bool) -> bytes:
    """A block as ImageMagick and ExifTool write it into PNG: name, length, hexadecimal digits."""
    text = _text(data, b"zTXt" if packed else b"tEXt")
    try:
        block = bytes.fromhex(b"".join(text.split()[2:]).decode("ascii"))
    except ValueError:
        return b""
    return block[block.find(b"Exif\0\0") + 6 :] if b"Exif\0\0" in block[:16] else block


class _Directory:
    """The first directory of a TIFF or BigTIFF block; empty where there is none."""

    def __init__(self, block: bytes) -> None:
        self._block = block
        self._order = {b"II": "little", b"MM": "big"}.get(block[:2])
        if self._order is None:
            self._order = "big"
            self._entries, self._is_big = range(0), False
            return
        self._is_big = self._number(2, 2) == 43
        wide = 8 if self._is_big else 4
        at, step = self._number(wide, wide), 20 if self._is_big else 12
        first = at + (8 if self._is_big else 2)
        count = min(self._number(at, first - at), MAX_PARTS)
        self._entries = range(first, min(first + step * count, len(block) - step + 1), step)

    def _number(self, at: int, n_bytes: int) -> int:
        return int.from_bytes(self._block[at : at + n_bytes], self._order)  # type: ignore[arg-type]

    def value(self, tag: int) -> int | None:
        """A number: SHORT, or LONG as some programs write it; None where it is missing."""
        for entry in self._entries:
            if self._number(entry, 2) == tag:
                at = entry + (12 if self._is_big else 8)
                return self._number(at, 4 if self._number(entry + 2, 2) == 4 else 2)
        return None

    def content(self, tag: int) -> bytes:
        """Bytes that lie elsewhere in the block; empty where they are missing."""
        wide = 8 if self._is_big else 4
        for entry in self._entries:
            if self._number(entry, 2) == tag:
                size, at = self._number(entry + 4, wide), self._number(entry + 4 + wide, wide)
                return self._block[at : at + min(size, _MAX_TEXT_BYTES)]
        return b""


def _exif(block: bytes) -> int | None:
    """Tag 0x0112 of the first directory of a TIFF block; None if it is missing or makes no sense."""
    if block[:4] not in (b"II*\0", b"MM\0*"):
        return None
    value = _Directory(block).value(_TAG)
    return value if value is not None and 1 <= value <= 8 else None


def _xmp(packet: bytes) -> int | None:
    """``tiff:Orientation`` of an XMP packet, as an attribute or an element, whatever the prefix is."""
    packet = packet[:_MAX_TEXT_BYTES].replace(b"\0", b"")  # of UTF-16
    for prefix in dict.fromkeys([*_NAMESPACE.findall(packet)]):
        name = re.escape(prefix) + rb":Orientation"
        match = re.search(name + rb"\s*=\s*[\"']\s*([1-8])\s*[\"']", packet) or re.search(
            rb"<" + name + rb"(?:\s[^>]*)?>\s*([1-8])\s*<", packet
        )
        if match:
            return int(match[1])
    return None
