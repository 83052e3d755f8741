"""The progress bar of the data tools."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from fer_edge.errors import MissingDependencyError
from fer_train.on_progress import Progress


@contextlib.contextmanager
def progress_bar(label: str) -> Iterator[Progress]:
    """A bar on stderr with the time that is left; nothing on an output that is no terminal."""
    try:
        from rich.console import Console
        from rich.progress import Progress as Bars
    except ImportError as error:
        raise MissingDependencyError.for_extra("rich", "train") from error
    console = Console(stderr=True, force_jupyter=False)
    with Bars(console=console, disable=not console.is_terminal, transient=True) as bars:
        task = bars.add_task(label, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)
