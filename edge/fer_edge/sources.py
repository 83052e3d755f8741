"""Frames from whatever ``--source`` means: a camera, a stream, a video file, an image, a folder.

A source that is not ``live`` gives every frame, as fast as it is asked; a live one goes on without being asked, so its
reader should take the newest frame. Cameras and streams are in ``cameras.py`` and imported only when one is opened.
"""

from __future__ import annotations

import glob
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from fer_edge.errors import MissingDependencyError, SourceError, UsageError
from fer_edge.folders import MAX_SHOWN, images_among, matching, what_else
from fer_edge.image_bytes import why_refused
from fer_edge.orientation import UPRIGHT, combine, picture_orientation, turn, video_orientation
from fer_edge.pictures import read_image, read_pictures
from fer_edge.sniff import IMAGE_SUFFIXES, Content, Kind, sniff_file

__all__ = [
    "IMAGE_SUFFIXES",
    "CaptureOptions",
    "Frame",
    "Image",
    "ImageFiles",
    "Source",
    "VideoFile",
    "open_source",
    "read_image",
]

Image = npt.NDArray[np.uint8]

SECONDS_PER_IMAGE: Final[float] = 1.0
"""Images have no clock; in ``time_s`` and in a saved video they follow each other at this pace."""
MAX_PAUSE_S: Final[float] = 10.0
"""With ``realtime``, the longest wait for the next frame of a file."""
DECODER_THREADS: Final[int] = 2
"""FFmpeg would take one a core, and memory for each; the detector needs the cores more."""
NO_TIME_MS: Final[float] = 1e14
"""OpenCV reports the lowest number there is where a container gives no times."""
DEFAULT_FPS: Final[float] = 25.0
ANIMATED_FORMATS: Final = frozenset({"GIF", "PNG", "WebP", "AVIF"})
STREAM_SCHEMES: Final = ("rtsp://", "rtsps://", "rtmp://", "http://", "https://", "udp://", "tcp://")


@dataclass(frozen=True)
class Frame:
    """One picture and where it comes from."""

    image: Image
    """``(H, W, 3)`` BGR uint8."""
    index: int
    """0, 1, 2, ... as the source delivered them, dropped ones counted."""
    time_s: float
    """Seconds since the first frame by the source's clock: media time of a file, monotonic time of a camera."""
    captured_at: float
    """``time.monotonic()`` when the frame was there."""
    path: Path | None = None
    """The image file, where the source is a folder of them."""
    small: Image | None = None
    """The same picture at fewer pixels, where the camera delivers one beside the full one."""


@dataclass(frozen=True)
class CaptureOptions:
    """What may be asked of a source; None leaves it to the source. Files know ``realtime`` and ``loop``."""

    width: int | None = None
    height: int | None = None
    fps: float | None = None
    mjpg: bool = False
    """Ask a USB camera for compressed frames: most give their higher sizes and rates only so."""
    realtime: bool = False
    """Play a video file at its own pace, as if it were a camera."""
    loop: bool = False
    """Play a video file again and again."""
    orientation: int = UPRIGHT
    """How the camera is mounted, 1 to 8 (see :mod:`fer_edge.orientation`): every frame is turned by it."""


class Source(Protocol):
    """Delivers frames, once. Open one with :func:`open_source`."""

    description: str
    """For messages; no passwords."""
    live: bool
    """Frames come at their own time; a late reader should skip to the newest."""
    continuous: bool
    """Neighbouring frames show the same scene, so that faces can be followed from one to the next."""
    fps: float | None
    """Nominal frames per second, if known."""

    @property
    def state(self) -> str:
        """``running``, or what a live source is waiting for."""
        ...

    def frames(self) -> Iterator[Frame]:
        """The frames, in order. To be iterated once, by one thread.

        Raises :class:`SourceError` for a file that turns out unreadable.
        """
        ...

    def stop(self) -> None:
        """Ask :meth:`frames` to end soon; may be called from any thread, any number of times."""
        ...


