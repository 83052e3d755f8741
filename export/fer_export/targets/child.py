"""Makers' tools as child processes, with a limit of time and of memory: some hang, some abort the process they run in.

A tool that lives in an environment of its own (:mod:`fer_export.targets.environments`) is driven by a script in
``targets/scripts/``, which runs on that environment's Python and imports nothing of this toolkit. It reads
``request.json`` and arrays from a folder and leaves ``answer.json`` and arrays there.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from fer_edge.errors import CheckFailedError
from fer_export.log import LOG

__all__ = ["SCRIPTS", "Finished", "Limits", "reason", "run_script", "run_tool"]

SCRIPTS: Final[Path] = Path(__file__).with_name("scripts")
_POLL_S: Final[float] = 0.1
_GRACE_S: Final[float] = 3.0
_KEPT_BYTES: Final[int] = 4 << 20
"""Of what a tool prints, the end."""
_COLOURS: Final = re.compile(r"\x1b\[[0-9;]*m")
_KEPT_VARIABLES: Final[tuple[str, ...]] = (
    "HOME",
    "LANG",
    "LC_ALL",
    "LD_LIBRARY_PATH",
    "PATH",
    "TMPDIR",
    "USER",
    "TERM",
)
"""A tool's own Python must not be led to our packages by ``PYTHONPATH`` and the like."""


@dataclass(frozen=True)
class Limits:
    """What a tool may take before it is stopped."""

    seconds: float
    """Wall-clock time."""
    memory_bytes: int
    """Resident memory of the tool and all processes that it starts; watched on Linux only."""


@dataclass(frozen=True)
class Finished:
    """A tool that has ended by itself."""

    code: int
    """Its exit code; negative for the signal that ended it."""
    output: str
    """The end of what it printed on both streams, colours taken out."""

    @property
    def ending(self) -> str:
        """How it ended, for messages: ``exit code 1``, or the name of a signal."""
        if self.code >= 0:
            return f"exit code {self.code}"
        with contextlib.suppress(ValueError):
            return signal.Signals(-self.code).name
        return f"signal {-self.code}"


def run_tool(
    command: Sequence[str | Path],
    *,
    limits: Limits,
    folder: Path,
    name: str,
    variables: Mapping[str, str] | None = None,
) -> Finished:
    """Run a program until it ends, or end it and everything it started when it takes too much.

    Args:
        command: program and arguments.
        limits: of time and memory.
        folder: in which it runs; tools leave logs where they are.
        name: of the tool, for messages.
        variables: added to the environment, of which little is passed on.

    Returns:
        How it ended; a failure of the program is no error here.

    Raises:
        CheckFailedError: it could not be started, or took more than it may.
    """
    environment = {key: os.environ[key] for key in _KEPT_VARIABLES if key in os.environ}
    environment |= {"PYTHONNOUSERSITE": "1", "PYTHONDONTWRITEBYTECODE": "1", **(variables or {})}
    log = folder / "tool.log"
    LOG.debug("%s: %s", name, " ".join(map(str, command)))
    with log.open("w+b") as printed:
        try:
            child = subprocess.Popen(
                [str(part) for part in command],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that what it starts can be ended with it
            )
        except OSError as error:
            raise CheckFailedError(f"{name} cannot be started ({error.strerror}): {command[0]}") from error
        try:
            _wait(child, limits, name)
        finally:
            _end(child)
        output = _tail(printed)
    LOG.debug("%s ended with %s", name, Finished(child.returncode, "").ending)
    return Finished(child.returncode, output)


def run_script(
    python: Path,
    script: str,
    request: Mapping[str, Any],
    *,
    limits: Limits,
    folder: Path,
    name: str,
    variables: Mapping[str, str] | None = None,
) -> tuple[dict[str, Any], str]:
    """Run one of the scripts of :data:`SCRIPTS` on another environment's Python.

    Args:
        python: that interpreter.
        script: file name of the script.
        request: plain JSON values for it.
        limits: of time and memory.
        folder: for request, answer and arrays.
        name: of the tool, for messages.
        variables: added to the environment.

    Returns:
        The answer, and the end of what the tool printed.

    Raises:
        CheckFailedError: it failed; the message holds the tool's own reason where it gave one.
    """
    (folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
    answer = folder / "answer.json"
    answer.unlink(missing_ok=True)
    command = [python, SCRIPTS / script]
    done = run_tool(command, limits=limits, folder=folder, name=name, variables=variables)
    content: dict[str, Any] | None = None
    with contextlib.suppress(OSError, ValueError):
        content = json.loads(answer.read_text(encoding="utf-8"))
    if content is not None and "error" in content:
        raise CheckFailedError(f"{name} refuses the network: {content['error']}")
    if done.code != 0 or content is None:
        raise CheckFailedError(f"{name} ended with {done.ending}: {reason(done.output)}")
    return content, done.output


def reason(output: str) -> str:
    """The line of a tool's output that says best why it failed.

    Args:
        output: what it printed.

    Returns:
        The last line that speaks of an error, else the last line at all.
    """
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    telling = [line for line in lines if re.match(r"(E\s|ERROR|Error|error:|\w*(Error|Exception)\b)", line)]
    return re.sub(r"\[\d\d:\d\d:\d\d\.\d+\] ", "", (telling or lines or ["no reason given"])[-1])[:300]


def _wait(child: subprocess.Popen[bytes], limits: Limits, name: str) -> None:
    ends_at = time.monotonic() + limits.seconds
    while child.poll() is None:
        if time.monotonic() > ends_at:
            raise CheckFailedError(f"{name} did not finish in {limits.seconds:.0f} s and was stopped")
        used = _resident_bytes(child.pid)
        if used > limits.memory_bytes:
            raise CheckFailedError(
                f"{name} took {used / 2**30:.1f} GiB of memory, at most {limits.memory_bytes / 2**30:.1f} GiB allowed, "
                "and was stopped"
            )
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(_POLL_S)


def _end(child: subprocess.Popen[bytes]) -> None:
    """End the whole session of the child: also helpers that a tool leaves behind when it has ended itself."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(OSError):  # nobody of it is left
            os.killpg(child.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(_GRACE_S)
    child.wait()


def _resident_bytes(session: int) -> int:
    """Memory of all processes of a session, by ``/proc``; 0 where there is none."""
    if not sys.platform.startswith("linux"):
        return 0
    page, total = os.sysconf("SC_PAGE_SIZE"), 0
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            fields = Path(entry.path, "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        if int(fields[3]) == session:  # proc(5): session is field 6, resident pages field 24
            total += int(fields[21]) * page
    return total


def _tail(printed: IO[bytes]) -> str:
    printed.seek(max(0, printed.seek(0, os.SEEK_END) - _KEPT_BYTES))
    return _COLOURS.sub("", printed.read().decode(errors="replace"))
