"""What an encoded image says of itself, read before a decoder believes it."""

from __future__ import annotations

from typing import Final

__all__ = ["MAX_IMAGE_PIXELS", "MAX_PARTS", "declared_pixels", "why_refused"]

MAX_IMAGE_PIXELS: Final[int] = 1 << 28
"""Phones give 200 million (16320x12240), this is 268: a small file can claim enough pixels to fill the memory."""

MAX_PARTS: Final[int] = 1 << 18
"""Segments or chunks of a picture that are looked at: real ones have a few thousand, a hostile file one every byte."""

_WITHOUT_LENGTH: Final = frozenset({0x01, *range(0xD0, 0xD8), 0xFF})
"""Markers with nothing after them; 0xFF is a filling byte, of which any number may precede a marker."""
_PNG: Final[bytes] = b"\x89PNG\r\n\x1a\n"


def why_refused(content: bytes, max_pixels: int = MAX_IMAGE_PIXELS) -> str | None:
    """Why an encoded image must not be decoded: it claims more than it holds, or than anybody has; None when it may.

    Args:
        content: the encoded image.
        max_pixels: greatest product of width and height.

    Returns:
        The reason in a few words, None when it may be decoded.
    """
    pixels = declared_pixels(content)
    if pixels > max_pixels:
        return f"{pixels // 1_000_000} million pixels, more than {max_pixels // 1_000_000}"
    # OpenCV makes room for what a chunk says of its length, up to 4 GiB, and fills it, before it looks for the bytes.
    if content.startswith(_PNG) and not _png_chunks_fit(content):
        return "truncated PNG"
    return None


def declared_pixels(content: bytes) -> int:
    """Width times height as the header of a PNG, JPEG, GIF, WebP or BMP says, not decoded; 0 when it says nothing.

    Args:
        content: the encoded image.

    Returns:
        Number of pixels.
    """
    if content[:4] == b"\x89PNG" and len(content) >= 24:
        return int.from_bytes(content[16:20], "big") * int.from_bytes(content[20:24], "big")
    if content[:2] != b"\xff\xd8":
        return _little_endian_pixels(content)
    at = 2
    for _ in range(MAX_PARTS):
        if at + 9 > len(content) or content[at] != 0xFF:
            break
        marker = content[at + 1]
        if marker in _WITHOUT_LENGTH:
            at += 1 if marker == 0xFF else 2
            continue
        # SOF0 to SOF15 hold the size; C4, C8 and CC in their midst are tables.
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return int.from_bytes(content[at + 5 : at + 7], "big") * int.from_bytes(content[at + 7 : at + 9], "big")
        at += 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    return 0


def _little_endian_pixels(content: bytes) -> int:
    """The same for formats whose numbers begin with the lowest byte."""

    def number(at: int, n_bytes: int) -> int:
        return int.from_bytes(content[at : at + n_bytes], "little")

    if content[:4] == b"GIF8":
        return number(6, 2) * number(8, 2)
    if content[:2] == b"BM" and number(14, 4) >= 40:
        return number(18, 4) * min(number(22, 4), (1 << 32) - number(22, 4))  # negative: the first line is the top
    if content[:4] == b"RIFF" and content[8:16] == b"WEBPVP8X":
        return (number(24, 3) + 1) * (number(27, 3) + 1)
    if content[:4] == b"RIFF" and content[8:16] == b"WEBPVP8L":
        return ((number(21, 4) & 0x3FFF) + 1) * ((number(21, 4) >> 14 & 0x3FFF) + 1)
    return 0


def _png_chunks_fit(content: bytes) -> bool:
    """Whether all chunks up to IEND lie within the file (PNG specification, section 5.3)."""
    at = len(_PNG)
    for _ in range(MAX_PARTS):
        if at + 12 > len(content):
            return at <= len(content)
        kind = content[at + 4 : at + 8]
        at += 12 + int.from_bytes(content[at : at + 4], "big")
        if kind == b"IEND":
            return at <= len(content)
    return False
