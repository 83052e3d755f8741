"""Frames from image files and video files."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from fer_edge.capture.frames import Frame, Image
from fer_edge.errors import SourceError
from fer_edge.image_bytes import why_refused

IMAGE_SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".pgm", ".ppm"})
SECONDS_PER_IMAGE: Final[float] = 1.0
"""Images have no clock; in ``time_s`` and in a saved video they follow each other at this pace."""
MAX_PAUSE_S: Final[float] = 10.0
"""With ``realtime``, the longest wait for the next frame of a file."""
DECODER_THREADS: Final[int] = 2
"""FFmpeg would take one a core, and memory for each; the detector needs the cores more."""


class ImageFiles:
    """One image or several, in the order given. Raises :class:`SourceError` for a single one that is broken."""

    live = False
    continuous = False
    fps: float | None = 1.0 / SECONDS_PER_IMAGE
    state = "running"

    def __init__(self, paths: list[Path], description: str, on_notice: Callable[[str], None] = lambda _: None) -> None:
        self.paths = paths
        self.description = description
        self._on_notice = on_notice
        self._stopped = False
        self._single = read_image(paths[0]) if len(paths) == 1 else None  # a broken one is told at once

    def frames(self) -> Iterator[Frame]:
        """See :meth:`Source.frames`; of several images, unreadable ones are noticed and skipped."""
        index = 0
        for path in self.paths:
            if self._stopped:
                return
            try:
                image = read_image(path) if self._single is None else self._single
            except SourceError as error:
                self._on_notice(f"skipped: {error}")
                continue
            shown_path = None if len(self.paths) == 1 else path
            yield Frame(image, index, index * SECONDS_PER_IMAGE, time.monotonic(), shown_path)
            index += 1
        if index == 0 and not self._stopped:
            raise SourceError(f"{self.description}: none of the {len(self.paths)} images can be read")

    def stop(self) -> None:
        """See :meth:`Source.stop`."""
        self._stopped = True


def read_image(path: Path) -> Image:
    """Decode an image file to ``(H, W, 3)`` BGR uint8, turned upright; raises :class:`SourceError` if it is none."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror or error}") from error
    if not content:
        raise SourceError(f"{path} is empty; expected an image")
    reason = why_refused(content)
    if reason is not None:
        raise SourceError(f"{path} cannot be decoded as an image: {reason}")
    # From memory, because OpenCV cannot open every path that Python can.
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:  # for example more pixels than OpenCV is ready to decode
        image = None
    if image is None:
        raise SourceError(f"{path} cannot be decoded as an image; damaged, or another kind of file?")
    return np.asarray(image, dtype=np.uint8)


class VideoFile:
    """A video file: every frame, as fast as asked for; with ``realtime`` at its own pace, as if it were live.

    With ``loop`` it begins again at its end, and the time goes on. Raises :class:`SourceError` for what is no video.
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
    ) -> None:
        self.description = description or str(path)
        self.live = realtime
        self._loop = loop
        self._stopped = threading.Event()
        # FFmpeg by name: by default OpenCV would try a list of readers and complain about each.
        self._capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, DECODER_THREADS])
        if not self._capture.isOpened():
            raise SourceError(f"{self.description} cannot be read as a video; damaged, or another kind of file?")
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps: float | None = fps if 0.0 < fps <= 1000.0 else None

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
                    if self._loop and not starts_anew and self._capture.set(cv2.CAP_PROP_POS_FRAMES, 0):
                        starts_anew, start_s = True, last_s + 1.0 / (self.fps or 25.0)
                        continue
                    break
                position_ms = self._capture.get(cv2.CAP_PROP_POS_MSEC)
                if starts_anew:
                    first_ms, starts_anew = position_ms, False
                time_s = start_s + (position_ms - first_ms) / 1000.0
                if time_s <= last_s:  # some containers have no usable times: then the frame rate is the clock
                    time_s = last_s + 1.0 / (self.fps or 25.0)
                last_s = max(time_s, 0.0)
                if self.live:
                    wait_s = began + last_s - time.monotonic()
                    if wait_s > MAX_PAUSE_S:  # a jump of the file's clock, not a pause
                        began -= wait_s
                    elif self._stopped.wait(max(0.0, wait_s)):
                        break
                yield Frame(np.asarray(image, dtype=np.uint8), index, last_s, time.monotonic())
                index += 1
        finally:
            self._capture.release()
        if index == 0 and not self._stopped.is_set():
            raise SourceError(f"{self.description} holds no readable video frame; truncated?")

    def stop(self) -> None:
        """See :meth:`Source.stop`."""
        self._stopped.set()
