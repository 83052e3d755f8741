"""Sources at ``http://`` addresses: a camera, one picture again and again, or a film that has an end."""

from __future__ import annotations

import http
import os
import tempfile
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Final

import cv2

from fer_edge.capture.animation import AnimationCapture, frames_in
from fer_edge.capture.files import VideoFile
from fer_edge.capture.frames import CaptureOptions, Source
from fer_edge.capture.http_camera import POLLS_PER_SECOND, SnapshotCapture, ask, download, gives_parts, remote_reader
from fer_edge.capture.mjpeg import MjpegCapture
from fer_edge.capture.orientation import UPRIGHT, combine, matrix_orientation
from fer_edge.capture.pictures import decode
from fer_edge.capture.streams import Capture, LiveCapture, open_by_ffmpeg
from fer_edge.errors import FerError, SourceError
from fer_edge.logs import LOG
from fer_edge.redact import redact_address, split_userinfo

Notice = Callable[[str], None]
NEEDS_PARTS: Final[str] = "MP4 or MOV"
"""Nearly all have their table of contents at the end."""
MAX_DOWNLOAD_BYTES: Final[int] = 2 << 30


def open_http(address: str, options: CaptureOptions) -> Source:
    """What the answer of ``address`` says that it is.

    Args:
        address: ``http://`` or ``https://``, perhaps with a user name and a password.
        options: ``fps`` is how often an address of one picture is asked.

    Raises:
        SourceError: nobody answers, or with something that is neither picture nor video.
    """
    shown = redact_address(address)
    try:
        answer = ask(address)
    except FerError as error:
        raise SourceError(f"{shown} {error}") from error
    if answer.stream is not None:
        return _stream(address, answer.stream, options)
    if answer.picture is not None:
        return _picture(address, answer.picture, options)
    first = open_by_ffmpeg(address)
    if not first.isOpened():
        first.release()
        reason = f" ({answer.reason})" if answer.reason else ""
        if answer.status == http.HTTPStatus.UNAUTHORIZED:
            raise SourceError(f"{shown} cannot be opened as a stream{reason}: {_credentials_hint(address)}")
        raise SourceError(f"{shown} cannot be opened as a stream{reason}; is the address right and the server running?")
    if answer.length is not None or first.get(cv2.CAP_PROP_FRAME_COUNT) > 0:
        first.release()
        if answer.length is not None and answer.format == NEEDS_PARTS and not gives_parts(address):
            return _downloaded(address, answer.length, options)
        return _film(address, options)
    return LiveCapture(
        shown,
        lambda: open_by_ffmpeg(address),
        first,
        orientation=options.orientation,
        may_end=not options.loop,
    )


def _credentials_hint(address: str) -> str:
    if split_userinfo(address)[1] is not None:
        return "the user name or the password in the address is wrong"
    return "put USER:PASSWORD@ before the host in the address"


def _stream(address: str, stream: MjpegCapture, options: CaptureOptions) -> Source:
    shown = redact_address(address)
    if stream.wait_for_one() is None:
        stream.release()
        raise SourceError(f"{shown} cannot be opened as a stream: it sends no JPEG pictures")

    def again() -> Capture:
        try:
            return ask(address).stream or _nothing()
        except FerError:
            return _nothing()

    return LiveCapture(shown, again, stream, orientation=options.orientation)


def _nothing() -> MjpegCapture:
    """A capture that is not opened."""
    nothing = MjpegCapture(lambda _: b"", lambda: None)
    nothing.release()
    return nothing


def _picture(address: str, content: bytes, options: CaptureOptions) -> Source:
    shown = redact_address(address)
    if frames_in(content) > 1:
        ours = content[:4] in (b"RIFF",) or content[4:8] == b"ftyp"
        return VideoFile(
            address,
            realtime=options.realtime,
            loop=options.loop,
            description=shown,
            orientation=options.orientation,
            open_capture=(lambda: AnimationCapture(content, shown)) if ours else (lambda: open_by_ffmpeg(address)),
        )
    decode(content, shown)  # one that cannot be read is told at once
    fps = options.fps or POLLS_PER_SECOND
    return LiveCapture(
        shown,
        lambda: SnapshotCapture(address, fps),
        SnapshotCapture(address, fps, content),
        orientation=options.orientation,
    )


def _downloaded(address: str, length: int, options: CaptureOptions) -> VideoFile:
    """A film from a server that sends files only as a whole, where FFmpeg would find no frame."""
    shown = redact_address(address)
    if length > MAX_DOWNLOAD_BYTES:
        raise SourceError(
            f"{shown}: its server does not support range requests, and it is too large; download it first"
        )
    LOG.info(
        f"{shown}: fetched as a whole first, {length / 1e6:.1f} MB, because its server does not support range requests"
    )
    descriptor, name = tempfile.mkstemp(prefix="fer-edge-")
    try:
        with os.fdopen(descriptor, "wb") as target:
            download(address, target, length)
        film = VideoFile(
            name, realtime=options.realtime, loop=options.loop, description=shown, orientation=options.orientation
        )
    except FerError as error:
        Path(name).unlink()
        raise SourceError(f"{shown} {error}") from error
    except BaseException:
        Path(name).unlink()
        raise
    weakref.finalize(film, Path(name).unlink, missing_ok=True)
    return film


def _film(address: str, options: CaptureOptions) -> VideoFile:
    try:
        stored = matrix_orientation(remote_reader(address), 1 << 62)
    except (OSError, ValueError):  # then OpenCV turns it, as far as it can
        stored = None

    def open_capture() -> Capture:
        capture = open_by_ffmpeg(address)
        if stored is not None and isinstance(capture, cv2.VideoCapture):
            capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)
        return capture

    return VideoFile(
        address,
        realtime=options.realtime,
        loop=options.loop,
        description=redact_address(address),
        orientation=combine(stored or UPRIGHT, options.orientation),
        open_capture=open_capture,
    )
