"""A limit on the frames per second of a source; those that pass are evenly spaced by its own clock."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from fer_edge.capture.frames import Frame, Source

__all__ = ["Pace", "RateLimited", "limit_rate"]

_EARLY: Final[float] = 0.1
"""A frame may come early by this part of the interval: cameras are not on time to the millisecond."""


class Pace:
    """Chooses frames so that at most ``max_fps`` of them pass per second, on average and without bursts.

    Args:
        max_fps: frames per second, above 0.
    """

    def __init__(self, max_fps: float) -> None:
        self._interval_s = 1.0 / max_fps
        self._due_s: float | None = None

    def takes(self, time_s: float) -> bool:
        """Whether the frame of this time passes.

        Args:
            time_s: by the source's clock, in seconds.

        Returns:
            True for the first one, and for each that is not too early after those before it.
        """
        if self._due_s is not None and self._due_s - 2 * self._interval_s < time_s:
            if time_s < self._due_s - _EARLY * self._interval_s:
                return False
            # From the time that was due, not from now: 30 frames per second make 20, not 15, where 20 are allowed.
            self._due_s = max(self._due_s + self._interval_s, time_s)
            return True
        self._due_s = time_s + self._interval_s  # the first frame, or the clock went back
        return True


class RateLimited:
    """A source of which frames are left out; they keep the numbers that the source gave them.

    Args:
        source: the source, open.
        max_fps: frames per second, above 0.
    """

    def __init__(self, source: Source, max_fps: float) -> None:
        self._source = source
        self._pace = Pace(max_fps)
        self.description = source.description
        self.live = source.live
        self.continuous = source.continuous
        self.fps: float | None = max_fps if source.fps is None else min(max_fps, source.fps)
        if hasattr(source, "n_frames"):  # a file, see motion_by_default; how many will come is not known
            self.n_frames: int | None = None

    @property
    def state(self) -> str:
        """See :attr:`Source.state`."""
        return self._source.state

    def frames(self) -> Iterator[Frame]:
        """See :meth:`Source.frames`."""
        for frame in self._source.frames():
            if self._pace.takes(frame.time_s):
                yield frame

    def stop(self) -> None:
        """See :meth:`Source.stop`."""
        self._source.stop()


def limit_rate(source: Source, max_fps: float) -> Source:
    """A video, camera or stream with at most ``max_fps`` frames per second; images stay as they are.

    Args:
        source: the source, open.
        max_fps: frames per second, above 0.

    Returns:
        The source to read from.
    """
    return RateLimited(source, max_fps) if source.continuous else source
