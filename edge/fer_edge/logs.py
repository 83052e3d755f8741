"""Notices: one logger a package, and how a command shows them on standard error.

Modules log to the logger of their package, here ``logging.getLogger("fer_edge")``: INFO for what is worth knowing (a
camera is back), WARNING for what makes answers worse or is about to (a slower face detector, a camera that is lost),
ERROR for an output that ended. In a program of its own, Python shows those from WARNING up; ``logging`` configures
the rest.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable, Iterator
from typing import Final

__all__ = ["LOG", "LOGGERS", "making_room", "set_verbosity", "shown_on_stderr"]

LOG: Final = logging.getLogger("fer_edge")
LOGGERS: Final = tuple(logging.getLogger(name) for name in ("fer_edge", "fer_train", "fer_export", "fer_bench"))
"""Those of all four packages: a command of one runs code of the others, too."""
_BEFORE: Final[list[Callable[[], None]]] = []
"""What makes room on the terminal before a line is written: a progress line removes itself."""


def _without_passwords(record: logging.LogRecord) -> bool:
    from fer_edge.redact import redact  # late: most runs say nothing

    record.msg, record.args = redact(record.getMessage()), None
    return True


LOG.addFilter(_without_passwords)  # before any handler, those of other programs, too


class _Lines(logging.Handler):
    """Writes ``prog: text`` to whatever ``sys.stderr`` is at that moment: it is led away and back in between."""

    def __init__(self, prog: str) -> None:
        super().__init__()
        self.prog = prog

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line; a closed standard error does not stop the command."""
        kind = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        for make_room in _BEFORE:
            make_room()
        with contextlib.suppress(OSError, ValueError, AttributeError):
            sys.stderr.write(f"{self.prog}: {kind}{record.getMessage()}\n")


@contextlib.contextmanager
def shown_on_stderr(prog: str) -> Iterator[None]:
    """Within it, notices of the toolkit from INFO up are lines of the command ``prog`` on standard error.

    Args:
        prog: name of the command, before each line.

    Yields:
        Nothing.
    """
    handler = _Lines(prog)
    before = [(log, log.level, log.propagate) for log in LOGGERS]
    for log in LOGGERS:
        log.addHandler(handler)
        log.setLevel(logging.INFO)
        log.propagate = False  # TensorFlow's absl gives the root logger a handler of its own: no line twice
    try:
        yield
    finally:
        for log, level, propagate in before:
            log.removeHandler(handler)
            log.setLevel(level)
            log.propagate = propagate


@contextlib.contextmanager
def making_room(make_room: Callable[[], None]) -> Iterator[None]:
    """Within it ``make_room`` is called before each line that is shown.

    Args:
        make_room: for example, wipes a line of progress.

    Yields:
        Nothing.
    """
    _BEFORE.append(make_room)
    try:
        yield
    finally:
        _BEFORE.remove(make_room)


def set_verbosity(*, quiet: bool = False, verbose: bool = False) -> None:
    """What ``--quiet`` (errors only) and ``--verbose`` (all) mean; without them, INFO and above.

    Args:
        quiet: show errors only.
        verbose: show debug messages, too.
    """
    for log in LOGGERS:
        log.setLevel(logging.ERROR if quiet else logging.DEBUG if verbose else logging.INFO)
