"""Runs of bounded length, side by side in turns: one process for all cameras, and a process for each."""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fer_bench.cameras.disturb import DISTURBANCES, BadCamera
from fer_bench.cameras.figures import Run
from fer_bench.log import LOG
from fer_bench.measure.end_to_end import Scene
from fer_bench.measure.worker_client import Contender
from fer_edge import errors

__all__ = [
    "WARM_UP_S",
    "Figures",
    "Setting",
    "measure_apart",
    "measure_together",
    "pass_module",
    "summarise_runs",
    "version_of",
]

WARM_UP_S: Final[float] = 8.0
"""From the start of the processes until CPU time counts: models are loaded, every camera is open, in seconds."""
_AFTER_S: Final[float] = 2.0
_PASS: Final[str] = "fer_bench.measure.pipeline_process"
_EARLY: Final[str] = "fer_bench.stream"
_TICKS: Final[float] = float(os.sysconf("SC_CLK_TCK")) if hasattr(os, "sysconf") else 100.0


@dataclass(frozen=True)
class Setting:
    """What each run watches, and for how long."""

    contender: Contender
    """The network, on its runtime."""
    scene: Scene
    """The video, and the face detector."""
    sources: tuple[str, ...]
    """Of each camera: the file again and again, or addresses."""
    seconds: float
    """After the warm-up."""
    motion: bool
    """Whether the motion test is on, where the build has one."""


@dataclass(frozen=True)
class Figures:
    """Of one run."""

    cameras: list[dict[str, Any]]
    """``results_per_s``, ``p99_ms``, ``n_dropped`` and ``n_faces`` of each camera."""
    cpus: float
    """CPU seconds per second, of all processes."""
    peak_mib: float
    """Highest resident memory, of all processes together."""


def measure_together(setting: Setting, disturbance: str | None = None) -> Figures:
    """All cameras in one process.

    Args:
        setting: what it watches.
        disturbance: one more camera, which misbehaves in this way and is not counted; None: none.

    Returns:
        The figures of one run.

    Raises:
        FerError: the process ended early.
    """
    with BadCamera(disturbance) if disturbance is not None else contextlib.nullcontext() as bad:
        more = () if bad is None else (bad.address,)
        options = {**_options(setting), "sources": [*setting.sources, *more], "motion": setting.motion}
        [answer], cpus, peak_mib = _run(
            [[sys.executable, "-m", "fer_bench.cameras.process", json.dumps(options)]], setting
        )
        if bad is not None:
            LOG.info("the camera that %s was connected to %d times", DISTURBANCES[bad.kind], bad.n_connections)
    return Figures(answer["cameras"][: len(setting.sources)], cpus, peak_mib)


def measure_apart(setting: Setting, python: str) -> Figures:
    """A process for each camera, all at the same time.

    Args:
        setting: what they watch.
        python: interpreter of the installation that is run, perhaps of an earlier version.

    Returns:
        The figures of one run.

    Raises:
        FerError: a process ended early.
    """
    commands = []
    module = pass_module(python)
    for source in setting.sources:
        options = {
            **_options(setting),
            "source": source,
            "realtime": True,
            "loop": "://" not in source,
            "sample_s": None,
            "started_ns": time.monotonic_ns(),
        }
        commands.append([python, "-m", module, json.dumps(options)])
    answers, cpus, peak_mib = _run(commands, setting)
    cameras = []
    for answer in answers:
        ages = sorted(answer["ages_s"])[-2000:]
        cameras.append(
            {
                "results_per_s": answer["n_frames"] / answer["elapsed_s"],
                "p99_ms": 1000 * ages[round(0.99 * (len(ages) - 1))] if ages else None,
                "n_faces": answer["n_faces"],
                "n_dropped": answer["n_dropped"],
            }
        )
    return Figures(cameras, cpus, peak_mib)


