"""What the pipeline answers per frame: faces with their emotions, and the figures of a whole run."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final

from fer_edge.arrays import FloatArray, Image
from fer_edge.capture.frames import Frame
from fer_edge.faces.detection import Box
from fer_edge.labels import EMOTIONS

__all__ = ["AGES_KEPT", "MOMENTS_KEPT", "STAGES", "Face", "PipelineStats", "Result", "picture_bytes"]

STAGES: Final = ("capture", "detect", "classify", "rest")
AGES_KEPT: Final[int] = 2_000
MOMENTS_KEPT: Final[int] = 300


@dataclass(frozen=True)
class Face:
    """One face in one frame, and what it shows."""

    track_id: int
    """The same number as long as the face can be followed; starts at 1, never used again."""
    box: Box
    """``(x, y, w, h)`` in pixels of the source frame, inside it."""
    score: float
    """The detector's confidence, in [0, 1]."""
    emotion: str | None
    """One of :data:`fer_edge.labels.EMOTIONS`; None when the answer is uncertain."""
    probabilities: FloatArray
    """``(7,)``, averaged over time."""
    raw: FloatArray
    """``(7,)``, of this frame alone."""

    def as_dict(self) -> dict[str, Any]:
        """As in a JSON line.

        Returns:
            Plain JSON values; box in pixels, score with three and probabilities with four decimals.
        """
        return {
            "track_id": self.track_id,
            "box": list(self.box),
            "score": round(self.score, 3),
            "emotion": self.emotion,
            "probabilities": _named(self.probabilities),
            "raw": _named(self.raw),
        }


def _named(probabilities: FloatArray) -> dict[str, float]:
    return {name: round(float(p), 4) for name, p in zip(EMOTIONS, probabilities, strict=True)}


@dataclass(frozen=True)
class Result:
    """One frame and the faces in it, from left to right as they were detected."""

    frame: Frame
    """The picture, its number, its times and the file it came from."""
    faces: tuple[Face, ...]
    """Empty where there is none."""
    done_at: float
    """``time.monotonic()`` when the result was complete."""
    camera: str | None = None
    """Name of the camera, where there are several; see :class:`fer_edge.cameras.group.CameraGroup`."""
    own: bool = False
    """Whether nobody else needs the picture any more; see :func:`fer_edge.outputs.base.hand_out`."""

    @property
    def index(self) -> int:
        """Number of the frame in its source, from 0; ``frame`` in a JSON line."""
        return self.frame.index

    @property
    def time_s(self) -> float:
        """Seconds since the source's first frame, by the source's clock."""
        return self.frame.time_s

    @property
    def image(self) -> Image:
        """The frame, ``(H, W, 3)`` BGR uint8. Shared by all outputs: copy before drawing, unless :attr:`own`."""
        return self.frame.image

    @property
    def age_s(self) -> float:
        """Seconds from capture to result."""
        return self.done_at - self.frame.captured_at

    def as_dict(self) -> dict[str, Any]:
        """As in a JSON line.

        ``file`` is in it only where the source is a folder of images, ``camera`` only where there are several.

        Returns:
            Plain JSON values; ``frame`` is :attr:`index`, ``time_s`` is in seconds.
        """
        line: dict[str, Any] = {} if self.camera is None else {"camera": self.camera}
        line |= {"frame": self.index, "time_s": round(self.time_s, 4)}
        if self.frame.path is not None:
            line["file"] = str(self.frame.path)
        line["faces"] = [face.as_dict() for face in self.faces]
        return line


def picture_bytes(result: Result) -> int:
    """What the picture of a result takes in memory.

    Args:
        result: of a frame.

    Returns:
        Bytes.
    """
    return result.image.nbytes


@dataclass
class PipelineStats:
    """Counts and times so far; written by the pipeline's threads, to be read by anyone."""

    frames: int = 0
    """Results handed out."""
    faces: int = 0
    """Faces in them."""
    busy_s: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))
    """Seconds that each stage worked, waiting for its neighbours left out (``capture`` of a camera is mostly waiting
    for the camera): ``classify`` is the network alone, ``rest`` crop, resize and
    tracking."""
    dropped: int = 0
    """Frames of a live source that were not looked at, because newer ones had come."""
    widest: int = 0
    """Width of the widest frame so far, in pixels."""
    started_at: float = 0.0
    """``time.monotonic()`` of the start; 0 before it."""
    ended_at: float = 0.0
    """``time.monotonic()`` of the end; 0 before it."""
    ages_s: deque[float] = field(default_factory=lambda: deque(maxlen=AGES_KEPT))
    """Seconds from capture to result, of the latest frames."""
    done_at: deque[float] = field(default_factory=lambda: deque(maxlen=MOMENTS_KEPT))
    """``time.monotonic()`` of the latest results."""

    @property
    def elapsed_s(self) -> float:
        """Seconds since the first frame was asked for, until the last result if it has come."""
        if not self.started_at:
            return 0.0
        return (self.ended_at or time.monotonic()) - self.started_at

    @property
    def fps(self) -> float:
        """Results per second so far."""
        return self.frames / self.elapsed_s if self.elapsed_s > 0.0 else 0.0

    def age_percentiles_ms(self, *percents: float) -> list[float]:
        """Percentiles (nearest rank) of capture-to-result age in milliseconds; NaN before the first result.

        Args:
            percents: each in [0, 100].

        Returns:
            One value in milliseconds per percentage.
        """
        ages = sorted(self.ages_s)
        last = len(ages) - 1
        return [ages[round(last * percent / 100.0)] * 1e3 if ages else float("nan") for percent in percents]
