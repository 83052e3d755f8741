"""What answers at an ``http://`` address: motion JPEG, one picture, or something for FFmpeg.

Asked once, by its answer and not by the look of the address; a motion JPEG stream is then read over this same
connection, because small cameras serve one visitor at a time.
"""

from __future__ import annotations

import hashlib
import http.client
import re
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPMessage
from typing import Any, BinaryIO, Final
from urllib.parse import unquote, urlsplit, urlunsplit

import cv2

from fer_edge.capture.iso_boxes import ReadAt, table_comes_last
from fer_edge.capture.mjpeg import MAX_PICTURE_BYTES, MjpegCapture, first_pictures, has_second_inside
from fer_edge.capture.pictures import decode
from fer_edge.capture.sniff import HEAD_BYTES, Content, Kind, sniff
from fer_edge.errors import FerError, SourceError
from fer_edge.redact import split_userinfo

TIMEOUT_S: Final[float] = 8.0
POLLS_PER_SECOND: Final[float] = 1.0
"""How often an address of one picture is asked unless ``--fps`` says otherwise."""
TRIES: Final[int] = 3
"""Requests in a row that may fail before the camera counts as lost: small ones are busy now and then."""
_ENDLESS: Final = frozenset({0, 2**31 - 1, 2**32 - 1, 2**63 - 1})
"""Lengths that live streams claim for want of one."""
_ALGORITHM: Final = re.compile(r"""algorithm\s*=\s*"?([\w-]+)""", re.IGNORECASE)
_READ_ERRORS: Final = (OSError, http.client.HTTPException, ValueError)


@dataclass(frozen=True)
class Answer:
    """What an address answers with: exactly one of the first three, or none of them for FFmpeg to try."""

    stream: MjpegCapture | None = None
    picture: bytes | None = None
    reason: str | None = None
    """Why nothing can be read, in a few words."""
    advice: str = "is the address right and the server running?"
    """What to do then."""
    length: int | None = None
    """Bytes of a file that has an end."""
    format: str = ""
    """Its name, as :func:`fer_edge.capture.sniff.sniff` gives it."""
    is_jpeg_film: bool = False
    """JPEG pictures one after the other, with an end."""
    table_last: bool = False
    """An MP4 or MOV file whose table of contents is not at its beginning."""


def _closed_after(fp: Any, ask_again: Callable[[], Any]) -> Any:
    """The answer to ``ask_again``; urllib leaves the one open that asked for the password."""
    try:
        answer = ask_again()
    except urllib.error.HTTPError as error:  # a wrong password; the last answer belongs to the error
        if error.fp is not fp:
            fp.close()
        raise
    if answer is not None:
        fp.close()
    return answer


def _best_digest(headers: Any) -> HTTPMessage | None:
    """The strongest Digest challenge that can be met, alone; cameras offer several, some of them new (RFC 7616)."""
    challenges = [value for value in headers.get_all("WWW-Authenticate", []) if value.lower().startswith("digest ")]
    for algorithm in ("SHA-256", "MD5"):
        for challenge in challenges:
            named = _ALGORITHM.search(challenge)
            if (named.group(1).upper() if named else "MD5") == algorithm:
                alone = HTTPMessage()
                alone["WWW-Authenticate"] = challenge
                return alone
    return None


class _Basic(urllib.request.HTTPBasicAuthHandler):
    def http_error_401(self, req: Any, fp: Any, code: int, msg: str, headers: Any) -> Any:
        return _closed_after(fp, lambda: super(_Basic, self).http_error_401(req, fp, code, msg, headers))


class _Digest(urllib.request.HTTPDigestAuthHandler):
    def http_error_401(self, req: Any, fp: Any, code: int, msg: str, headers: Any) -> Any:
        challenge = _best_digest(headers)
        if challenge is None:
            return None
        return _closed_after(fp, lambda: super(_Digest, self).http_error_401(req, fp, code, msg, challenge))

    def get_algorithm_impls(self, algorithm: str) -> Any:
        if algorithm.upper() != "SHA-256":
            return super().get_algorithm_impls(algorithm)

        def digest(text: str) -> str:
            return hashlib.sha256(text.encode("ascii")).hexdigest()

        return digest, lambda secret, data: digest(f"{secret}:{data}")


