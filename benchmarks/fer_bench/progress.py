"""How far a long measurement is: a bar with the time left on a terminal, a line now and then everywhere else."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from fer_bench.log import LOG
from fer_edge.errors import MissingDependencyError

__all__ = ["LINE_EVERY_S", "Lines", "OnFraction", "Plan", "duration", "part", "progress_bar", "require_rich", "silent"]

OnFraction = Callable[[float, str], None]
"""Takes the fraction done, in [0, 1], and what is being done."""

LINE_EVERY_S: Final[float] = 10.0
"""Least time between two lines, in seconds."""


def silent(fraction: float, what: str) -> None:
    """Progress that nobody wants to see.

    Args:
        fraction: done, in [0, 1].
        what: is being done.
    """
    del fraction, what


def part(on_progress: OnFraction, begin: float, end: float, name: str | None = None) -> OnFraction:
    """The stretch from ``begin`` to ``end`` as a progress of its own.

    Args:
        on_progress: takes the progress of the whole.
        begin: fraction of the whole at which the part begins.
        end: fraction of the whole at which it ends.
        name: reported instead of what the part reports itself.

    Returns:
        Takes the progress of the part.
    """
    return lambda fraction, what: on_progress(begin + (end - begin) * min(1.0, max(0.0, fraction)), name or what)


class Plan:
    """The stages of a measurement with the seconds that each will take, roughly: they weigh the bar.

    Args:
        seconds: ``{stage: seconds}``, in the order of the stages.
    """

    def __init__(self, seconds: Mapping[str, float]) -> None:
        self.seconds = dict(seconds)

    @property
    def total_s(self) -> float:
        """Of all stages, in seconds."""
        return sum(self.seconds.values())

    def stage(self, on_progress: OnFraction, name: str) -> OnFraction:
        """What one stage reports to.

        Args:
            on_progress: takes the progress of the whole.
            name: of the stage.

        Returns:
            Takes the progress of the stage.
        """
        names = list(self.seconds)
        before = sum(self.seconds[phase] for phase in names[: names.index(name)])
        return part(on_progress, before / self.total_s, (before + self.seconds[name]) / self.total_s)


class Lines:
    """A notice at most every ten seconds, for a log: what is being done, and how long the rest takes.

    Args:
        clock: gives the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = self._reported = clock()

    def __call__(self, fraction: float, what: str) -> None:
        """Report it if it is time to."""
        now = self._clock()
        if now - self._reported < LINE_EVERY_S:
            return
        self._reported = now
        left = f", about {duration((now - self._began) * (1 - fraction) / fraction)} left" if fraction > 0 else ""
        LOG.info("%.0f %%, %s%s", 100 * fraction, what, left)


def duration(seconds: float) -> str:
    """``40 s``, ``2 min``: as exact as an estimate is.

    Args:
        seconds: the estimate.

    Returns:
        The text.
    """
    if seconds < 95:
        return f"{max(5, 5 * round(seconds / 5))} s"
    return f"{round(seconds / 60)} min"


def require_rich() -> None:
    """Fail before the work that tables and bar would show, not after it.

    Raises:
        MissingDependencyError: Rich is not installed.
    """
    try:
        import rich  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError.for_extra("rich", "bench") from error


@contextmanager
def progress_bar() -> Iterator[OnFraction]:
    """Progress on standard error: a bar on a terminal, :class:`Lines` elsewhere, nothing with ``--quiet``.

    Yields:
        Takes the progress.

    Raises:
        MissingDependencyError: Rich is not installed.
    """
    require_rich()
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    shown = Console(stderr=True, force_jupyter=False)
    if not LOG.isEnabledFor(logging.INFO):
        yield silent
        return
    if not shown.is_terminal:
        yield Lines()
        return
    # Redrawn rarely: the bar must not become the busy neighbour of what it reports on.
    columns = (
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=shown, refresh_per_second=2, transient=True) as bar:
        task = bar.add_task("", total=1.0)
        yield lambda fraction, what: bar.update(task, completed=fraction, description=what)
