"""Motion JPEG over HTTP, in whatever dialect a camera speaks it.

RFC 2046 multipart is what cameras mean and seldom what they write: boundaries after the part instead of before it
(Tasmota, old ESP32 sketches), without dashes, quoted, lines that end in LF alone, no part headers, wrong lengths, or
one JPEG after the other. FFmpeg takes some of these. So nothing of it is relied upon here: pictures are found by their
own markers (ITU-T T.81, annex B), and a length that fits only saves the search.
"""

from __future__ import annotations

import http.client
import re
from collections.abc import Callable
from typing import Any, Final

from fer_edge.capture.pictures import decode
from fer_edge.errors import FerError

MAX_PICTURE_BYTES: Final[int] = 64 << 20
MAX_BETWEEN_BYTES: Final[int] = 4 << 20
"""So much without a picture (other parts, text): then this is no camera."""
READ_BYTES: Final[int] = 1 << 16
_HEADER_BYTES: Final[int] = 4096
_LENGTH: Final = re.compile(rb"content-length\s*:\s*(\d{1,9})", re.IGNORECASE)
_START: Final[bytes] = b"\xff\xd8\xff"
_IN_SCAN: Final = re.compile(rb"\xff[\xc4\xd8-\xdd\xe0-\xef\xfe]")
"""Markers that may follow coded data; in the data itself 0xFF is followed by 0 or a restart marker."""
_ALONE: Final = frozenset({0x01, *range(0xD0, 0xD8)})


class JpegSplitter:
    """Cuts a stream of bytes into JPEG pictures."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._start = -1
        self._at = 0
        self._in_scan = False
        self._passed = 0

    @property
    def lost(self) -> bool:
        """Whether so much came without a picture that none is to be expected."""
        return self._passed > MAX_BETWEEN_BYTES

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the stream."""
        self._buffer += data

    def next(self) -> bytes | None:
        """The next whole picture; empty for one that was cut off; None when more bytes are needed."""
        if self._start < 0 and not self._find_start():
            return None
        end = self._end_by_length() or self._end_by_markers()
        if end is None:
            if len(self._buffer) - self._start <= MAX_PICTURE_BYTES:
                return None
            end = -len(self._buffer)
        picture = bytes(self._buffer[self._start : end]) if end > 0 else b""
        del self._buffer[: abs(end)]
        self._start, self._at, self._in_scan, self._passed = -1, 0, False, 0
        return picture

    def _find_start(self) -> bool:
        start = self._buffer.find(_START)
        if start < 0:
            surplus = len(self._buffer) - _HEADER_BYTES
            if surplus > 0:
                del self._buffer[:surplus]
                self._passed += surplus
            return False
        self._start, self._at = start, start + 2
        return True

    def _end_by_length(self) -> int | None:
        lengths = _LENGTH.findall(self._buffer, max(0, self._start - _HEADER_BYTES), self._start)
        end = self._start + int(lengths[-1]) if lengths else 0
        fits = self._start < end <= len(self._buffer) and self._buffer[end - 2 : end] == b"\xff\xd9"
        return end if fits else None

    def _end_by_markers(self) -> int | None:
        """Where the picture ends; negative, where another one begins before that; None if neither has come yet."""
        buffer = self._buffer
        while self._at + 1 < len(buffer):
            if self._in_scan or buffer[self._at] != 0xFF:
                match = _IN_SCAN.search(buffer, self._at)
                if match is None:
                    self._at = len(buffer) - 1
                    return None
                self._at, self._in_scan = match.start(), False
            marker = buffer[self._at + 1]
            if marker == 0xD9:
                return self._at + 2
            if marker == 0xD8:
                return -self._at
            if marker == 0xFF:
                self._at += 1
            elif marker in _ALONE:
                self._at += 2
            elif self._at + 4 > len(buffer):
                return None
            else:
                self._at += 2 + int.from_bytes(buffer[self._at + 2 : self._at + 4], "big")
                self._in_scan = marker == 0xDA
        return None


def first_pictures(content: bytes, number: int) -> list[bytes]:
    """The first whole JPEG pictures in ``content``, at most ``number``."""
    splitter = JpegSplitter()
    splitter.feed(content)
    pictures: list[bytes] = []
    while len(pictures) < number and (picture := splitter.next()) is not None:
        if picture:
            pictures.append(picture)
    return pictures


def has_second_inside(picture: bytes) -> bool:
    """Whether a photo announces that others follow it, its preview or gain map (CIPA DC-007)."""
    return b"MPF\0" in picture[: 1 << 17]


class MjpegCapture:
    """Pictures out of a stream of bytes, in the manner of ``cv2.VideoCapture``.

    Args:
        read: gives the next bytes, none at the end; may raise OSError.
        close: ends the connection.
        begin: bytes that have been read already.
    """

    def __init__(self, read: Callable[[int], bytes], close: Callable[[], None], begin: bytes = b"") -> None:
        self._read = read
        self._close = close
        self._splitter = JpegSplitter()
        self._splitter.feed(begin)
        self._waiting: list[bytes] = []
        self._broke_off = False
        self._opened = True

    def isOpened(self) -> bool:  # noqa: N802
        """Whether the stream has neither ended nor turned out to be something else."""
        return self._opened

    def read(self) -> tuple[bool, Any]:
        """The next picture ``(H, W, 3)`` BGR uint8, or False for a damaged one, and at the end."""
        picture = self._waiting.pop(0) if self._waiting else self._next()
        if not picture:
            return False, None
        try:
            return True, decode(picture, "picture")
        except FerError:
            return False, None

    def wait_for_one(self) -> bytes | None:
        """The first whole picture, which :meth:`read` will give again; None if the stream ends before."""
        return self._wait_for(1)

    def goes_on(self) -> bool:
        """Whether another picture follows the first, or may, where the connection broke off or the camera is slow.

        Waits for it; :meth:`read` will give both again.
        """
        first = self.wait_for_one()
        if first is None:
            return False
        second = self._wait_for(2)
        return self._broke_off if second is None else not has_second_inside(first)

    def _wait_for(self, number: int) -> bytes | None:
        while len(self._waiting) < number and self._opened:
            picture = self._next()
            if picture:
                self._waiting.append(picture)
        return self._waiting[number - 1] if len(self._waiting) >= number else None

    def _next(self) -> bytes | None:
        while self._opened:
            picture = self._splitter.next()
            if picture is not None:
                return picture
            if self._splitter.lost or not self._more():
                self._opened = False
        return None

    def _more(self) -> bool:
        try:
            data = self._read(READ_BYTES)
        except (OSError, ValueError, http.client.HTTPException):  # ValueError: closed meanwhile
            data, self._broke_off = b"", True
        self._splitter.feed(data)
        return bool(data)

    def get(self, prop: int, /) -> float:
        """0: a motion JPEG stream does not say its rate."""
        del prop
        return 0.0

    def release(self) -> None:
        """End the connection."""
        self._opened = False
        self._close()