class ImageFiles:
    """One image or several, in the order given; of animated ones and those of several pages, all.

    Raises :class:`SourceError` for a single one that is broken.
    """

    live = False
    continuous = False
    fps: float | None = 1.0 / SECONDS_PER_IMAGE
    state = "running"

    def __init__(
        self,
        paths: list[Path],
        description: str,
        on_notice: Callable[[str], None] = lambda _: None,
        orientation: int = UPRIGHT,
    ) -> None:
        self.paths = paths
        self.description = description
        self._on_notice = on_notice
        self._orientation = orientation
        self._stopped = False
        self._single: Iterator[Image] | None = None
        if len(paths) == 1:  # a broken one is told at once
            pictures = read_pictures(paths[0])
            self._single = itertools.chain([next(pictures)], pictures)

    def frames(self) -> Iterator[Frame]:
        """See :meth:`Source.frames`; of several images, unreadable ones are noticed and skipped."""
        index = skipped = 0
        for path in self.paths:
            shown_path = None if len(self.paths) == 1 else path
            try:
                for image in read_pictures(path) if self._single is None else self._single:
                    if self._stopped:
                        return
                    shown = turn(image, self._orientation)
                    yield Frame(shown, index, index * SECONDS_PER_IMAGE, time.monotonic(), shown_path)
                    index += 1
            except (SourceError, MissingDependencyError) as error:
                if self._single is not None:
                    raise
                skipped += 1
                if skipped <= MAX_SHOWN:
                    self._on_notice(f"skipped: {error}")
                if skipped == len(self.paths):
                    raise _none_readable(self.description, len(self.paths), error) from error
            if self._stopped:
                return
        if skipped > MAX_SHOWN:
            self._on_notice(f"skipped: {skipped - MAX_SHOWN} more images that cannot be read")

    def stop(self) -> None:
        """See :meth:`Source.stop`."""
        self._stopped = True


def _none_readable(description: str, n_images: int, last: Exception) -> SourceError | MissingDependencyError:
    kind = MissingDependencyError if isinstance(last, MissingDependencyError) else SourceError
    return kind(f"{description}: none of the {n_images} images can be read; the last: {last}")


class VideoCapture(Protocol):
    """The part of ``cv2.VideoCapture`` that :class:`VideoFile` uses."""

    def isOpened(self) -> bool:  # noqa: N802
        ...

    def read(self) -> tuple[bool, Any]: ...

    def get(self, prop: int, /) -> float: ...

    def release(self) -> None: ...


class VideoFile:
    """A video file: every frame, as fast as asked for; with ``realtime`` at its own pace, as if it were live.

    With ``loop`` it begins again at its end, and the time goes on. ``orientation`` turns the frames besides what the
    file asks for; ``open_capture`` opens what OpenCV cannot. Raises :class:`SourceError` for what is no video.
    """

    continuous = True
    state = "running"

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        realtime: bool = False,
        loop: bool = False,
        description: str | None = None,
        orientation: int = UPRIGHT,
        open_capture: Callable[[], VideoCapture] | None = None,
    ) -> None:
        self.description = description or str(path)
        self.live = realtime
        self._loop = loop
        self._stopped = threading.Event()
        stored = video_orientation(path) if open_capture is None else None
        self._orientation = orientation if stored is None else combine(stored, orientation)
        self._open = open_capture or (lambda: _open_video(str(path), turned=stored is None))
        self._capture = self._open()
        if not self._capture.isOpened():
            raise SourceError(f"{self.description} cannot be read as a video; damaged, or another kind of file?")
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps: float | None = fps if 0.0 < fps <= 1000.0 else None
        count = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.n_frames: int | None = round(count) if 0.0 < count < 1e9 and not loop else None

    def frames(self) -> Iterator[Frame]:
        """See :meth:`Source.frames`."""
        began = time.monotonic()
        first_ms, start_s, last_s = 0.0, 0.0, -1.0
        index = 0
        starts_anew = True
        try:
            while not self._stopped.is_set():
                got, image = self._capture.read()
                if not got:
                    # The second condition: a loop over a file that gives nothing would never end.
                    if self._loop and not starts_anew and self._again():
                        starts_anew, start_s = True, last_s + 1.0 / (self.fps or DEFAULT_FPS)
                        continue
                    break
                position_ms = self._capture.get(cv2.CAP_PROP_POS_MSEC)
                if starts_anew:
                    first_ms, starts_anew = position_ms, False
                time_s = start_s + (position_ms - first_ms) / 1000.0
                # Some containers have no usable times: then the frame rate is the clock.
                if time_s <= last_s or abs(position_ms) > NO_TIME_MS:
                    time_s = last_s + 1.0 / (self.fps or DEFAULT_FPS) if last_s >= 0.0 else 0.0
                last_s = max(time_s, 0.0)
                if self.live:
                    wait_s = began + last_s - time.monotonic()
                    if wait_s > MAX_PAUSE_S:  # a jump of the file's clock, not a pause
                        began -= wait_s
                    elif self._stopped.wait(max(0.0, wait_s)):
                        break
                image = turn(np.asarray(image, dtype=np.uint8), self._orientation)
                yield Frame(image, index, last_s, time.monotonic())
                index += 1
        finally:
            self._capture.release()
        if index == 0 and not self._stopped.is_set():
            raise SourceError(f"{self.description} holds no readable video frame; truncated?")

    def _again(self) -> bool:
        """Open it anew: not every container can be searched (transport streams, raw H.264, motion JPEG)."""
        self._capture.release()
        self._capture = self._open()
        return self._capture.isOpened()

    def stop(self) -> None:
        """See :meth:`Source.stop`."""
        self._stopped.set()


