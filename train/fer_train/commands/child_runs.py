"""Runs of ``fer-train`` in processes of their own, whose output goes to a log beside the run's folder."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from fer_edge.errors import CheckFailedError
from fer_train.logs import LOG
from fer_train.runs.run_folder import RunFolder

_POLL_S: Final[float] = 0.5


def run_all(commands: Sequence[tuple[Path, Sequence[str]]], at_once: int = 1, deadline_s: float | None = None) -> None:
    """Run ``fer-train`` for every folder that is not finished, and go on with those that were interrupted.

    Args:
        commands: Folder of each run, and its options without ``--run`` and ``--resume``.
        at_once: How many run side by side.
        deadline_s: When those that still run are ended, as ``time.monotonic`` counts; they can go on later.

    Raises:
        CheckFailedError: For the first one that fails; the others are ended then.
    """
    waiting = [command for command in commands if not RunFolder(command[0]).summary.exists()]
    running: dict[Path, subprocess.Popen[bytes]] = {}
    with _none_left(running) as asked_to_end:
        while waiting or running:
            if asked_to_end.is_set():
                raise KeyboardInterrupt
            while waiting and len(running) < at_once:
                folder, options = waiting.pop(0)
                running[folder] = _start(folder, options)
                LOG.info(f"{folder}: begun, log in {log_of(folder)}")
            time.sleep(_POLL_S)
            if deadline_s is not None and time.monotonic() >= deadline_s:
                LOG.info(f"time is up for {', '.join(map(str, [*running, *(folder for folder, _ in waiting)]))}")
                return
            for folder in [run for run, process in running.items() if process.poll() is not None]:
                code = running.pop(folder).returncode
                if code:
                    raise CheckFailedError(f"{folder} ended with {code}: {_last_line(log_of(folder))}")
                LOG.info(f"{folder}: done. {_last_line(log_of(folder))}")


def log_of(folder: Path) -> Path:
    """Where a run's output goes, after that of earlier starts."""
    return folder.with_name(folder.name + ".log")


@contextmanager
def _none_left(running: Mapping[Path, subprocess.Popen[bytes]]) -> Iterator[threading.Event]:
    """Leave no process running. The event is set by ``SIGTERM``, which must not come between a start and its record."""
    asked_to_end = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda *_: asked_to_end.set())
    try:
        yield asked_to_end
    finally:
        signal.signal(signal.SIGTERM, before)
        for process in running.values():
            process.terminate()
        for process in running.values():
            process.wait()


def _start(folder: Path, options: Sequence[str]) -> subprocess.Popen[bytes]:
    folder.parent.mkdir(parents=True, exist_ok=True)
    # --resume starts again where there is nothing to go on from.
    command = [sys.executable, "-m", "fer_train.commands.train", "--run", str(folder), "--resume", *options]
    LOG.debug(f"starting {shlex.join(command)}")
    with log_of(folder).open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=os.environ | {"COLUMNS": "160"})


def _last_line(path: Path) -> str:
    lines = [line for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else "no output"
