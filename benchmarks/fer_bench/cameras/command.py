"""``fer-bench --end-to-end --cameras N``: measure, print, write."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fer_bench.cameras.disturb import DISTURBANCES
from fer_bench.cameras.figures import CamerasReport, Run
from fer_bench.cameras.rtsp import served
from fer_bench.cameras.run import (
    WARM_UP_S,
    Figures,
    Setting,
    measure_apart,
    measure_together,
    summarise_runs,
    version_of,
)
from fer_bench.log import LOG
from fer_bench.measure.end_to_end import Scene
from fer_bench.measure.machine import read_machine
from fer_bench.measure.measurement import contenders_of
from fer_bench.measure.validity import Recorder, machine_reasons
from fer_bench.progress import progress_bar, require_rich
from fer_bench.report.writable import check_writable
from fer_bench.request import BenchRequest, Destinations
from fer_edge.errors import CheckFailedError, UsageError
from fer_edge.files import write_text

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["DEFAULT_SECONDS", "cameras_main", "measure_cameras", "print_cameras"]

DEFAULT_SECONDS: Final[float] = 30.0
_SPARE_S: Final[float] = 30.0
"""RTSP servers play for so much longer than a run: it takes a while until every process is there."""


def cameras_main(
    request: BenchRequest, destinations: Destinations, *, require_valid: bool = False, command: Sequence[str] = ()
) -> int:
    """Measure several cameras, print the table, write the file.

    Args:
        request: what to measure, and how.
        destinations: where to write.
        require_valid: fail when the machine was not quiet enough.
        command: the command line, for the report.

    Returns:
        The exit code.

    Raises:
        CheckFailedError: the figures are not valid and have to be.
        UsageError: options that do not go together.
    """
    if destinations.html:
        raise UsageError("--html: --cameras writes no page; give --json")
    if destinations.json:
        check_writable(destinations.json)
    require_rich()
    report = measure_cameras(request, command=command)
    from fer_bench.report.terminal import console

    print_cameras(report, console())
    if destinations.json:
        write_text(destinations.json, report.as_json())
        LOG.info("wrote %s", destinations.json)
    if require_valid and report.invalid_reasons:
        raise CheckFailedError(f"not valid: {'; '.join(report.invalid_reasons)}")
    return 0


def measure_cameras(request: BenchRequest, command: Sequence[str] = ()) -> CamerasReport:
    """One process with all cameras and as many processes with one each, in turns.

    Args:
        request: what to measure, and how.
        command: the command line, for the report.

    Returns:
        The report.

    Raises:
        UsageError: the source is not a video file, or an option does not fit.
        FerError: a process ended early.
    """
    if not sys.platform.startswith("linux"):
        raise UsageError("--cameras reads CPU time from /proc: Linux only")
    n_cameras = request.cameras or 1
    contender = contenders_of(request)[0]
    scene = Scene(str(request.source), request.detector, request.detector_model)
    if not scene.is_video_file:
        raise UsageError(f"--cameras plays a video file as often as there are cameras; {request.source} is not one")
    seconds = 60 * request.minutes if request.minutes else DEFAULT_SECONDS
    python = request.baseline_python or sys.executable
    baseline = version_of(python)
    kinds = [None, *request.disturbances]
    together: dict[str | None, list[Figures]] = {kind: [] for kind in kinds}
    apart: list[Figures] = []
    recorder = Recorder()
    with progress_bar() as progress:
        n_steps = request.processes * (len(kinds) + 1)
        for step in range(n_steps):
            turn = step % (len(kinds) + 1)
            progress(step / n_steps, f"{n_cameras} cameras, run {step + 1} of {n_steps}")
            with _sources(request, scene, n_cameras, seconds) as sources:
                setting = Setting(contender, scene, tuple(sources), seconds, request.motion)
                if turn == 1:
                    apart.append(measure_apart(setting, python))
                else:
                    kind = kinds[max(0, turn - 1)]
                    together[kind].append(measure_together(setting, kind))
    runs = [
        summarise_runs("one process", together[None]),
        summarise_runs(f"{n_cameras} processes", apart),
        *(
            summarise_runs(f"one process, and one more {DISTURBANCES[kind]}", together[kind])
            for kind in request.disturbances
        ),
    ]
    conditions = recorder.stop()
    return CamerasReport(
        n_cameras, Path(scene.source).name, "RTSP" if request.rtsp else "files", seconds, request.processes, baseline,
        runs, read_machine(), conditions, machine_reasons(conditions), [shlex.join(command)] if command else [],
    )  # fmt: skip


@contextlib.contextmanager
def _sources(request: BenchRequest, scene: Scene, n_cameras: int, seconds: float) -> Iterator[list[str]]:
    if not request.rtsp:
        yield [str(Path(scene.source).resolve())] * n_cameras
        return
    with served(Path(scene.source), n_cameras, WARM_UP_S + seconds + _SPARE_S) as addresses:
        yield addresses


def print_cameras(report: CamerasReport, out: Console) -> None:
    """The table, the ratio, what the disturbances did, and why the figures are not valid.

    Args:
        report: to print.
        out: the terminal.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    title = (
        f"{report.n_cameras} cameras ({report.served_by}) on {report.source}, {report.repeats} x {report.seconds:.0f} s"
    )
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    for heading in ("results/s, slowest", "p99 ms, worst", "dropped", "CPUs", "peak MiB", "faces"):
        table.add_column(heading, justify="right", no_wrap=True)
    for run in report.runs:
        table.add_row(
            run.name, f"{min(run.results_per_s):.2f}", f"{max(run.p99_ms):.0f}", str(run.n_dropped),
            f"{run.cpus:.2f}", f"{run.peak_mib:.0f}", str(run.n_faces),
        )  # fmt: skip
    out.print(table)
    if report.cpu_ratio is not None:
        out.print(f"CPU time: {report.cpu_ratio:.2f} x that of {report.n_cameras} processes of {report.baseline}")
    for run in report.runs[2:]:
        out.print(f"{run.name}: {_change(report.runs[0], run)}")
    if report.invalid_reasons:
        out.print(Text(f"not valid: {'; '.join(report.invalid_reasons)}", style="yellow"), soft_wrap=True)


def _change(before: Run, after: Run) -> str:
    rates = [100 * (b / a - 1) for a, b in zip(before.results_per_s, after.results_per_s, strict=True) if a]
    ages = [b - a for a, b in zip(before.p99_ms, after.p99_ms, strict=True)]
    return (
        f"results/s of the others {min(rates):+.1f} to {max(rates):+.1f} %, p99 {min(ages):+.0f} to {max(ages):+.0f} ms"
    )
