"""What an output is, and the thread that keeps a slow one from slowing the pipeline."""

from __future__ import annotations

import contextlib
import threading
from typing import Final, Protocol

from fer_edge.channel import Channel, ChannelClosed
from fer_edge.errors import FerError
from fer_edge.logs import LOG
from fer_edge.results import Result, picture_bytes

__all__ = ["CLOSE_S", "HURRIED_S", "QUEUE_BYTES", "QUEUE_RESULTS", "Output", "OutputRunner"]

QUEUE_RESULTS: Final[int] = 8
QUEUE_BYTES: Final[int] = 40 << 20
"""Of the pictures that wait for an output and the one it works on: six of 1920x1080, one of 3840x2160."""
CLOSE_S: Final[float] = 10.0
HURRIED_S: Final[float] = 0.5
"""Enough to finish a file; given once more than one signal asked for the end."""


class Output(Protocol):
    """Takes results one after the other, on a thread of its own.

    One that writes a file may also have ``written()``, which gives :class:`fer_edge.outputs.written.Written`.
    """

    name: str
    """For messages and counters."""
    lossless: bool
    """A file: from a source that waits, every result is wanted. Else only the newest counts."""

    def write(self, result: Result) -> None:
        """Take one result; may take its time.

        Args:
            result: shared with the other outputs; not to be changed.
        """
        ...

    def close(self) -> None:
        """Finish; no result comes after this."""
        ...


class OutputRunner:
    """Feeds one output from its own thread.

    From a source that is not live a lossless output gets every result, the pipeline waiting for it where it must. In
    all other cases the oldest waiting result is dropped, and nothing ever waits. An output that fails is closed and
    reported once; the rest goes on.

    Args:
        output: the output, open; it is closed here.
        live: whether the source is live.
    """

    def __init__(self, output: Output, *, live: bool) -> None:
        self.output = output
        self.error: Exception | None = None
        """What ended the output early, if anything did."""
        self._wait = output.lossless and not live
        self._queue: Channel[Result] = Channel(
            QUEUE_RESULTS if output.lossless else 1, drop_oldest=not self._wait, weigh=picture_bytes, most=QUEUE_BYTES
        )
        self._thread = threading.Thread(target=self._run, name=f"fer-output-{output.name}", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Results that this output was too slow for."""
        return self._queue.dropped

    @property
    def ended(self) -> bool:
        """Whether the output takes nothing more."""
        return self.error is not None

    @property
    def done(self) -> bool:
        """Whether it is closed: False also after a hurried end that left it behind."""
        return not self._thread.is_alive()

    @property
    def failed(self) -> bool:
        """Whether something that was to be kept was lost; a pipe whose reader went away is no failure."""
        return self.output.lossless and self.error is not None and not isinstance(self.error, BrokenPipeError)

    def put(self, result: Result) -> None:
        """Hand a result over; after a failure this does nothing.

        Args:
            result: the newest result.
        """
        with contextlib.suppress(ChannelClosed):
            self._queue.put(result)

    def close(self, *, hurried: bool = False) -> None:
        """Let the output finish what waits, then close it.

        One that hangs is left behind after ten seconds (or its own ``finish_s``), unless the pipeline has to wait for
        it.

        Args:
            hurried: leave any output behind that takes longer than half a second.
        """
        self._queue.close()
        unhurried = None if self._wait else getattr(self.output, "finish_s", CLOSE_S)
        self._thread.join(HURRIED_S if hurried else unhurried)

    def _run(self) -> None:
        try:
            while True:
                self.output.write(self._queue.get())
        except ChannelClosed:
            self._finish()
        except Exception as error:
            self._fail(error)
            self._finish()

    def _finish(self) -> None:
        try:
            self.output.close()
        except Exception as error:
            if self.error is None:
                self._fail(error)

    def _fail(self, error: Exception) -> None:
        self.error = error
        self._queue.close(discard=True)
        if not isinstance(error, BrokenPipeError):  # the reader of a pipe has seen enough: no failure
            reason = error.strerror if isinstance(error, OSError) and error.strerror else error
            kind = "" if isinstance(error, FerError | OSError) else f"{type(error).__name__}: "
            LOG.error("output %s stopped: %s%s", self.output.name, kind, reason)
