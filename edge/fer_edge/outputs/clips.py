"""Short videos of what led to an event and what followed: an emotion that a face has shown for some seconds."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np

from fer_edge.arrays import Image
from fer_edge.files import unused_path
from fer_edge.labels import EMOTIONS
from fer_edge.logs import LOG
from fer_edge.outputs.camera_name import plain
from fer_edge.outputs.draw import shrunk
from fer_edge.outputs.image_folder import make_image_folder
from fer_edge.outputs.video import VideoRecorder
from fer_edge.results import Result

__all__ = ["CLIP_EMOTIONS", "CLIP_FPS", "CLIP_WIDTH", "MAX_CLIP_S", "WAITING_BYTES", "ClipOptions", "ClipRecorder"]

CLIP_EMOTIONS: Final[tuple[str, ...]] = tuple(name for name in EMOTIONS if name != "neutral")
"""What counts as an event where nothing else is asked for."""
CLIP_FPS: Final[float] = 10.0
CLIP_WIDTH: Final[int] = 1280
"""Wider pictures are shrunk to it, in pixels."""
MAX_CLIP_S: Final[float] = 120.0
"""An event that goes on for longer goes on in the next clip, in seconds."""
WAITING_BYTES: Final[int] = 32 << 20
"""Of the pictures before an event, compressed; with more, the oldest are let go."""
_QUALITY: Final[int] = 85


@dataclass(frozen=True, kw_only=True)
class ClipOptions:
    """What is an event, and how much of it is kept."""

    emotions: Collection[str] = CLIP_EMOTIONS
    """Those that count."""
    hold_s: float = 2.0
    """Time for which a face must have shown one of them, in seconds."""
    before_s: float = 5.0
    """Of the clip, before the emotion began, in seconds."""
    after_s: float = 5.0
    """Of the clip, after it ended, in seconds."""
    blur: bool = False
    """Whether faces are made unrecognisable."""
    keep_days: float | None = None
    """Clips of this camera that are older are deleted at the start and after each clip; None keeps all, in days."""


@dataclass(frozen=True)
class _Waiting:
    """A result whose picture is compressed."""

    result: Result
    jpeg: Image


class ClipRecorder:
    """Writes a clip to ``FOLDER/NAME-DATE-TIME-EMOTION.mp4`` for each event.

    Pictures of the last seconds wait in memory, as JPEG; nothing is written without an event.

    Args:
        folder: made if it is not there.
        name: of the camera, for the file names.
        options: what is an event.
        clock: seconds since 1970, for the file names.

    Raises:
        UsageError: the folder cannot be one.
    """

    name = "clips"
    lossless = True
    lets_go = True
    finish_s = 60.0

    def __init__(
        self,
        folder: str | os.PathLike[str],
        name: str,
        options: ClipOptions | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.folder = make_image_folder(folder, [])
        self._options = options or ClipOptions()
        self._camera = plain(name)
        self._clock = clock
        self._waiting: deque[_Waiting] = deque()
        self._bytes = 0
        self._next_s = 0.0
        self._since: dict[int, tuple[str, float]] = {}
        """``{track: (its emotion, since when by the source's clock)}``."""
        self._fired: set[tuple[int, str, float]] = set()
        self._recorder: VideoRecorder | None = None
        self._ends_s = self._began_s = self._last_s = 0.0
        self._title = ""
        self._delete_old()

    def write(self, result: Result) -> None:
        """Take one result.

        Args:
            result: the next one of the source.

        Raises:
            OSError: the disk is full.
        """
        time_s = result.time_s
        if time_s < self._last_s:  # the source's clock has gone back
            self._forget()
        self._last_s = time_s
        held, new = self._held(result)
        result = shrunk(result, CLIP_WIDTH)
        if self._recorder is None and new is not None:
            self._begin(new, time_s)
        if self._recorder is None:
            self._wait(result)
            return
        if held:
            self._ends_s = time_s + self._options.after_s
        self._recorder.write(result)
        if time_s >= self._ends_s or time_s - self._began_s >= MAX_CLIP_S:
            self._end()

    def _held(self, result: Result) -> tuple[bool, str | None]:
        """Whether a face has held an emotion for long enough, and the emotion of a face of which that is new."""
        held, new = False, None
        since: dict[int, tuple[str, float]] = {}
        for face in result.faces:
            if face.emotion is None or face.emotion not in self._options.emotions:
                continue
            before = self._since.get(face.track_id)
            begun = before if before is not None and before[0] == face.emotion else (face.emotion, result.time_s)
            since[face.track_id] = begun
            if result.time_s - begun[1] >= self._options.hold_s:
                held = True
                event = (face.track_id, *begun)
                if event not in self._fired:
                    new = new or face.emotion
                    self._fired.add(event)
        self._since = since
        self._fired = {event for event in self._fired if since.get(event[0]) == event[1:]}
        return held, new

    def _wait(self, result: Result) -> None:
        if result.time_s < self._next_s:
            return
        self._next_s = result.time_s + 0.9 / CLIP_FPS
        jpeg = np.asarray(cv2.imencode(".jpg", result.image, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1], np.uint8)
        nothing = np.empty((0, 0, 3), np.uint8)
        self._waiting.append(_Waiting(replace(result, frame=replace(result.frame, image=nothing, small=None)), jpeg))
        self._bytes += jpeg.nbytes
        keep_s = self._options.before_s + self._options.hold_s
        while self._waiting and (
            self._waiting[0].result.time_s < result.time_s - keep_s or self._bytes > WAITING_BYTES
        ):
            self._bytes -= self._waiting.popleft().jpeg.nbytes

    def _begin(self, emotion: str, time_s: float) -> None:
        moment = time.strftime("%Y%m%d-%H%M%S", time.localtime(self._clock()))
        path = unused_path(self.folder / f"{self._camera}-{moment}-{emotion}.mp4")
        self._recorder = VideoRecorder(path, fps=CLIP_FPS, live=True, blur=self._options.blur)
        self._title = f"{emotion} for {self._options.hold_s:g} s"
        self._began_s, self._ends_s = time_s, time_s + self._options.after_s
        while self._waiting:
            waiting = self._waiting.popleft()
            image = cv2.imdecode(waiting.jpeg, cv2.IMREAD_COLOR)
            if image is not None:
                frame = replace(waiting.result.frame, image=np.asarray(image, np.uint8))
                self._recorder.write(replace(waiting.result, frame=frame))
        self._bytes = 0

    def _end(self) -> None:
        recorder, self._recorder = self._recorder, None
        if recorder is not None:
            recorder.close()
            LOG.info(f"{self._title}: {recorder.path}")
            self._delete_old()

    def _delete_old(self) -> None:
        if self._options.keep_days is None:
            return
        # Only what bears a name that this class gives: people keep other files in such a folder, too.
        own = re.compile(rf"{re.escape(self._camera)}-\d{{8}}-\d{{6}}-({'|'.join(EMOTIONS)})(-\d+)?\.mp4")
        oldest_s = self._clock() - self._options.keep_days * 86_400
        with contextlib.suppress(OSError):  # of a folder that is out of reach, which a recording will report
            for path in self.folder.iterdir():
                if own.fullmatch(path.name) and path.stat().st_mtime < oldest_s:
                    path.unlink(missing_ok=True)

    def _forget(self) -> None:
        self._end()
        self._waiting.clear()
        self._since.clear()
        self._fired.clear()
        self._bytes, self._next_s = 0, 0.0

    def close(self) -> None:
        """Finish the clip that is being written."""
        self._end()