def _open_video(path: str, *, turned: bool) -> VideoCapture:
    """A capture that is opened or not; with ``turned`` OpenCV turns the frames as the file asks for."""
    # FFmpeg by name: by default OpenCV would try a list of readers and complain about each.
    capture = cv2.VideoCapture(path, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, DECODER_THREADS])
    if not turned:
        capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)
    opened: VideoCapture = capture
    return opened


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
        from fer_edge.cameras import open_camera

        return open_camera(text, options, on_notice=on_notice)
    if text == "picamera" or text.startswith("picamera:"):
        from fer_edge.picamera import open_picamera

        return open_picamera(text, options, on_notice=on_notice)
    if text.lower().startswith(STREAM_SCHEMES):
        from fer_edge.cameras import open_stream

        return open_stream(text, options, on_notice=on_notice)
    return _open_files(text, options, on_notice)


def _open_files(text: str, options: CaptureOptions, on_notice: Callable[[str], None]) -> Source:
    path = Path(text)
    if path.is_dir():
        images = images_among(sorted(path.iterdir()), on_notice)
        if not images:
            raise SourceError(f"no images in the folder {path}; {what_else(path)}")
        return ImageFiles(images, text, on_notice, options.orientation)
    if path.exists():
        return _open_file(path, options, on_notice)
    if glob.has_magic(text):
        images = images_among(matching(text), on_notice)
        if not images:
            raise SourceError(f"no images match {text}")
        return ImageFiles(images, text, on_notice, options.orientation)
    raise SourceError(f"no source {text}; expected a camera number, picamera, an address, a file or a folder")


def _open_file(path: Path, options: CaptureOptions, on_notice: Callable[[str], None]) -> Source:
    if path.is_file() and path.stat().st_size == 0:
        raise SourceError(f"{path} is empty; expected an image or a video")
    found = sniff_file(path) if path.is_file() else Content(Kind.UNKNOWN, "no plain file")
    if found.kind is Kind.PICTURE and found.format in ANIMATED_FORMATS:
        animated = _open_animation(path, options)
        if animated is not None:
            return animated
    if found.kind in (Kind.PICTURE, Kind.OTHER) or (
        found.kind is Kind.UNKNOWN and path.suffix.lower() in IMAGE_SUFFIXES
    ):
        return ImageFiles([path], str(path), on_notice, options.orientation)
    return VideoFile(path, realtime=options.realtime, loop=options.loop, orientation=options.orientation)


def _open_animation(path: Path, options: CaptureOptions) -> VideoFile | None:
    """An animated picture as a video, which it is; None when it has a single frame."""
    from fer_edge.animation import frames_in, open_animation
    from fer_edge.pictures import read_content

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
