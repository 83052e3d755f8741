"""Image files to grey pixels, with a reason for each that cannot be one."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from fer_edge.errors import InputError
from fer_edge.preprocess import GrayImage, to_gray

MAX_IMAGE_BYTES: Final[int] = 64 << 20
"""An encoded image larger than this is taken for damage or malice, not for a face."""
MAX_IMAGE_PIXELS: Final[int] = 1 << 26
"""Nor is one with more pixels decoded: a small file can claim enough of them to fill the memory."""


class BrokenImageError(InputError):
    """One image cannot be decoded; the message is the reason."""


def decode_image(content: bytes) -> GrayImage:
    """Grey ``(H, W)`` uint8 from an encoded image file. Raises :class:`BrokenImageError`."""
    if not content:
        raise BrokenImageError("empty file")
    if len(content) > MAX_IMAGE_BYTES:
        raise BrokenImageError(f"{len(content) >> 20} MiB, more than {MAX_IMAGE_BYTES >> 20}")
    # Some OpenCV versions fill the missing part of a truncated file with grey and say nothing.
    if content[:2] == b"\xff\xd8" and b"\xff\xd9" not in content[-4096:]:
        raise BrokenImageError("truncated JPEG")
    pixels = declared_pixels(content)
    if pixels > MAX_IMAGE_PIXELS:
        raise BrokenImageError(f"{pixels >> 20} million pixels, more than {MAX_IMAGE_PIXELS >> 20}")
    if content[:4] == b"\x89PNG" and b"IEND" not in content[-4096:]:
        raise BrokenImageError("truncated PNG")
    try:
        image = cv2.imdecode(np.frombuffer(content, dtype=np.uint8), cv2.IMREAD_ANYCOLOR)
    except cv2.error as error:
        raise BrokenImageError(f"not decodable ({error.err or 'OpenCV error'})") from error
    if image is None:
        raise BrokenImageError("not decodable as an image")
    return to_gray(np.asarray(image, dtype=np.uint8))


def declared_pixels(content: bytes) -> int:
    """Width times height as the header of a PNG or a JPEG says, without decoding; 0 when it says nothing."""
    if content[:4] == b"\x89PNG" and len(content) >= 24:
        return int.from_bytes(content[16:20], "big") * int.from_bytes(content[20:24], "big")
    if content[:2] != b"\xff\xd8":
        return 0
    at = 2
    while at + 9 <= len(content) and content[at] == 0xFF:
        marker = content[at + 1]
        # SOF0 to SOF15 hold the size; C4, C8 and CC in their midst are tables.
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return int.from_bytes(content[at + 5 : at + 7], "big") * int.from_bytes(content[at + 7 : at + 9], "big")
        at += 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    return 0
