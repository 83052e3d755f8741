"""One line on a terminal that says how far a file is: frames, rate, time left. Nothing where no terminal is."""

from __future__ import annotations

import contextlib
import shutil
import sys
import threading
import time
from collections.abc import Callable
from typing import Final, TextIO

from fer_edge.command import counted

__all__ = ["EVERY_S", "FIRST_S", "ProgressLine", "duration_text", "is_terminal", "progress_text"]

FIRST_S: Final[float] = 1.5
"""What is done sooner shows nothing."""
EVERY_S: Final[float] = 0.5
_CLEAR: Final[str] = "\r\x1b[K"  # carriage return, erase to the end of the line (ECMA-48, EL)


class ProgressLine:
    """Shows and removes the line; :meth:`clear` makes room for a notice. Any thread may call it.

    Args:
        stream: where the line goes; None is standard error.
        clock: seconds.
    """

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._clock = clock
        self._lock = threading.Lock()
        self._shown = False
        self._total: int | None = None
        self._title, self._noun = "", "frame"
        self._began = self._due = 0.0
        self._on = False

    def start(self, total: int | None, title: str = "", noun: str = "frame") -> None:
        """Begin to show.

        Args:
            total: frames, or what else ``noun`` counts, if known.
            title: names what it is of.
            noun: in the singular.
        """
        self._on = is_terminal(self._stream)
        self._total, self._title, self._noun = total, title, noun
        self._began = self._clock()
        self._due = self._began + FIRST_S

    def update(self, done: int) -> None:
        """Show the line now and then.

        Args:
            done: the number done so far.
        """
        now = self._clock()
        if not self._on or now < self._due or not done:
            return
        self._due = now + EVERY_S
        text = self.text(done, now - self._began)
        text = f"{self._title}: {text}" if self._title else text
        width = shutil.get_terminal_size().columns - 1
        self._write(f"{_CLEAR}{text[:width]}")
        self._shown = True

    def text(self, done: int, seconds: float) -> str:
        """What the line says.

        Args:
            done: the number done so far.
            seconds: since the start.

        Returns:
            Text without its end.
        """
        return progress_text(done, self._total, seconds, self._noun)

    def stop(self) -> None:
        """Remove the line."""
        self._on = False
        self.clear()

    def clear(self) -> None:
        """Make room for a line of text; the progress comes back by itself."""
        if self._shown:
            self._write(_CLEAR)
            self._shown = False

    def _write(self, text: str) -> None:
        with self._lock, contextlib.suppress(OSError, ValueError):
            self._stream.write(text)
            self._stream.flush()


def is_terminal(stream: TextIO | None) -> bool:
    """Whether somebody looks at a stream.

    Args:
        stream: the stream, or None.

    Returns:
        True for an open terminal.
    """
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # closed
        return False


def progress_text(done: int, total: int | None, seconds: float, noun: str = "frame") -> str:
    """``37 %, 430 of 1150 frames, 120 per second, 0:06 left``; without a total what is known.

    Args:
        done: the number done so far.
        total: of all, if known.
        seconds: since the start.
        noun: in the singular.

    Returns:
        Text without its end.
    """
    rate = done / seconds if seconds > 0.0 else 0.0
    speed = f"{rate:.0f} per second" if rate >= 10.0 else f"{rate:.1f} per second"
    if total is None or done > total:  # some containers count wrong
        return f"{counted(done, noun)}, {speed}"
    left = duration_text((total - done) / rate if rate else 0.0)
    return f"{done * 100 // total} %, {done} of {counted(total, noun)}, {speed}, {left} left"


def duration_text(seconds: float) -> str:
    """``0:06``, or ``1:02:03`` from an hour on.

    Args:
        seconds: 0 or more.

    Returns:
        Hours, minutes and seconds.
    """
    minutes, seconds_left = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds_left:02}" if hours else f"{minutes}:{seconds_left:02}"
