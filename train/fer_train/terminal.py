"""The progress bar of the data tools."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

from fer_train.logs import LOG

if TYPE_CHECKING:
    from fer_train.on_progress import OnProgress

__all__ = ["progress_bar"]


@contextlib.contextmanager
def progress_bar(label: str) -> Iterator[OnProgress]:
    """A bar on standard error with the time that is left.

    There is none where standard error is not a terminal, without Rich, and with ``--quiet``.

    Args:
        label: what is under way, before the bar.

    Yields:
        What to call with ``(done, total)``.
    """
    try:
        from rich.console import Console
        from rich.progress import Progress as Bars
    except ImportError:
        yield _shows_nothing
        return
    console = Console(stderr=True, force_jupyter=False)
    with Bars(
        console=console, disable=not console.is_terminal or not LOG.isEnabledFor(logging.INFO), transient=True
    ) as bars:
        task = bars.add_task(label, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)


def _shows_nothing(done: int, total: int) -> None:
    """The progress of which nobody sees anything."""
