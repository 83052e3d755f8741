"""Image files to grey pixels, with a reason for each that cannot be one."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from fer_edge.capture.netpbm import decode_netpbm
from fer_edge.capture.sniff import HEAD_BYTES, sniff
from fer_edge.errors import InputError
from fer_edge.image_bytes import why_refused
from fer_edge.preprocess import GrayImage, crop_square, resize_gray, to_gray
from fer_train.wording import megabytes

__all__ = ["MAX_IMAGE_BYTES", "MAX_IMAGE_PIXELS", "BrokenImageError", "decode_image", "to_square"]

MAX_IMAGE_BYTES: Final[int] = 64 << 20
"""An encoded image larger than this is taken for damage or malice, not for a face."""
MAX_IMAGE_PIXELS: Final[int] = 1 << 26
"""Nor is one with more pixels decoded: a small file can claim enough of them to fill the memory."""


class BrokenImageError(InputError):
    """One image cannot be decoded; the message is the reason."""


def decode_image(content: bytes) -> GrayImage:
    """Decode an image file.

    Args:
        content: bytes of an encoded image file.

    Returns:
        ``(H, W)`` uint8, grey.

    Raises:
        BrokenImageError: they cannot be decoded; the message is the reason.
    """
    if not content:
        raise BrokenImageError("empty file")
    if len(content) > MAX_IMAGE_BYTES:
        raise BrokenImageError(f"{megabytes(len(content))}, more than {megabytes(MAX_IMAGE_BYTES)}")
    # Some OpenCV versions fill the missing part of a truncated file with grey and say nothing.
    if content[:2] == b"\xff\xd8" and b"\xff\xd9" not in content[-4096:]:
        raise BrokenImageError("truncated JPEG")
    reason = why_refused(content, MAX_IMAGE_PIXELS)
    if reason is not None:
        raise BrokenImageError(reason)
    if content[:4] == b"\x89PNG" and b"IEND" not in content[-4096:]:
        raise BrokenImageError("truncated PNG")
    # OpenCV leaves those dark whose greatest value is not 255, and takes PAM's red for blue.
    if sniff(content[:HEAD_BYTES]).format == "Netpbm":
        try:
            return to_gray(decode_netpbm(content, "image"))
        except InputError as error:
            raise BrokenImageError(str(error)) from error
    try:
        image = cv2.imdecode(np.frombuffer(content, dtype=np.uint8), cv2.IMREAD_ANYCOLOR)
    except cv2.error as error:
        raise BrokenImageError(f"not decodable ({error.err or 'OpenCV error'})") from error
    if image is None:
        raise BrokenImageError("not decodable as an image")
    return to_gray(np.asarray(image, dtype=np.uint8))


def to_square(image: GrayImage, side: int) -> GrayImage:
    """Square and resize an image as the device does with a face box.

    Args:
        image: ``(H, W)`` uint8, grey.
        side: in pixels.

    Returns:
        ``(side, side)`` uint8.
    """
    height, width = image.shape
    return resize_gray(crop_square(image, (0, 0, width, height)), side)