class _Address:
    """An address without its password, and an opener that knows it."""

    def __init__(self, address: str) -> None:
        scheme, name, password, rest = split_userinfo(address)
        parts = urlsplit(scheme + rest)
        self.url = urlunsplit((parts.scheme, parts.netloc, parts.path or "/", parts.query, ""))
        passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
        if name is not None:
            # For the whole server: many cameras send from their address to another one.
            server = urlunsplit((parts.scheme, parts.netloc, "/", "", ""))
            passwords.add_password(None, server, unquote(name), unquote(password or ""))
        self._opener = urllib.request.build_opener(_Basic(passwords), _Digest(passwords))

    def open(self, **headers: str) -> Any:
        request = urllib.request.Request(self.url, headers={"User-Agent": "fer-camera", "Accept": "*/*", **headers})
        return self._opener.open(request, timeout=TIMEOUT_S)


def ask(address: str) -> Answer:
    """Ask an ``http://`` or ``https://`` address what it is.

    Raises:
        SourceError: nobody answers, or with a web page.
    """
    try:
        response = _Address(address).open()
    except urllib.error.HTTPError as error:
        error.close()
        reason = f"HTTP {error.code} {error.reason}"
        return Answer(reason=reason, advice=_login(address)) if error.code == 401 else Answer(reason=reason)
    except urllib.error.URLError as error:
        return Answer(reason=str(error.reason))
    except _READ_ERRORS as error:  # not HTTP as Python knows it; FFmpeg may
        return Answer(reason=str(error))
    try:
        answer = _understand(response)
    except _READ_ERRORS as error:
        response.close()
        return Answer(reason=str(error))
    except FerError:
        response.close()
        raise
    if answer.stream is None:
        response.close()
    return answer


def _login(address: str) -> str:
    scheme, user, _, _ = split_userinfo(address)
    if user is None:
        return f"it wants user and password before the host: {scheme}USER:***@HOST"  # as redaction would show it
    return "are user and password right?"


def _understand(response: Any) -> Answer:
    kind = str(response.headers.get("Content-Type", "")).strip().lower()
    length = response.length if response.length not in _ENDLESS else None
    if kind.startswith("multipart/"):
        return Answer(stream=MjpegCapture(response.read1, response.close))
    head = b""
    while len(head) < HEAD_BYTES:
        more = response.read1(HEAD_BYTES - len(head))
        if not more:
            break
        head += more
    content = sniff(head)
    if content.kind is Kind.PICTURE:
        return _picture_or_stream(response, head, content, length)
    if head.lstrip()[:2] == b"--" or b"content-type: image/jp" in head.lower():
        return Answer(stream=MjpegCapture(response.read1, response.close, head))
    if content.format == "HTML":
        raise SourceError("answers with a web page; expected the address of a stream, a picture or a video")
    return Answer(length=length, format=content.format, table_last=table_comes_last(head))


def _picture_or_stream(response: Any, head: bytes, kind: Content, length: int | None) -> Answer:
    if kind.format == "JPEG" and length is None:  # one picture whose length is not told, or one after the other
        stream = MjpegCapture(response.read1, response.close, head)
        if stream.goes_on():
            return Answer(stream=stream)
        return Answer(picture=stream.wait_for_one())
    content = head + response.read(MAX_PICTURE_BYTES + 1 - len(head))
    if kind.format == "JPEG":
        pictures = first_pictures(content, 2)
        if len(pictures) == 2 and not has_second_inside(pictures[0]):
            return Answer(is_jpeg_film=True)
    return Answer(picture=_not_too_large(content))


def _not_too_large(content: bytes) -> bytes:
    if len(content) > MAX_PICTURE_BYTES:
        raise SourceError(f"answers with a picture of more than {MAX_PICTURE_BYTES >> 20} MiB")
    return content


def open_jpeg_film(address: str) -> MjpegCapture:
    """The pictures of an address for which :func:`ask` found JPEG pictures one after the other, from the first on."""
    try:
        response = _Address(address).open()
    except _READ_ERRORS:
        return closed_capture()
    return MjpegCapture(response.read1, response.close)


