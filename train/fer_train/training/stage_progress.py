"""Live progress on the terminal: epochs, batches, speed and the time that is left."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from fer_train.logs import LOG

__all__ = ["StageProgress", "stage_progress"]


class StageProgress:
    """Two bars: the whole stage in images, with its remaining time, and the running epoch in batches.

    Args:
        progress: the bars of Rich.
        stage: its name.
        epochs: of the whole stage.
        steps: batches of one epoch.
        done_epochs: that were done before.
    """

    def __init__(self, progress: Progress, stage: str, epochs: int, steps: int, done_epochs: int) -> None:
        self._progress = progress
        self._steps = steps
        self._epochs = epochs
        self._all = progress.add_task(stage, total=epochs * steps, completed=done_epochs * steps, note="")
        self._one = progress.add_task("", total=steps, note="")

    def start_epoch(self, epoch: int, done: int = 0) -> None:
        """Show which epoch begins.

        Args:
            epoch: counted from 0.
            done: batches of it that were done before.
        """
        self._progress.reset(self._one, description=f"  epoch {epoch + 1}/{self._epochs}", total=self._steps)
        self._progress.advance(self._one, done)
        self._progress.advance(self._all, done)

    def step(self, note: str = "") -> None:
        """One batch is done.

        Args:
            note: shown beside the bar; empty keeps the last one.
        """
        self._progress.advance(self._one)
        self._progress.advance(self._all)
        if note:
            self._progress.update(self._one, note=note)

    def say(self, line: str) -> None:
        """Log a lasting line; on a terminal Rich leads standard error, and so the line, above the bars.

        Args:
            line: one line.
        """
        LOG.info(line)


@contextlib.contextmanager
def stage_progress(stage: str, epochs: int, steps: int, done_epochs: int) -> Iterator[StageProgress]:
    """Bars for one stage; on an output that is not a terminal only the lasting lines appear.

    Args:
        stage: its name.
        epochs: of the whole stage.
        steps: batches of one epoch.
        done_epochs: that were done before.

    Yields:
        What to report progress to.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    console = Console(stderr=True, highlight=False, soft_wrap=True, force_jupyter=False)
    hidden = not console.is_terminal or not LOG.isEnabledFor(logging.INFO)
    with Progress(*columns, console=console, disable=hidden) as progress:
        yield StageProgress(progress, stage, epochs, steps, done_epochs)
