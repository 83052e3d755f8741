"""A picture file as it is to be seen: whole, upright, all of its frames; or one line that says why not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from fer_edge.arrays import Image
from fer_edge.capture.animation import frames_in, open_animation
from fer_edge.capture.netpbm import decode_netpbm
from fer_edge.capture.orientation import UPRIGHT, picture_orientation, turn
from fer_edge.capture.sniff import HEAD_BYTES, Content, Kind, sniff, sniff_file
from fer_edge.capture.tiff import decode_pages, is_raw_photo, tiff_pages, tiff_pixels, why_not_decoded, why_not_shown
from fer_edge.errors import SourceError
from fer_edge.image_bytes import MAX_IMAGE_PIXELS, why_refused
from fer_edge.logs import LOG

if TYPE_CHECKING:
    from fer_edge.capture.heif import HeifHeader

__all__ = ["decode", "read_content", "read_image", "read_pictures"]

_JPEG_AFTER_JPEG: Final = b"\xff\xd9\xff\xd8\xff"
"""Once in a photo of a phone (its preview or gain map, which ``MPF`` announces), more often in motion JPEG."""


def read_image(path: Path) -> Image:
    """Decode a picture file, of an animated one the first frame.

    Args:
        path: the file; its name does not matter.

    Returns:
        ``(H, W, 3)`` BGR uint8, turned upright.

    Raises:
        SourceError: not a picture, damaged, or of a format that cannot be read here.
        MissingDependencyError: HEIC without a package that reads it.
    """
    for image in read_pictures(path):
        return image
    raise SourceError(f"{path} cannot be decoded as an image; damaged, or another kind of file?")


def read_pictures(path: Path) -> Iterator[Image]:
    """All frames or pages of a picture file; see :func:`read_image`.

    Args:
        path: the file; its name does not matter.

    Returns:
        Pictures ``(H, W, 3)`` BGR uint8, upright, in the file's order.

    Raises:
        SourceError: not a picture, damaged, or of a format that cannot be read here.
        MissingDependencyError: HEIC without a package that reads it.
    """
    content = read_content(path)
    named = sniff_file(path)
    if named.kind is Kind.OTHER:  # some are recognised by their names
        raise _not_read(named, str(path))
    name = sniff(content[:HEAD_BYTES]).format
    if name == "GIF" or frames_in(content) > 1:
        yield from _animated(path, content)
    elif name == "HEIC":
        yield from _heic(content, str(path))
    elif not is_raw_photo(content) and _several(tiff_pages(content)):
        yield from _pages(path, content)
    else:
        if name == "JPEG" and content.count(_JPEG_AFTER_JPEG) > 1 and b"MPF\0" not in content[: 1 << 17]:
            LOG.warning(
                f"{path} holds JPEG pictures one after the other, the first is read; all are as {path.stem}.mjpeg"
            )
        yield decode(content, str(path))


def _several(pages: list[bool]) -> bool:
    """Whether OpenCV's first picture of a TIFF file would not be all of it."""
    return len(pages) > 1 and (sum(pages) > 1 or not pages[0])


def read_content(path: Path) -> bytes:
    """The bytes of a picture file; whether they may be decoded, :func:`decode` says.

    Args:
        path: the file.

    Returns:
        Its bytes.

    Raises:
        SourceError: it cannot be read, or is empty.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror or error}") from error
    if not content:
        raise SourceError(f"{path} is empty; expected an image")
    return content


def decode(content: bytes, name: str) -> Image:
    """Decode one picture from memory, because OpenCV cannot open every path that Python can.

    Args:
        content: the file, in any format that is read here; of an animation the first frame is taken.
        name: for messages.

    Returns:
        ``(H, W, 3)`` BGR uint8, turned upright.

    Raises:
        SourceError: not a picture, damaged, or of a format that cannot be read here.
        MissingDependencyError: HEIC without a package that reads it.
    """
    reason = why_refused(content)
    if reason is None and tiff_pixels(content) > MAX_IMAGE_PIXELS:
        reason = f"{tiff_pixels(content) // 1_000_000} million pixels, more than {MAX_IMAGE_PIXELS // 1_000_000}"
    if reason is not None:
        raise SourceError(f"{name} cannot be decoded as an image: {reason}")
    kind = sniff(content[:HEAD_BYTES])
    if kind.kind is Kind.OTHER or (kind.format == "TIFF" and is_raw_photo(content)):
        raise _not_read(kind, name)
    if kind.format == "Netpbm":
        return decode_netpbm(content, name)
    if kind.format == "TIFF":
        _check_tiff(content, name)
    orientation = picture_orientation(content)
    if kind.format == "HEIC":
        return _heic(content, name)[0]
    if kind.format == "AVIF":
        orientation = _checked_header(content, name).orientation
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:  # for example more pixels than OpenCV is ready to decode
        image = None
    if image is None:
        raise _not_decoded(kind, content, name)
    return turn(np.asarray(image, dtype=np.uint8), orientation)


def _heic(content: bytes, name: str) -> list[Image]:
    from fer_edge.capture.heif import decode_heic

    _checked_header(content, name)
    return decode_heic(content, name)


def _checked_header(content: bytes, name: str) -> HeifHeader:
    from fer_edge.capture.heif import heif_header

    header = heif_header(content)
    if header.width * header.height > MAX_IMAGE_PIXELS:
        raise SourceError(f"{name} cannot be decoded as an image: {header.width}x{header.height} pixels are too many")
    return header


def _not_read(kind: Content, name: str) -> SourceError:
    shown = "a camera's raw file" if kind.format == "TIFF" else kind.format
    return SourceError(f"{name} is {shown}, which is not read here; save it as JPEG or PNG")


def _check_tiff(content: bytes, name: str) -> None:
    reason = why_not_shown(content)
    if reason is not None:
        raise SourceError(f"{name} is {reason}")


def _not_decoded(kind: Content, content: bytes, name: str) -> SourceError:
    reason = why_not_decoded(content) if kind.format == "TIFF" else None
    if reason is not None:
        return SourceError(f"{name} is {reason}")
    if kind.kind is Kind.PICTURE:
        return SourceError(
            f"{name} cannot be decoded as an image; a damaged {kind.format}, "
            f"or OpenCV {cv2.__version__} is built without it"
        )
    return SourceError(f"{name} cannot be decoded as an image; damaged, or another kind of file?")


def _animated(path: Path, content: bytes) -> Iterator[Image]:
    orientation = picture_orientation(content) if content[:4] == b"\x89PNG" else UPRIGHT
    reason = why_refused(content)
    if reason is not None:
        raise SourceError(f"{path} cannot be decoded as an image: {reason}")
    capture = open_animation(path, content)
    count = 0
    try:
        while True:
            got, image = capture.read()
            if not got:
                break
            yield turn(np.asarray(image, dtype=np.uint8), orientation)
            count += 1
    finally:
        capture.release()
    if count == 0:
        yield decode(content, str(path))


def _pages(path: Path, content: bytes) -> Iterator[Image]:
    _check_tiff(content, str(path))
    pages = decode_pages(content) if tiff_pixels(content) <= MAX_IMAGE_PIXELS else []
    if not pages:
        reason = why_not_decoded(content)
        if reason is not None:
            raise SourceError(f"{path} is {reason}")
        raise SourceError(f"{path} cannot be decoded: {sum(tiff_pages(content))} pages, too large or not all readable")
    yield from pages
