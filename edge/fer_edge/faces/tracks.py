"""Who is who across frames, and answers that do not flicker.

Boxes are joined to tracks by overlap. FloatArray are averaged over time with a time constant in seconds, so that
the result means the same at any frame rate; the label changes only when another one leads clearly (hysteresis).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from fer_edge.arrays import FloatArray
from fer_edge.defaults import DEFAULT_HYSTERESIS, DEFAULT_SMOOTHING_S
from fer_edge.faces.detection import Box
from fer_edge.labels import EMOTIONS

__all__ = [
    "FORGET_AFTER_S",
    "MIN_OVERLAP",
    "NOMINAL_STEP_S",
    "TrackedAnswer",
    "Tracker",
    "match_boxes",
    "overlap",
]


FORGET_AFTER_S: Final[float] = 1.0
MIN_OVERLAP: Final[float] = 0.2
NOMINAL_STEP_S: Final[float] = 0.04
"""Weight of the first frame of a track, as if it had lasted this long: else it would outweigh the next dozen."""


@dataclass(frozen=True)
class TrackedAnswer:
    """What is known of one face after one frame."""

    track_id: int
    """From 1; the same as long as the face is followed."""
    emotion: str | None
    """None when no probability reaches the asked confidence."""
    probabilities: FloatArray
    """``(7,)`` float32, averaged over time."""


class _Track:
    def __init__(self, track_id: int, box: Box, time_s: float) -> None:
        self.track_id = track_id
        self.box = box
        self.seen_s = time_s
        self.label: int | None = None
        self._sum = np.zeros(len(EMOTIONS), np.float64)
        self._weight = 0.0

    def add(self, raw: FloatArray, step_s: float, smoothing_s: float) -> FloatArray:
        """Exponential average with time constant ``smoothing_s``, free of the bias towards its beginning."""
        keep = math.exp(-step_s / smoothing_s)
        self._sum = keep * self._sum + (1.0 - keep) * raw
        self._weight = keep * self._weight + (1.0 - keep)
        return (self._sum / self._weight).astype(np.float32)


class Tracker:
    """Gives each face an identity and a steady answer.

    Args:
        smoothing_s: time constant of the average in seconds; 0 for none, then hysteresis is off as well.
        hysteresis: lead in probability that a new label needs.
        min_confidence: below it the emotion is None.
        follow: False takes every frame as a new scene.
    """

    def __init__(
        self,
        *,
        smoothing_s: float = DEFAULT_SMOOTHING_S,
        hysteresis: float = DEFAULT_HYSTERESIS,
        min_confidence: float = 0.0,
        follow: bool = True,
    ) -> None:
        self.smoothing_s = smoothing_s
        self.hysteresis = hysteresis if smoothing_s > 0.0 else 0.0
        self.min_confidence = min_confidence
        self.follow = follow
        self._tracks: list[_Track] = []
        self._next_id = 1

    def update(self, time_s: float, boxes: Sequence[Box], raw: FloatArray) -> list[TrackedAnswer]:
        """Answers for the faces of the next frame, in the order of ``boxes``.

        ``time_s`` grows from call to call; ``raw`` is ``(len(boxes), 7)`` float32, the network's probabilities.

        Args:
            time_s: time of the frame in seconds; grows from call to call.
            boxes: the faces, ``(x, y, w, h)`` in pixels.
            raw: ``(len(boxes), 7)`` float32, the network's probabilities.

        Returns:
            One answer per box.
        """
        known = [t for t in self._tracks if time_s - t.seen_s <= FORGET_AFTER_S] if self.follow else []
        matched = match_boxes([track.box for track in known], boxes)
        answers = []
        current = []
        for number, box in enumerate(boxes):
            index = matched.get(number)
            if index is None:
                track, step_s = _Track(self._next_id, box, time_s), NOMINAL_STEP_S
                self._next_id += 1
            else:
                track = known[index]
                step_s = max(time_s - track.seen_s, 1e-3)
            track.box, track.seen_s = box, time_s
            current.append(track)
            smooth = track.add(raw[number], step_s, self.smoothing_s) if self.smoothing_s > 0.0 else raw[number]
            answers.append(TrackedAnswer(track.track_id, self._decide(track, smooth), smooth))
        taken = set(matched.values())
        self._tracks = current + [track for index, track in enumerate(known) if index not in taken]
        return answers

    def _decide(self, track: _Track, probabilities: FloatArray) -> str | None:
        best = int(np.argmax(probabilities))
        if track.label is None or probabilities[best] - probabilities[track.label] >= self.hysteresis:
            track.label = best
        return EMOTIONS[track.label] if probabilities[track.label] >= self.min_confidence else None


def overlap(a: Box, b: Box) -> float:
    """Intersection over union of two ``(x, y, w, h)`` boxes, in [0, 1].

    Args:
        a: ``(x, y, w, h)`` in pixels.
        b: the other box.

    Returns:
        0 where they do not meet, 1 where they are the same.
    """
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


def match_boxes(old: Sequence[Box], new: Sequence[Box]) -> dict[int, int]:
    """``{index in new: index in old}``, best overlap first; each box is used once, at least :data:`MIN_OVERLAP`.

    Args:
        old: boxes of the frame before.
        new: boxes of this frame.

    Returns:
        Pairs of indices; a new box without a partner is not in it.
    """
    pairs = sorted(((overlap(a, b), j, i) for i, a in enumerate(old) for j, b in enumerate(new)), reverse=True)
    matched: dict[int, int] = {}
    used: set[int] = set()
    for shared, j, i in pairs:
        if shared < MIN_OVERLAP:
            break
        if j not in matched and i not in used:
            matched[j] = i
            used.add(i)
    return matched
