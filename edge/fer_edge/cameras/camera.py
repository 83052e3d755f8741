"""One camera of several: its source, read by a thread of its own, and all that is known of its faces.

A camera or stream that cannot be opened is tried again, with growing pauses, as one that is lost later. A file that
cannot be opened has failed. Neither disturbs the other cameras.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from fer_edge.capture.frames import Frame, Source
from fer_edge.capture.rate import limit_rate
from fer_edge.defaults import (
    DEFAULT_DETECT_EVERY,
    DEFAULT_HYSTERESIS,
    DEFAULT_MARGIN,
    DEFAULT_MIN_CONFIDENCE,
    DEFAULT_SEARCH,
    DEFAULT_SMOOTHING_S,
)
from fer_edge.errors import FerError, MissingDependencyError, UsageError
from fer_edge.faces.detection import DetectedFace, FaceDetector
from fer_edge.faces.search import FaceSearch
from fer_edge.faces.searched import Searched
from fer_edge.faces.tracks import Tracker
from fer_edge.logs import LOG
from fer_edge.pipeline import motion_by_default
from fer_edge.results import PipelineStats, Result

__all__ = ["IN_FLIGHT", "RETRY_PAUSES_S", "Camera", "CameraOptions"]

RETRY_PAUSES_S: Final = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Pauses before the attempts to open a camera that could not be opened; the last one repeats."""
IN_FLIGHT: Final[int] = 2
"""Frames of a file that are on their way at a time, so that a slow output of one camera holds back this one alone."""
_POLL_S: Final[float] = 0.1


@dataclass(frozen=True, kw_only=True)
class CameraOptions:
    """How the faces of one camera are found and answered; as for :class:`fer_edge.pipeline.FacePipeline`."""

    search: str = DEFAULT_SEARCH
    """``adaptive`` or ``full``."""
    detect_every: int = DEFAULT_DETECT_EVERY
    """Search every N-th frame only, and follow faces in between."""
    motion: bool | None = None
    """Search for new faces only where something has moved; None: where the source is a camera or a stream."""
    margin: float = DEFAULT_MARGIN
    """Extra space around a face, as a fraction of its box."""
    smoothing_s: float = DEFAULT_SMOOTHING_S
    """Time constant of the averaged probabilities, in seconds; 0 gives raw ones."""
    hysteresis: float = DEFAULT_HYSTERESIS
    """Lead in probability that a new label needs."""
    min_confidence: float = DEFAULT_MIN_CONFIDENCE
    """Below it the emotion is None."""
    max_fps: float | None = None
    """At most this many frames per second; None: all."""
    max_frames: int | None = None
    """Stop after this many results; None: never."""


@dataclass
class _Absent:
    """Stands for a source that is not open."""

    description: str
    state: str
    live: bool = True
    continuous: bool = True
    fps: float | None = None

    def frames(self) -> Iterator[Frame]:
        return iter(())

    def stop(self) -> None:
        """Nothing is open."""


