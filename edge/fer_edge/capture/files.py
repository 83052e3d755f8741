"""Frames from image files and video files."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import cv2
import numpy as np

from fer_edge.arrays import Image, room_behind
from fer_edge.capture.folders import MAX_SHOWN
from fer_edge.capture.frames import Frame
from fer_edge.capture.orientation import UPRIGHT, combine, turn, video_orientation
from fer_edge.errors import MissingDependencyError, SourceError
from fer_edge.files import ffmpeg_name
from fer_edge.logs import LOG

if TYPE_CHECKING:
    from fer_edge.capture.lean_turn import LeanTurn

__all__ = [
    "DECODER_THREADS",
    "DEFAULT_FPS",
    "MAX_PAUSE_S",
    "NO_TIME_MS",
    "SECONDS_PER_IMAGE",
    "ImageFiles",
    "VideoCapture",
    "VideoFile",
]

SECONDS_PER_IMAGE: Final[float] = 1.0
"""Images have no clock; in ``time_s`` and in a saved video they follow each other at this pace."""
MAX_PAUSE_S: Final[float] = 10.0
"""With ``realtime``, the longest wait for the next frame of a file."""
DECODER_THREADS: Final[int] = 2
"""FFmpeg would take one a core, and memory for each; the detector needs the cores more."""
_SMALL_PIXELS: Final[int] = 1280 * 720
"""Up to here one thread decodes faster than the rest can follow, and a second one costs 7 to 13 % of all CPU."""
_LARGE_PIXELS: Final[int] = 6_000_000
"""From here on, at 4K, one thread: a second one takes 30 to 90 MB."""
NO_TIME_MS: Final[float] = 1e14
"""OpenCV reports the lowest number there is where a container gives no times."""
DEFAULT_FPS: Final[float] = 25.0


class ImageFiles:
    """One image or several, in the order given; of animated ones and those of several pages, all.

    Args:
        paths: the files, at least one.
        description: for messages.
        orientation: 1 to 8, how every picture is turned besides what its file asks for.

    Raises:
        SourceError: a single one that is broken.
    """

    live = False
    continuous = False
    fps: float | None = 1.0 / SECONDS_PER_IMAGE
    """Images per second in a saved video."""
    state = "running"

    def __init__(
        self,
        paths: list[Path],
        description: str,
        orientation: int = UPRIGHT,
    ) -> None:
        self.paths = paths
        self.description = description
        self._orientation = orientation
        self._stopped = False
        self._single: Iterator[Image] | None = None
        if len(paths) == 1:  # a broken one is told at once
            from fer_edge.capture.pictures import read_pictures  # late: videos need nothing of it

            pictures = read_pictures(paths[0])
            self._single = itertools.chain([next(pictures)], pictures)

    def frames(self) -> Iterator[Frame]:
        """See :meth:`Source.frames`; of several images, unreadable ones are noticed and skipped."""
        from fer_edge.capture.pictures import read_pictures

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
                    LOG.warning(f"skipped: {error}")
                if skipped == len(self.paths):
                    raise _none_readable(self.description, len(self.paths), error) from error
            if self._stopped:
                return
        if skipped > MAX_SHOWN:
            LOG.warning(f"skipped: {skipped - MAX_SHOWN} more images that cannot be read")

    def stop(self) -> None:
        """See :meth:`Source.stop`."""
        self._stopped = True


def _none_readable(description: str, n_images: int, last: Exception) -> SourceError | MissingDependencyError:
    kind = MissingDependencyError if isinstance(last, MissingDependencyError) else SourceError
    return kind(f"{description}: none of the {n_images} images can be read; the last: {last}")


class VideoCapture(Protocol):
    """The part of ``cv2.VideoCapture`` that :class:`VideoFile` uses."""

    def isOpened(self) -> bool:  # noqa: N802
        """Whether it can be read.

        Returns:
            Whether frames can be read.
        """
        ...

    def read(self) -> tuple[bool, Any]:
        """Whether there is a frame, and the frame.

        Returns:
            ``(True, frame)`` with a frame ``(H, W, 3)`` BGR uint8; ``(False, ...)`` at the end.
        """
        ...

    def get(self, prop: int, /) -> float:
        """A property, 0 where it is unknown.

        Args:
            prop: a ``cv2.CAP_PROP_*`` constant.

        Returns:
            Its value, 0 where it is unknown.
        """
        ...

    def release(self) -> None:
        """Close it."""
        ...


class VideoFile:
    """A video file: every frame, as fast as asked for.

    Args:
        path: the file.
        realtime: play it at its own pace, as if it were live.
        loop: begin again at its end; the time goes on.
        description: for messages; None is the path.
        orientation: 1 to 8, how frames are turned besides what the file asks for.
        open_capture: opens what OpenCV cannot; None opens ``path`` with OpenCV.

    Raises:
        SourceError: the file is not a video that can be read.
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
        self._open = open_capture or (lambda: _open_video(ffmpeg_name(path), turned=stored is None))
        self._capture = self._open()
        if not self._capture.isOpened():
            raise SourceError(f"{self.description} cannot be read as a video; damaged, or another kind of file?")
        self._large = self._large_shape()
        self._ahead: bool | None = None
        """Whether there is a next frame, decoded; None: not asked yet."""
        self._lean = self._lean_turn()
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
        pictures: list[Image] = []
        try:
            while not self._stopped.is_set():
                got, image = self._read()
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
                held = turn(
                    np.asarray(image, dtype=np.uint8),
                    self._orientation,
                    own=True,
                    transpose=cv2.transpose if self._lean is None else self._lean.transposed,
                )
                pictures.append(held)
                del image, held  # or they would stay while the next one is read
                yield Frame(pictures.pop(), index, last_s, time.monotonic())
                index += 1
        finally:
            self._capture.release()
        if index == 0 and not self._stopped.is_set():
            raise SourceError(
                f"{self.description} holds no readable video frame; truncated, or a codec that this OpenCV lacks?"
            )

    def decode_ahead(self) -> None:
        """Decode the next frame, if they are large, without making a picture of it: that is for when there is room."""
        if self._large is not None and self._ahead is None:
            self._ahead = self._capture.grab()  # type: ignore[attr-defined]  # of cv2, see _large_shape

    def _read(self) -> tuple[bool, Any]:
        if self._large is None:
            return self._capture.read()
        capture: Any = self._capture
        grabbed, self._ahead = capture.grab() if self._ahead is None else self._ahead, None
        if not grabbed:
            return False, None
        got, image = capture.retrieve(room_behind(self._large) if self._lean is None else self._lean.picture)
        return got, image

    def _large_shape(self) -> tuple[int, int, int] | None:
        """Of pictures as they are stored, if they are large: then a recording can be made of them without a copy."""
        if not isinstance(self._capture, cv2.VideoCapture):
            return None
        height, width = (round(self._capture.get(p)) for p in (cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FRAME_WIDTH))
        return (height, width, 3) if height * width > _LARGE_PIXELS else None

    def _lean_turn(self) -> LeanTurn | None:
        """For large pictures that are to lie on their sides; a capture of somebody's own takes no picture to fill."""
        if self._orientation < 5 or self._large is None:
            return None
        from fer_edge.capture.lean_turn import LeanTurn  # late: most films are smaller

        return LeanTurn(*self._large[:2]) if LeanTurn.works() else None

    def _again(self) -> bool:
        """Open it again: not every container can be searched (transport streams, raw H.264, motion JPEG)."""
        self._capture.release()
        self._capture = self._open()
        return self._capture.isOpened()

    def stop(self) -> None:
        """See :meth:`Source.stop`."""
        self._stopped.set()


def _open_video(path: str, *, turned: bool) -> VideoCapture:
    """A capture that is opened or not; with ``turned`` OpenCV turns the frames as the file asks for."""
    # FFmpeg by name: by default OpenCV would try a list of readers and complain about each.
    capture = cv2.VideoCapture(path, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    pixels = capture.get(cv2.CAP_PROP_FRAME_WIDTH) * capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
    if _SMALL_PIXELS < pixels <= _LARGE_PIXELS:
        capture.open(path, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, DECODER_THREADS])
    if not turned:
        capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)
    opened: VideoCapture = capture
    return opened
