"""The answer in words on standard output: a line for each face of an image, the shares of a video at its end.

One line per face: its number (as drawn in pictures, from left to right), then what it shows, the likeliest first.
"""

from __future__ import annotations

import sys
from collections import Counter
from typing import Final

from fer_edge.command import counted
from fer_edge.labels import EMOTIONS
from fer_edge.outputs.draw import UNCERTAIN
from fer_edge.results import Face, Result

SHOWN_PROBABILITY: Final[float] = 0.05
"""Smaller probabilities are left out of a line."""
SHOWN_FACES: Final[int] = 10
KEPT_TRACKS: Final[int] = 500
"""Of a source without end, the faces seen longest; the others count in the total alone."""


def face_line(face: Face) -> str:
    """``face 1: happy 0.80, neutral 0.10``, with "uncertain" in front where the answer is."""
    ranked = sorted(zip(face.probabilities, EMOTIONS, strict=True), key=lambda item: -float(item[0]))
    shown = [f"{name} {p:.2f}" for p, name in ranked if p >= SHOWN_PROBABILITY]
    if face.emotion is None:
        return f"face {face.track_id}: {UNCERTAIN} ({', '.join(shown)})"
    if not shown[0].startswith(face.emotion):  # over time the answer changes later than the average
        shown = [item for item in shown if not item.startswith(face.emotion)]
        shown.insert(0, f"{face.emotion} {face.probabilities[EMOTIONS.index(face.emotion)]:.2f}")
    return f"face {face.track_id}: {', '.join(shown)}"


def printable(text: str) -> str:
    """``text`` for a terminal: a file name may hold control characters."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


class Shares:
    """How often each emotion was seen, over all faces and for each."""

    def __init__(self) -> None:
        self.frames = 0
        self.total: Counter[str] = Counter()
        self.tracks: dict[int, Counter[str]] = {}
        self._forgotten = False

    def add(self, result: Result) -> None:
        """Count a frame."""
        self.frames += 1
        for face in result.faces:
            emotion = face.emotion or UNCERTAIN
            self.total[emotion] += 1
            self.tracks.setdefault(face.track_id, Counter())[emotion] += 1
        if len(self.tracks) > 2 * KEPT_TRACKS:
            self.tracks = dict(self._longest()[:KEPT_TRACKS])
            self._forgotten = True

    def _longest(self) -> list[tuple[int, Counter[str]]]:
        return sorted(self.tracks.items(), key=lambda item: (-item[1].total(), item[0]))

    def lines(self) -> list[str]:
        """All faces together (where there is more than one), then each, those seen longest."""
        frames = counted(self.frames, "frame")
        if not self.total:
            return [f"no face found in {frames}"]
        longest = self._longest()
        lines = []
        if len(longest) > 1 or self._forgotten:
            lines.append(f"all faces in {frames}: {_shares(self.total)}")
        shown = sorted(longest[:SHOWN_FACES])
        lines.extend(f"face {track} in {counted(seen.total(), 'frame')}: {_shares(seen)}" for track, seen in shown)
        if len(longest) > SHOWN_FACES:
            more = "many" if self._forgotten else str(len(longest) - SHOWN_FACES)
            lines.append(f"and {more} more, seen in fewer frames")
        return lines


def _shares(seen: Counter[str]) -> str:
    total = seen.total()
    return ", ".join(f"{name} {count / total:.0%}" for name, count in seen.most_common())


class Answers:
    """Prints results as any output takes them.

    Args:
        title: names the source in front of each line; empty for the only one.
        continuous: a video or a camera, whose shares are printed at the end; else every image's faces are.
        follow: also a line whenever a face's answer changes: for a camera that nothing else shows.
    """

    name = "standard output"
    lossless = True
    lets_go = True

    def __init__(self, *, title: str = "", continuous: bool, follow: bool = False) -> None:
        self._title = title
        self._continuous = continuous
        self._follow = follow
        self._last: dict[int, str | None] = {}
        self.shares = Shares()

    def write(self, result: Result) -> None:
        """Take one result; raises ``BrokenPipeError`` when the reader is gone."""
        if not self._continuous:
            where = str(result.frame.path) if result.frame.path is not None else self._title
            self._print(where, [face_line(face) for face in result.faces] or ["no face found"])
            return
        self.shares.add(result)
        if self._follow:
            changed = [face for face in result.faces if self._last.get(face.track_id, "") != face.emotion]
            self._last = {face.track_id: face.emotion for face in result.faces}
            self._print(f"{self._title} {result.time_s:.1f} s".lstrip(), [face_line(face) for face in changed])

    def close(self) -> None:
        """Print the shares of a video."""
        if self._continuous and self.shares.frames:
            self._print(self._title, self.shares.lines())

    @staticmethod
    def _print(where: str, lines: list[str]) -> None:
        if sys.stdout is None or not lines:
            return
        front = f"{printable(where)}: " if where else ""
        sys.stdout.write("".join(f"{front}{line}\n" for line in lines))
        sys.stdout.flush()
