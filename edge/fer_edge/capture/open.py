"""Frames from whatever ``--source`` means: a camera, a stream, a video file, an image, a folder.

A source that is not ``live`` gives every frame, as fast as it is asked; a live one goes on without being asked, so its
reader should take the newest frame. Cameras and streams are in ``cameras.py`` and imported only when one is opened.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from fer_edge.capture.files import IMAGE_SUFFIXES, ImageFiles, VideoFile
from fer_edge.capture.frames import CaptureOptions, Source
from fer_edge.errors import SourceError, UsageError

STREAM_SCHEMES: Final = ("rtsp://", "rtsps://", "rtmp://", "http://", "https://", "udp://", "tcp://")


def open_source(
    source: str | int | os.PathLike[str],
    options: CaptureOptions | None = None,
    *,
    on_notice: Callable[[str], None] = lambda _: None,
) -> Source:
    """Open what ``source`` names.

    A number or ``/dev/videoN`` is a V4L2 camera (on other systems the camera of that number); ``picamera`` or
    ``picamera:N`` the Raspberry Pi's; an address (``rtsp://``, ``http://``, ...) a stream; else a video file, an image,
    a folder of images, or a pattern such as ``'shots/*.jpg'``.

    Raises :class:`SourceError` for a file that is missing or not what its name says, :class:`DeviceError` for a camera
    that is missing, :class:`MissingDependencyError` when Picamera2 is not installed.
    """
    options = options or CaptureOptions()
    text = os.fspath(source) if not isinstance(source, int) else str(source)
    if not text:
        raise UsageError("--source is empty; expected a camera number, an address, a file or a folder")
    if (text.isascii() and text.isdigit()) or text.startswith("/dev/video"):
        from fer_edge.capture.streams import open_camera

        return open_camera(text, options, on_notice=on_notice)
    if text == "picamera" or text.startswith("picamera:"):
        from fer_edge.capture.picamera import open_picamera

        return open_picamera(text, options, on_notice=on_notice)
    if text.lower().startswith(STREAM_SCHEMES):
        from fer_edge.capture.streams import open_stream

        return open_stream(text, options, on_notice=on_notice)
    return _open_files(text, options, on_notice)


def _open_files(text: str, options: CaptureOptions, on_notice: Callable[[str], None]) -> Source:
    path = Path(text)
    if path.is_dir():
        images = sorted(p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file())
        if not images:
            raise SourceError(f"no images in the folder {path}; expected {', '.join(sorted(IMAGE_SUFFIXES))}")
        return ImageFiles(images, text, on_notice)
    if path.exists():
        if path.is_file() and path.stat().st_size == 0:
            raise SourceError(f"{path} is empty; expected an image or a video")
        if path.suffix.lower() in IMAGE_SUFFIXES:
            return ImageFiles([path], text, on_notice)
        return VideoFile(path, realtime=options.realtime, loop=options.loop)
    if glob.has_magic(text):
        matches = sorted(Path(p) for p in glob.glob(text, recursive=True))  # noqa: PTH207 - absolute patterns, too
        images = [p for p in matches if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file()]
        if not images:
            raise SourceError(f"no images match {text}")
        return ImageFiles(images, text, on_notice)
    raise SourceError(f"no source {text}; expected a camera number, picamera, an address, a file or a folder")
