"""Annotated pictures to a file: a video, or for an image source an image."""

from __future__ import annotations

import contextlib
import math
import os
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from fer_edge.arrays import Image, room_behind
from fer_edge.capture.sniff import IMAGE_SUFFIXES
from fer_edge.errors import DeviceError, UsageError
from fer_edge.files import atomic_path, ffmpeg_name
from fer_edge.logs import LOG
from fer_edge.outputs.draw import annotate, shrunk
from fer_edge.outputs.encoder import exact_fps, sustained_fps
from fer_edge.outputs.jsonl import make_folder
from fer_edge.outputs.recording import Recording, can_survive
from fer_edge.outputs.written import Written
from fer_edge.results import Result

CODECS: Final[dict[str, str]] = {".mp4": "mp4v", ".m4v": "mp4v", ".mkv": "mp4v", ".avi": "MJPG", ".webm": "VP80"}
"""Suffix -> codec that OpenCV's wheels can write everywhere. ``.webm`` plays in browsers."""
DEFAULT_FPS: Final[float] = 25.0
LIVE_FPS: Final[float] = 15.0
MOST_PIXELS: Final[dict[str, int]] = {"VP80": 1920 * 1080}
"""Codec -> pixels of a picture at most, its width times its height; a larger one is shrunk.

VP8 takes 370 MiB and 0.4 s for a picture of 3840x2160, the other codecs a quarter and a fifth of that.
"""
MAX_FILL_S: Final[float] = 5.0
"""Longest gap of a live source that is filled with its last picture; a longer one is cut out."""


class VideoRecorder:
    """Writes annotated frames at a constant rate.

    A file's frames are written one by one at its own rate. A live source has no constant rate: its frames are repeated
    or left out, so that the recording plays at true speed, at no higher a rate than this machine encodes. Whatever
    happens, all but the last second can be played: see :mod:`fer_edge.outputs.recording`. Where that does not work
    (Windows, OpenCV before 4.8) the file appears when it is whole.
    """

    name = "video"
    lossless = True
    wants_own = True
    finish_s = 600.0
    """Copying hours of video into its final container takes longer than the other outputs' end."""

    def __init__(
        self, path: str | os.PathLike[str], *, fps: float | None = None, live: bool = False, blur: bool = False
    ) -> None:
        self.path = Path(path)
        suffix = self.path.suffix.lower()
        if suffix not in CODECS:
            raise UsageError(f"--save {path}: expected a name ending in {', '.join(CODECS)}")
        make_folder(self.path)
        self._codec = CODECS[suffix]
        self._fps = exact_fps(fps or (LIVE_FPS if live else DEFAULT_FPS))
        self._live = live
        self._blur = blur
        self._writer: Recording | _WholeFile | None = None
        self._size = (0, 0)
        self._widest: int | None = None
        self._written = 0
        self._start_s = 0.0
        self._last_s = 0.0
        self._canvas: Image | None = None
        self._last: Image | None = None

    def write(self, result: Result) -> None:
        """Add a frame; the first one decides the size, later ones of another size are fitted in."""
        if self._writer is None:
            self._widest = self._most_wide(result.image.shape[1], result.image.shape[0])
        if self._widest is not None:
            result = shrunk(result, self._widest)
        if self._writer is None:
            self._writer = self._open(result)
            self._start_s = result.time_s
        due = self._fill(result.time_s) if self._live else self._written + 1
        if due <= self._written:
            return
        drawn = self._drawn(result)
        del result  # its picture is of no use any more, and encoding takes long
        shown = fit(drawn, *self._size)
        self._writer.write(shown)
        self._written += 1
        self._last = shown if self._live else None

    def _drawn(self, result: Result) -> Image:
        """The picture with what is drawn on it: its own one where that may be, else the copy made for all of them."""
        if result.own:
            return annotate(result, blur=self._blur, into=result.image)
        if self._canvas is None or self._canvas.shape != result.image.shape:
            self._canvas = room_behind(result.image.shape)
        return annotate(result, blur=self._blur, into=self._canvas)

    def _fill(self, time_s: float) -> int:
        """Repeat the last picture up to ``time_s`` seconds; how many pictures there have to be then."""
        assert self._writer is not None
        if time_s - self._last_s > MAX_FILL_S:
            self._start_s += time_s - self._last_s - 1.0 / self._fps
        self._last_s = time_s
        due = int((time_s - self._start_s) * self._fps) + 1
        if self._last is not None:
            for _ in range(due - self._written - 1):
                self._writer.write(self._last)
                self._written += 1
        return due

    def _most_wide(self, width: int, height: int) -> int | None:
        """How wide a picture may be at most, None: as it is."""
        most = MOST_PIXELS.get(self._codec)
        if most is None or width * height <= most:
            return None
        widest = int(width * math.sqrt(most / (width * height))) // 2 * 2
        LOG.info(
            f"{self.path.name}: pictures of {width}x{height} are recorded {widest} pixels wide, as more takes too much "
            "memory and time; .mp4 and .mkv keep the size"
        )
        return widest

    def _open(self, first: Result) -> Recording | _WholeFile:
        # Codecs halve the colour planes: odd sizes lose a line or fail.
        height, width = first.image.shape[:2]
        self._size = (width + width % 2, height + height % 2)
        if self._live:
            can = sustained_fps(fit(self._drawn(first), *self._size), self._codec, self.path.suffix.lower())
            if can < self._fps:
                self._fps = exact_fps(max(1.0, can))
                LOG.info(f"{self.path.name}: {self._fps:.1f} pictures per second, as many as this machine can encode")
        kind = Recording if can_survive() else _WholeFile
        return kind(self.path, self._codec, self._fps, self._size)

    def close(self) -> None:
        """Finish the file; without a single frame there is none."""
        if self._writer is not None:
            writer, self._writer = self._writer, None
            writer.close()

    def written(self) -> Written:
        """The frames of the video."""
        return Written(self._written, "frame", self.path)