def closed_capture() -> MjpegCapture:
    """A capture that is not opened."""
    nothing = MjpegCapture(lambda _: b"", lambda: None)
    nothing.release()
    return nothing


def _only_picture(content: bytes) -> bytes:
    """The picture of an answer; some cameras wrap a single one into a multipart answer."""
    if sniff(content[:HEAD_BYTES]).kind is Kind.PICTURE:
        return content
    pictures = first_pictures(content, 1)
    return pictures[0] if pictures else content


class SnapshotCapture:
    """An address that gives one picture, asked again and again; in the manner of ``cv2.VideoCapture``.

    Args:
        address: may hold a user name and a password.
        fps: how often to ask.
        first: the answer to the first question, if it was asked.
    """

    def __init__(self, address: str, fps: float, first: bytes | None = None) -> None:
        self._address = _Address(address)
        self._fps = fps
        self._first = first
        self._due = time.monotonic()
        self._stopped = threading.Event()

    def isOpened(self) -> bool:  # noqa: N802
        """True: whether the server is there is known when it is asked."""
        return True

    def read(self) -> tuple[bool, Any]:
        """Wait until it is time, and give the next picture ``(H, W, 3)`` BGR uint8; False if there is none now."""
        for _ in range(TRIES):
            if self._stopped.wait(max(0.0, self._due - time.monotonic())):
                break
            # Counted from this question, not from the one before: a late answer must not be followed by two at once.
            self._due = time.monotonic() + 1.0 / self._fps
            content, self._first = self._first, None
            try:
                if content is None:
                    with self._address.open() as response:
                        content = _not_too_large(response.read(MAX_PICTURE_BYTES + 1))
                return True, decode(_only_picture(content), "picture")
            except (*_READ_ERRORS, FerError):
                continue
        return False, None

    def get(self, prop: int, /) -> float:
        """The rate; see ``cv2.VideoCapture``."""
        return self._fps if prop == cv2.CAP_PROP_FPS else 0.0

    def interrupt(self) -> None:
        """End the waiting in :meth:`read`; from any thread."""
        self._stopped.set()

    def release(self) -> None:
        """End the waiting; every question has a connection of its own."""
        self._stopped.set()


def gives_parts(address: str) -> bool:
    """Whether the server gives a part of a file when asked for one (``Range``, RFC 9110, 14.2)."""
    try:
        with _Address(address).open(Range="bytes=1-1") as response:
            return bool(response.status == 206)
    except _READ_ERRORS:
        return False


def download(address: str, destination: BinaryIO, length: int | None, most: int) -> None:
    """Copy a file of ``length`` bytes at an address; None where the server does not say how many, then up to ``most``.

    Raises:
        SourceError: the connection broke off, or there are more than ``most`` bytes.
    """
    copied = 0
    try:
        with _Address(address).open() as response:
            while copied <= most and (data := response.read(1 << 20)):
                destination.write(data)
                copied += len(data)
    except _READ_ERRORS as error:
        raise SourceError(f"broke off: {error}") from error
    if copied > most:
        raise SourceError(f"is larger than {most >> 20} MiB; download it first")
    if length is not None and copied < length:
        raise SourceError(f"the connection closed {length - copied} bytes before the end")


def remote_reader(address: str, max_requests: int = 24) -> ReadAt:
    """``read_at`` for a file at an address, where the server gives parts of it; else OSError."""
    opened = _Address(address)
    left = [max_requests]
    cache: dict[int, bytes] = {}
    block = 1 << 15

    def fetch(number: int) -> bytes:
        if number not in cache:
            left[0] -= 1
            if left[0] < 0:
                raise OSError("too many boxes")
            start = number * block
            try:
                with opened.open(Range=f"bytes={start}-{start + block - 1}") as response:
                    if response.status != 206 and start > 0:
                        raise OSError("the server does not support range requests")
                    cache[number] = response.read(block)
            except http.client.HTTPException as error:
                raise OSError(str(error)) from error
        return cache[number]

    def read_at(offset: int, n_bytes: int) -> bytes:
        content = b""
        for number in range(offset // block, (offset + n_bytes - 1) // block + 1):
            content += fetch(number)
        skip = offset % block
        return content[skip : skip + n_bytes]

    return read_at
