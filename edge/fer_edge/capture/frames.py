"""What every source yields: frames, and the options that sources share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fer_edge.arrays import Image
from fer_edge.capture.orientation import UPRIGHT

__all__ = ["CaptureOptions", "Frame", "Source"]


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
    """In pixels."""
    height: int | None = None
    """In pixels."""
    fps: float | None = None
    """Frames per second."""
    mjpg: bool = False
    """Ask a USB camera for compressed frames: most give their higher sizes and rates only so."""
    realtime: bool = False
    """Play a video file at its own pace, as if it were a camera."""
    loop: bool = False
    """Play a video file again and again."""
    orientation: int = UPRIGHT
    """How the camera is mounted, 1 to 8 (see :mod:`fer_edge.capture.orientation`): every frame is turned by it."""


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

        Returns:
            An iterator that ends with the source, or soon after :meth:`stop`.

        Raises:
            SourceError: a file turns out unreadable.
        """
        ...

    def stop(self) -> None:
        """Ask :meth:`frames` to end soon; may be called from any thread, any number of times."""
        ...