class _WholeFile:
    """A video that appears when it is finished."""

    def __init__(self, destination: Path, codec: str, fps: float, size: tuple[int, int]) -> None:
        self._scope = contextlib.ExitStack()
        temporary = self._scope.enter_context(atomic_path(destination))
        self._writer = cv2.VideoWriter(
            ffmpeg_name(temporary), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*codec), fps, size
        )
        if not self._writer.isOpened():
            error = DeviceError(f"OpenCV cannot write {destination} ({codec}, {size[0]}x{size[1]}); try a name in .avi")
            self._scope.__exit__(DeviceError, error, None)
            raise error

    def write(self, image: Image) -> None:
        self._writer.write(image)

    def close(self) -> None:
        self._writer.release()
        self._scope.close()


class ImageWriter:
    """Writes the annotated picture of an image source; further pages as ``NAME-2.SUFFIX`` (3, ...)."""

    name = "image"
    lossless = True

    def __init__(self, path: str | os.PathLike[str], *, blur: bool = False) -> None:
        self.path = Path(path)
        make_folder(self.path)
        self._blur = blur
        self._pages = 0

    def write(self, result: Result) -> None:
        """Write the picture."""
        self._pages += 1
        destination = self.path
        if self._pages > 1:
            destination = destination.with_name(f"{destination.stem}-{self._pages}{destination.suffix}")
        done, encoded = cv2.imencode(self.path.suffix.lower(), annotate(result, blur=self._blur))
        if not done:
            raise DeviceError(f"OpenCV cannot write {self.path}; try a name ending in .png")
        with atomic_path(destination) as temporary:
            temporary.write_bytes(encoded.tobytes())

    def close(self) -> None:
        """Nothing is open."""

    def written(self) -> Written:
        """The pages; further ones lie beside the first."""
        return Written(self._pages, "image", self.path)


def open_recorder(
    path: str | os.PathLike[str], *, single_image: bool, fps: float | None, live: bool, blur: bool
) -> VideoRecorder | ImageWriter:
    """The recorder that fits the name; raises :class:`UsageError` for a name that nothing fits."""
    if Path(path).suffix.lower() in IMAGE_SUFFIXES:
        if not single_image:
            raise UsageError(
                f"--save {path}: an image can be made of a single image only; expected a name ending in "
                f"{', '.join(CODECS)}, or a folder"
            )
        return ImageWriter(path, blur=blur)
    if single_image and Path(path).suffix.lower() not in CODECS:
        raise UsageError(f"--save {path}: expected a name ending in {', '.join(CODECS)}, .jpg or .png, or a folder")
    return VideoRecorder(path, fps=fps, live=live, blur=blur)


def fit(image: Image, width: int, height: int) -> Image:
    """``image`` in the middle of a black picture of this size, shrunk if it must be, its proportions kept."""
    image_height, image_width = image.shape[:2]
    if (image_width, image_height) == (width, height):
        return image
    scale = min(width / image_width, height / image_height, 1.0)
    size = (max(1, round(image_width * scale)), max(1, round(image_height * scale)))
    canvas = np.zeros((height, width, 3), np.uint8)
    top, left = (height - size[1]) // 2, (width - size[0]) // 2
    shrunk = image if scale == 1.0 else cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    canvas[top : top + size[1], left : left + size[0]] = shrunk
    return canvas
