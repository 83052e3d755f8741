"""Files spread over the processes of this machine; one that dies takes no other file with it.

Each process has a network and a detector of its own, opened for its first file, and a core of its own where there are
files for all: its threads then do not take turns on other cores, and the rest of the machine is left as it is.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, Final

from fer_edge.analysis.one_file import Job, Outcome, carry_out
from fer_edge.analysis.recipe import Recipe, Tools, open_tools
from fer_edge.errors import FerError
from fer_edge.system import usable_cpus

__all__ = ["run_on_processes"]

_TRIES: Final[int] = 2
"""A process may be killed for memory that others take: its file gets a second chance."""
_LEAVE_S: Final[float] = 5.0


def run_on_processes(
    jobs: Sequence[Job], recipe: Recipe, workers: int, on_progress: Callable[[int, float], None]
) -> Iterator[Outcome]:
    """Carry jobs out, the largest files first, so that no core waits long for the last one.

    Args:
        jobs: the files.
        recipe: how they are looked at.
        workers: how many processes.
        on_progress: takes a job's number and the share of it that is done, now and then.

    Yields:
        What became of each, as they end.

    Raises:
        FerError: network or detector cannot be opened in a process.
    """
    waiting = deque(sorted(jobs, key=lambda job: -job.size))
    tries: dict[int, int] = {}
    cores = _cores() if len(jobs) >= workers else []
    pool = [_Worker(recipe, cores[n % len(cores)] if cores else None) for n in range(min(workers, len(jobs)))]
    try:
        while waiting or any(worker.job for worker in pool):
            for worker in pool:
                if worker.job is None and waiting:
                    worker.start(waiting.popleft())
            busy = [worker for worker in pool if worker.job is not None]
            ready = wait([worker.connection for worker in busy])
            for worker in busy:
                if worker.connection not in ready:
                    continue
                job = worker.job
                assert job is not None
                try:
                    message = worker.connection.recv()
                except (EOFError, OSError):
                    tries[job.number] = tries.get(job.number, 0) + 1
                    ending = worker.renew()
                    if tries[job.number] < _TRIES:
                        waiting.append(job)
                    else:
                        yield Outcome(job.number, error=f"{job.file}: the process that read it ended {ending}")
                    continue
                if isinstance(message, float):
                    on_progress(job.number, message)
                    continue
                worker.job = None
                if isinstance(message, BaseException):
                    raise message
                yield message
    finally:
        for worker in pool:
            worker.end()


def _cores() -> list[int]:
    """The cores to give out; none where the system has no way to."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") and usable_cpus() > 1 else []


class _Worker:
    """A process, and the job that it has."""

    def __init__(self, recipe: Recipe, core: int | None) -> None:
        self.job: Job | None = None
        self._recipe = recipe
        self._core = core
        self._begin()

    def _begin(self) -> None:
        context = multiprocessing.get_context("spawn")  # a copy of a process with threads may hang
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, self._recipe, self._core), daemon=True)
        self._process.start()
        theirs.close()

    def start(self, job: Job) -> None:
        """Hand a job over."""
        self.job = job
        with contextlib.suppress(OSError):  # it has died: the next recv says so
            self.connection.send(job)

    def renew(self) -> str:
        """Start again after the process has died; says how it died."""
        self._process.join(_LEAVE_S)
        code = self._process.exitcode
        self.end()
        self._begin()
        if code is not None and code < 0:
            with contextlib.suppress(ValueError):
                return f"by {signal.Signals(-code).name}"
        return f"with code {code}"

    def end(self) -> None:
        """End the process; what it has not finished is lost."""
        self.job = None
        self.connection.close()
        self._process.kill()
        self._process.join(_LEAVE_S)


def _serve(connection: Connection, recipe: Recipe, core: int | None) -> None:
    """The body of a process: jobs in, outcomes out, until nobody is there any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the process that shows it decides
    _end_with_parent()
    if core is not None:
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, [core])
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    from fer_edge.dependencies import set_defaults
    from fer_edge.missing import explained
    from fer_edge.native import give_memory_back, quiet_native_libraries

    set_defaults()
    give_memory_back()
    tools: list[Tools] = []

    def opened() -> Tools:
        if not tools:
            tools.append(open_tools(recipe))
        return tools[0]

    with quiet_native_libraries(), contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            job: Job = connection.recv()
            try:
                with explained():
                    answer: Any = carry_out(job, recipe, opened, connection.send)
            except FerError as error:
                answer = error
            connection.send(answer)


def _end_with_parent() -> None:
    """A parent that is killed leaves nobody behind that reads a long video for nothing."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, name="fer-parent", daemon=True).start()
