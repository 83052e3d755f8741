"""Sources at ``http://`` addresses: a camera, one picture again and again, or a film that has an end."""

from __future__ import annotations

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
from fer_edge.capture.http_camera import (
    POLLS_PER_SECOND,
    Answer,
    SnapshotCapture,
    ask,
    closed_capture,
    download,
    gives_parts,
    open_jpeg_film,
    remote_reader,
)
from fer_edge.capture.mjpeg import MjpegCapture
from fer_edge.capture.orientation import UPRIGHT, combine, film_orientation
from fer_edge.capture.pictures import decode
from fer_edge.capture.streams import Capture, LiveCapture, open_by_ffmpeg
from fer_edge.errors import FerError, SourceError
from fer_edge.logs import LOG
from fer_edge.redact import redact_address

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
    if answer.is_jpeg_film:
        return _jpeg_film(address, options)
    if answer.length is None and answer.table_last and not gives_parts(address):
        return _downloaded(address, None, options)
    return _by_ffmpeg(address, answer, options)


def _by_ffmpeg(address: str, answer: Answer, options: CaptureOptions) -> Source:
    shown = redact_address(address)
    first = open_by_ffmpeg(address)
    if not first.isOpened():
        first.release()
        reason = f" ({answer.reason})" if answer.reason else ""
        raise SourceError(f"{shown} cannot be opened as a stream{reason}; {answer.advice}")
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
        may_end=True,
        loop=options.loop,
    )


def _stream(address: str, stream: MjpegCapture, options: CaptureOptions) -> Source:
    shown = redact_address(address)
    if stream.wait_for_one() is None:
        stream.release()
        raise SourceError(f"{shown} cannot be opened as a stream: it sends no JPEG pictures")

    if not stream.goes_on():  # a snapshot in the dress of a stream
        only = stream.wait_for_one()
        stream.release()
        assert only is not None
        return _picture(address, only, options)

    def again() -> Capture:
        try:
            return ask(address).stream or closed_capture()
        except FerError:
            return closed_capture()

    return LiveCapture(shown, again, stream, orientation=options.orientation, may_end=True, loop=options.loop)


def _jpeg_film(address: str, options: CaptureOptions) -> VideoFile:
    return VideoFile(
        address,
        realtime=options.realtime,
        loop=options.loop,
        description=redact_address(address),
        orientation=options.orientation,
        open_capture=lambda: open_jpeg_film(address),
    )


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


def _downloaded(address: str, length: int | None, options: CaptureOptions) -> VideoFile:
    """A film from a server that sends files only as a whole, where FFmpeg would find no frame."""
    shown = redact_address(address)
    if length is not None and length > MAX_DOWNLOAD_BYTES:
        raise SourceError(
            f"{shown}: its server does not support range requests, and it is too large; download it first"
        )
    size = "" if length is None else f", {length / 1e6:.1f} MB"
    LOG.info(f"{shown}: fetched as a whole first{size}, because its server does not support range requests")
    descriptor, name = tempfile.mkstemp(prefix="fer-edge-")
    try:
        with os.fdopen(descriptor, "wb") as destination:
            download(address, destination, length, MAX_DOWNLOAD_BYTES)
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
        stored = film_orientation(remote_reader(address), 1 << 62)
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