def summarise_runs(name: str, runs: Sequence[Figures]) -> Run:
    """One kind of run, over its repeats.

    Args:
        name: for the report.
        runs: at least one.

    Returns:
        Medians over the repeats.
    """
    numbers = range(len(runs[0].cameras))

    def median(key: str, camera: int) -> float:
        values = [run.cameras[camera][key] for run in runs]
        known = [value for value in values if value is not None]
        return statistics.median(known) if known else float("inf")

    return Run(
        name=name,
        results_per_s=[median("results_per_s", n) for n in numbers],
        p99_ms=[median("p99_ms", n) for n in numbers],
        n_dropped=sum(camera["n_dropped"] for run in runs for camera in run.cameras),
        cpus=statistics.median(run.cpus for run in runs),
        cpus_each=[run.cpus for run in runs],
        peak_mib=max(run.peak_mib for run in runs),
        n_faces=sum(camera["n_faces"] for run in runs for camera in run.cameras),
    )


def version_of(python: str) -> str:
    """Which toolkit an interpreter has.

    Args:
        python: the interpreter.

    Returns:
        Version and place.

    Raises:
        UsageError: it has none.
    """
    # Early builds have no __version__.
    code = "import fer_edge, fer_bench; print(getattr(fer_edge, '__version__', 'early'), fer_edge.__path__[0])"
    try:
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    except OSError as error:
        raise errors.UsageError(f"--baseline-python {python}: {error.strerror}") from error
    if done.returncode:
        raise errors.UsageError(f"--baseline-python {python}: the toolkit is not installed there")
    return done.stdout.strip()


def pass_module(python: str) -> str:
    """The module that runs one pipeline: earlier builds have it under another name, with the same options.

    Args:
        python: an interpreter that has the toolkit.

    Returns:
        A name for ``python -m``.
    """
    code = f"import importlib.util, fer_bench; print(importlib.util.find_spec({_EARLY!r}) is not None)"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return _EARLY if done.stdout.strip() == "True" else _PASS


def _options(setting: Setting) -> dict[str, Any]:
    contender = setting.contender
    return {
        "model": str(contender.path.resolve()),
        "backend": contender.backend,
        "threads": contender.threads,
        "detector": setting.scene.detector,
        "detector_model": setting.scene.detector_model,
        "seconds": WARM_UP_S + setting.seconds + _AFTER_S,
    }


def _run(commands: Sequence[list[str]], setting: Setting) -> tuple[list[dict[str, Any]], float, float]:
    """Their answers, CPU seconds per second after the warm-up, and the sum of their peaks of memory in MiB."""
    with contextlib.ExitStack() as stack:
        logs = [stack.enter_context(tempfile.TemporaryFile()) for _ in commands]
        processes = []
        for command, log in zip(commands, logs, strict=True):
            LOG.debug("starting %s", " ".join(command))
            process = stack.enter_context(
                subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True)
            )
            stack.callback(process.kill)
            processes.append(process)
        time.sleep(WARM_UP_S)
        began, before = time.monotonic(), sum(_cpu_s(process.pid) for process in processes)
        time.sleep(setting.seconds)
        cpu_s = sum(_cpu_s(process.pid) for process in processes) - before
        cpus = cpu_s / (time.monotonic() - began)
        peak_mib = sum(_peak_mib(process.pid) for process in processes)
        answers = []
        for process, log in zip(processes, logs, strict=True):
            out = process.communicate()[0]
            lines = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
            if not lines or lines[-1]["kind"] != "done":
                log.seek(0)
                last = [line["message"] for line in lines if "message" in line]
                last += log.read().decode(errors="replace").strip().splitlines()[-1:]
                raise errors.FerError(f"a measuring process ended early: {(last or [process.returncode])[0]}")
            answers.append(lines[-1])
        return answers, cpus, peak_mib


def _cpu_s(pid: int) -> float:
    """CPU time of a process so far, in user and kernel mode (``proc(5)``: fields 14 and 15 of ``stat``)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _peak_mib(pid: int) -> float:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return 0.0
