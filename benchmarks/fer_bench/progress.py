"""How far a long measurement is: a bar with the time left on a terminal, a line now and then everywhere else."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

Progress = Callable[[float, str], None]
"""Takes the fraction done, in [0, 1], and what is being done."""

LINE_EVERY_S: Final[float] = 10.0


def silent(fraction: float, what: str) -> None:
    """Progress that nobody wants to see."""
    del fraction, what


def part(progress: Progress, begin: float, end: float, name: str | None = None) -> Progress:
    """The stretch from ``begin`` to ``end`` (fractions of the whole) as a progress of its own.

    ``name`` is reported instead of what the part reports itself.
    """
    return lambda fraction, what: progress(begin + (end - begin) * min(1.0, max(0.0, fraction)), name or what)


class Plan:
    """The stages of a measurement with the seconds that each will take, roughly: they weigh the bar."""

    def __init__(self, seconds: Mapping[str, float]) -> None:
        self.seconds = dict(seconds)

    @property
    def total_s(self) -> float:
        """Of all stages, in seconds."""
        return sum(self.seconds.values())

    def stage(self, progress: Progress, name: str) -> Progress:
        """What the stage ``name`` reports to; the stages come in the order in which they were given."""
        names = list(self.seconds)
        before = sum(self.seconds[one] for one in names[: names.index(name)])
        return part(progress, before / self.total_s, (before + self.seconds[name]) / self.total_s)


class Lines:
    """A line at most every ten seconds, for a log: what is being done, and how long the rest takes."""

    def __init__(self, write: Callable[[str], object], clock: Callable[[], float] = time.monotonic) -> None:
        self._write, self._clock = write, clock
        self._began = self._said = clock()

    def __call__(self, fraction: float, what: str) -> None:
        """Say it if it is time to."""
        now = self._clock()
        if now - self._said < LINE_EVERY_S:
            return
        self._said = now
        left = f", about {duration((now - self._began) * (1 - fraction) / fraction)} left" if fraction > 0 else ""
        self._write(f"fer-bench: {100 * fraction:.0f} %, {what}{left}\n")


def duration(seconds: float) -> str:
    """``40 s``, ``2 min``: as exact as an estimate is."""
    if seconds < 95:
        return f"{max(5, 5 * round(seconds / 5))} s"
    return f"{round(seconds / 60)} min"


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Progress on stderr: a bar on a terminal, :class:`Lines` elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    shown = Console(stderr=True, force_jupyter=False)
    if not shown.is_terminal:
        yield Lines(sys.stderr.write)
        return
    # Redrawn rarely: the bar must not become the busy neighbour of what it reports on.
    columns = (
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    with Bar(*columns, console=shown, refresh_per_second=2, transient=True) as bar:
        task = bar.add_task("", total=1.0)
        yield lambda fraction, what: bar.update(task, completed=fraction, description=what)