class Camera:
    """A name, a source and what is known of its faces; give it to :class:`fer_edge.cameras.group.CameraGroup`.

    Args:
        name: unlike that of any other camera; in each of its results.
        opener: opens the source, in the camera's own thread; raises :class:`fer_edge.errors.FerError` where that fails.
        options: how faces are found and answered.
        keep_trying: whether a source that cannot be opened, or that fails, is opened again: a camera, not a file.
        description: of the source, for messages; no passwords.
    """

    def __init__(
        self,
        name: str,
        opener: Callable[[], Source],
        options: CameraOptions | None = None,
        *,
        keep_trying: bool = True,
        description: str = "",
    ) -> None:
        self.name = name
        self.options = options or CameraOptions()
        self.source: Source = _Absent(description or name, "starting")
        self.stats = PipelineStats()
        self.error: Exception | None = None
        """Why it has ended, or could not be opened at the last attempt; None where all is well."""
        self.tried = threading.Event()
        """Set when the source was opened, or could not be, for the first time."""
        self.opened = threading.Event()
        """Set when the source is open."""
        self.ended = threading.Event()
        """Set when no further result will come."""
        self._open = opener
        self._keep_trying = keep_trying
        self._stopped = threading.Event()
        self._search: FaceSearch | None = None
        self._tracker: Tracker | None = None
        self._thread: threading.Thread | None = None
        self._in_flight = 0
        self._landed = threading.Condition()

    def __repr__(self) -> str:
        return f"Camera({self.name!r}, {self.source.description!r})"

    @property
    def live(self) -> bool:
        """Whether frames are dropped where newer ones have come; True as long as the source is not open."""
        return self.source.live

    @property
    def alive(self) -> bool:
        """Whether its thread runs."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def stopping(self) -> bool:
        """Whether an end was asked for."""
        return self._stopped.is_set()

    @property
    def searched(self) -> Searched:
        """What was searched for faces so far."""
        return Searched() if self._search is None else self._search.searched

    @property
    def tracker(self) -> Tracker:
        """Who is who in its frames; there from its first frame on."""
        assert self._tracker is not None
        return self._tracker

    def start(self, detector: FaceDetector, give: Callable[[Camera, Frame], None]) -> None:
        """Open the source and read it, from a thread of its own.

        Args:
            detector: shared with other cameras.
            give: takes every frame; raises :class:`fer_edge.channel.ChannelClosed` at the end.
        """
        self._thread = threading.Thread(
            target=self._run, args=(detector, give), name=f"fer-capture-{self.name}", daemon=True
        )
        self._thread.start()

    def find(self, frame: Frame) -> list[DetectedFace]:
        """The faces in the next frame.

        Args:
            frame: of this camera.

        Returns:
            The faces from left to right.
        """
        assert self._search is not None
        began = time.perf_counter()
        faces = self._search.find(frame.image, frame.small, frame.time_s)
        self.stats.busy_s["detect"] += time.perf_counter() - began
        return faces

    def count(self, result: Result) -> None:
        """A result has come out.

        Args:
            result: of this camera.
        """
        stats = self.stats
        stats.frames += 1
        stats.faces += len(result.faces)
        stats.widest = max(stats.widest, result.image.shape[1])
        stats.ages_s.append(result.age_s)
        stats.done_at.append(result.done_at)
        if self.options.max_frames is not None and stats.frames >= self.options.max_frames:
            self.stop()

    def land(self) -> None:
        """A frame is no longer on its way: its result was handed over, or it was dropped."""
        with self._landed:
            self._in_flight -= 1
            self._landed.notify_all()

    def fail(self, error: Exception) -> None:
        """End because of an error that is not the source's.

        Args:
            error: what went wrong.
        """
        if self.error is None:
            self.error = error
            LOG.error("camera %s has ended: %s", self.name, _words(error))
        self.stop()

    def stop(self) -> None:
        """Ask for the end; may be called from any thread, any number of times."""
        self._stopped.set()
        self.source.stop()
        with self._landed:
            self._landed.notify_all()

    def join(self, timeout_s: float) -> bool:
        """Wait for the end.

        Args:
            timeout_s: at most this long, in seconds.

        Returns:
            Whether it has come; a driver that hangs holds its thread.
        """
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout_s)
            return not thread.is_alive()
        return True

    def _run(self, detector: FaceDetector, give: Callable[[Camera, Frame], None]) -> None:
        attempts = 0
        self.stats.started_at = time.monotonic()
        try:
            while not self.stopping:
                try:
                    self._begin(detector)
                    attempts = 0
                    if self._read(give) or not self._keep_trying:
                        return
                except Exception as error:
                    if self._is_final(error):
                        return
                    self._tell(error, attempts)
                pause_s = RETRY_PAUSES_S[min(attempts, len(RETRY_PAUSES_S) - 1)]
                attempts += 1
                self.source = _Absent(self.source.description, f"cannot be read, trying again every {pause_s:g} s")
                self.tried.set()
                self._stopped.wait(pause_s)
        finally:
            self._finish()

    def _begin(self, detector: FaceDetector) -> None:
        """Open the source; what is known of faces stays where it was open before."""
        source = self._open()
        if self.options.max_fps is not None:
            source = limit_rate(source, self.options.max_fps)
        if not source.continuous:
            source.stop()
            raise UsageError(
                f"{source.description} is not a video; several cameras at once are cameras, streams and videos. "
                "Images are read one after the other: fer-camera a.jpg b.jpg"
            )
        options = self.options
        motion = motion_by_default(source, options.search) if options.motion is None else options.motion
        self._search = FaceSearch(detector, mode=options.search, every=options.detect_every, motion=motion)
        if self._tracker is None:  # numbers of faces are never used again
            self._tracker = Tracker(
                smoothing_s=options.smoothing_s,
                hysteresis=options.hysteresis,
                min_confidence=options.min_confidence,
            )
        was_lost = self.error is not None
        self.source, self.error = source, None
        if self.stopping:  # the request came while it was being opened
            source.stop()
        self.opened.set()
        self.tried.set()
        if was_lost:
            LOG.info("camera %s is back", self.name)

    def _read(self, give: Callable[[Camera, Frame], None]) -> bool:
        """Hand every frame on; True at the end of the source."""
        from fer_edge.channel import ChannelClosed

        busy, source = self.stats.busy_s, self.source
        frames: Any = source.frames()
        with contextlib.closing(frames):
            began = time.perf_counter()
            for frame in frames:
                busy["capture"] += time.perf_counter() - began
                if not self._take_off(wait=not source.live):
                    return True
                try:
                    give(self, frame)
                except ChannelClosed:
                    return True
                del frame
                began = time.perf_counter()
        return True

    def _take_off(self, *, wait: bool) -> bool:
        with self._landed:
            while wait and self._in_flight >= IN_FLIGHT and not self.stopping:
                self._landed.wait()
            self._in_flight += 1
            return not self.stopping

    def _is_final(self, error: Exception) -> bool:
        """Whether an error of the source is the end of it; then it is reported."""
        never_better = isinstance(error, MissingDependencyError | UsageError)
        if self._keep_trying and not never_better:
            return False
        self.error = error
        self.source = _Absent(self.source.description, "failed")
        LOG.warning("camera %s is left out: %s", self.name, _words(error))
        return True

    def _tell(self, error: Exception, attempts: int) -> None:
        if attempts == 0 or self.error is None:
            LOG.warning("camera %s: %s; trying again until it is there", self.name, _words(error))
        self.error = error

    def _finish(self) -> None:
        """Wait until the frames on their way have arrived: what comes after this is the end."""
        with self._landed:
            self._landed.wait_for(lambda: self._in_flight <= 0 or self.stopping)
        self.stats.ended_at = time.monotonic()
        self.tried.set()
        self.ended.set()


def _words(error: Exception) -> str:
    return str(error) if isinstance(error, FerError) else f"{type(error).__name__}: {error}"
