"""What an output is, and the thread that keeps a slow one from slowing the pipeline."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Protocol

from fer_edge.channel import Channel, ChannelClosed
from fer_edge.errors import FerError
from fer_edge.logs import LOG
from fer_edge.results import Result, picture_bytes

__all__ = ["CLOSE_S", "HURRIED_S", "QUEUE_BYTES", "QUEUE_RESULTS", "SETTLE_S", "Output", "OutputRunner", "hand_out"]

QUEUE_RESULTS: Final[int] = 8
QUEUE_BYTES: Final[int] = 40 << 20
"""Of the pictures that wait for an output and the one it works on: six of 1920x1080, one of 3840x2160."""
CLOSE_S: Final[float] = 10.0
SETTLE_S: Final[float] = 1.0
"""Longest wait until the other outputs have done with a large picture; they take a hundredth of that."""
HURRIED_S: Final[float] = 0.5
"""Enough to finish a file; given once more than one signal asked for the end."""


class Output(Protocol):
    """Takes results one after the other, on a thread of its own.

    One that writes a file may also have ``written()``, which gives :class:`fer_edge.outputs.written.Written`. One that
    needs no picture longer than :meth:`write` takes may say so by ``lets_go = True``; one that would have to copy large
    pictures because it changes them says ``wants_own = True``, see :func:`hand_out`.
    """

    name: str
    """For messages and counters."""
    lossless: bool
    """A file: from a source that waits, every result is wanted. Else only the newest counts."""

    def write(self, result: Result) -> None:
        """Take one result; may take its time.

        Args:
            result: shared with the other outputs; not to be changed, unless it is its ``own``.
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

    def settle(self, timeout_s: float | None) -> bool:
        """Wait until the output has done with every result that it was given.

        Args:
            timeout_s: longest wait in seconds; None waits forever.

        Returns:
            Whether it has; False also after its end.
        """
        return self._queue.settle(timeout_s)

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


def hand_out(result: Result, runners: Sequence[OutputRunner]) -> None:
    """Give a result with a large picture to all outputs, so that there is no second such picture in memory.

    Where one output would have to copy the picture (a recording that draws on it), it gets the result last, as its own,
    once the others have done with it; and it has done with it when this returns. Where the others cannot be sure, or
    take long, they all share it.

    Args:
        result: of a source that waits; nobody but the outputs needs its picture.
        runners: of the outputs.
    """
    taker = next((runner for runner in runners if getattr(runner.output, "wants_own", False)), None)
    others = [runner for runner in runners if runner is not taker]
    for runner in others:
        runner.put(result)
    if taker is None:
        return
    end = time.monotonic() + SETTLE_S
    alone = all(_has_done(runner, end) for runner in others)
    taker.put(replace(result, own=alone))
    del result
    if alone:
        taker.settle(None)


def _has_done(runner: OutputRunner, end: float) -> bool:
    if not getattr(runner.output, "lets_go", False):
        return False
    return runner.settle(max(0.0, end - time.monotonic())) or runner.done
