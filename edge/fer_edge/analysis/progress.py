"""How far all files together are, on one line of a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TextIO

from fer_edge.analysis.one_file import Job, Outcome
from fer_edge.app.progress_line import ProgressLine, duration_text

__all__ = ["FilesProgress"]

_EACH: Final[int] = 50_000
"""What a file costs besides its bytes, in bytes: opening it, its tables, its picture."""


class FilesProgress(ProgressLine):
    """``41 %, 83 of 200 files, 2 broken, 0:37 left``; files count by their size, those that are done already do not.

    Args:
        jobs: all files.
        stream: where the line goes; None is standard error.
    """

    def __init__(self, jobs: Sequence[Job], stream: TextIO | None = None) -> None:
        super().__init__(stream)
        self._weights = {job.number: job.size + _EACH for job in jobs}
        self._all = sum(self._weights.values())
        self._shares: dict[int, float] = {}
        self._n_done = self._n_broken = self._done = 0
        self._n_files = len(jobs)
        self.start(None)

    def partly_done(self, number: int, share: float) -> None:
        """A file is partly done.

        Args:
            number: of its job.
            share: in [0, 1].
        """
        self._shares[number] = share
        self._show()

    def ended(self, outcome: Outcome) -> None:
        """A file has ended.

        Args:
            outcome: what became of it.
        """
        weight = self._weights[outcome.number]
        self._shares.pop(outcome.number, None)
        self._n_done += 1
        self._n_broken += bool(outcome.error)
        if outcome.is_known:
            self._all -= weight
        else:
            self._done += weight
        self._show()

    def _show(self) -> None:
        self.update(max(1, self._n_done))

    def text(self, done: int, seconds: float) -> str:
        """The line; see :class:`ProgressLine`.

        Args:
            done: not used.
            seconds: since the start.

        Returns:
            Text without its end.
        """
        del done
        partly = sum(self._weights[number] * share for number, share in self._shares.items())
        share = min(1.0, (self._done + partly) / self._all) if self._all else 1.0
        broken = f", {self._n_broken} broken" if self._n_broken else ""
        left = f", {duration_text((1 - share) / share * seconds)} left" if share > 0 else ""
        return f"{share:.0%}, {self._n_done} of {self._n_files} files{broken}{left}".replace("%", " %", 1)
