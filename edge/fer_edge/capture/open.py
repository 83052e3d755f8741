"""Frames from whatever ``--source`` means: a camera, a stream, a video file, an image, a folder.

A source that is not ``live`` gives every frame, as fast as it is asked; a live one goes on without being asked, so its
reader should take the newest frame. Cameras and streams are in ``cameras.py`` and imported only when one is opened.
"""

from __future__ import annotations

import glob
import os
from pathlib import Path
from typing import Final

from fer_edge.capture.files import ImageFiles, VideoFile
from fer_edge.capture.folders import images_among, matching, what_else
from fer_edge.capture.frames import CaptureOptions, Source
from fer_edge.capture.orientation import UPRIGHT, combine, picture_orientation
from fer_edge.capture.pipes import is_pipe, open_pipe
from fer_edge.capture.sniff import IMAGE_SUFFIXES, Content, Kind, sniff_file
from fer_edge.capture.v4l2 import is_v4l2
from fer_edge.errors import SourceError, UsageError
from fer_edge.image_bytes import why_refused
from fer_edge.redact import redact_address

__all__ = ["ANIMATED_FORMATS", "STREAM_SCHEMES", "open_source"]

ANIMATED_FORMATS: Final = frozenset({"GIF", "PNG", "WebP", "AVIF"})
STREAM_SCHEMES: Final = ("rtsp://", "rtsps://", "rtmp://", "rtmps://", "http://", "https://", "udp://", "tcp://")


def open_source(
    source: str | int | os.PathLike[str],
    options: CaptureOptions | None = None,
) -> Source:
    """Open what ``source`` names.

    A number, ``/dev/videoN`` or a link to it (``/dev/v4l/by-id/...``) is a V4L2 camera (on
    other systems the camera of that number); ``picamera`` or ``picamera:N`` the Raspberry Pi's; an address
    (``rtsp://``, ``http://``, ...) a stream; else a video file, an image, a folder of images, or a pattern such as
    ``'shots/*.jpg'``.

    Args:
        source: what to open.
        options: what is asked of it; None leaves everything to the source.

    Returns:
        The source, open; iterate its :meth:`Source.frames` once.

    Raises:
        UsageError: ``source`` is empty.
        SourceError: a file is missing or not what its name says, or a stream cannot be opened.
        DeviceError: a camera is missing.
        MissingDependencyError: Picamera2, or a package that reads HEIC, is not installed.
    """
    options = options or CaptureOptions()
    text = os.fspath(source) if not isinstance(source, int) else str(source)
    if not text:
        raise UsageError("--source is empty; expected a camera number, an address, a file or a folder")
    if is_v4l2(text):
        from fer_edge.capture.streams import open_camera

        return open_camera(text, options)
    if text == "picamera" or text.startswith("picamera:"):
        from fer_edge.capture.picamera import open_picamera

        return open_picamera(text, options)
    if text.lower().startswith(STREAM_SCHEMES):
        from fer_edge.capture.streams import open_stream

        return open_stream(text, options)
    if is_pipe(text):
        return open_pipe(text, options, _open_file)
    return _open_files(text, options)


def _open_files(text: str, options: CaptureOptions) -> Source:
    path = Path(text)
    if path.is_dir():
        images = images_among(sorted(path.iterdir()))
        if not images:
            raise SourceError(f"no images in the folder {path}; {what_else(path)}")
        return ImageFiles(images, text, options.orientation)
    if path.exists():
        return _open_file(path, options)
    if "://" in text:
        raise SourceError(f"{redact_address(text)} is no address that is read; expected {', '.join(STREAM_SCHEMES)}")
    if glob.has_magic(text):
        images = images_among(matching(text))
        if not images:
            raise SourceError(f"no images match {text}")
        return ImageFiles(images, text, options.orientation)
    raise SourceError(f"no source {text}; expected a camera number, picamera, an address, a file or a folder")


def _open_file(path: Path, options: CaptureOptions) -> Source:
    if path.is_file() and path.stat().st_size == 0:
        raise SourceError(f"{path} is empty; expected an image or a video")
    content = sniff_file(path) if path.is_file() else Content(Kind.UNKNOWN, "no plain file")
    if content.kind is Kind.PICTURE and content.format in ANIMATED_FORMATS:
        animated = _open_animation(path, options)
        if animated is not None:
            return animated
    if content.kind is Kind.OTHER:
        raise SourceError(f"{path} is {content.format}, which is not read here; save it as JPEG, PNG or MP4")
    if content.kind is Kind.PICTURE or (content.kind is Kind.UNKNOWN and path.suffix.lower() in IMAGE_SUFFIXES):
        return ImageFiles([path], str(path), options.orientation)
    return VideoFile(path, realtime=options.realtime, loop=options.loop, orientation=options.orientation)


def _open_animation(path: Path, options: CaptureOptions) -> VideoFile | None:
    """An animated picture as a video, which it is; None when it has a single frame."""
    from fer_edge.capture.animation import frames_in, open_animation
    from fer_edge.capture.pictures import read_content

    content = read_content(path)
    if frames_in(content) < 2 or why_refused(content) is not None:
        return None
    return VideoFile(
        path,
        realtime=options.realtime,
        loop=options.loop,
        orientation=combine(
            picture_orientation(content) if content[:4] == b"\x89PNG" else UPRIGHT, options.orientation
        ),
        open_capture=lambda: open_animation(path, content),
    )
