"""``fer-bench [options]``: measure models and print, write and draw the result."""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from fer_bench.measure.accuracy import evaluate_targets, load_faces
from fer_bench.measure.assemble import assemble
from fer_bench.measure.choose_models import choose_targets
from fer_bench.measure.latency import measure
from fer_bench.measure.machine import read_machine
from fer_bench.measure.operator_profile import profiled_backends
from fer_bench.measure.runtimes import OPENCV
from fer_bench.measure.validity import MIN_RUNS, Recorder, machine_reasons
from fer_bench.measure.worker_client import Remote, Target
from fer_bench.progress import Plan, Progress, duration, part, progress_bar
from fer_bench.report.file_name import conditions_name
from fer_bench.report_file import write_report
from fer_bench.schema import SCHEMA, OperatorProfile, Profile, Report, Settings
from fer_edge.errors import CheckFailedError, MissingDependencyError, UsageError
from fer_edge.files import why_read_only
from fer_edge.system import usable_cpus
from fer_train.html import require_jinja
from fer_train.wording import counted

if TYPE_CHECKING:
    from markupsafe import Markup
    from rich.console import Console

    from fer_train.data.dataset import Split

CHUNK_MS = 40.0
DISCARDED_RUNS = 2
SCALING_PART = 3
"""Throughput at each number of threads gets this part of the seconds of a model."""
START_S, IMAGE_S, UNTIMED = 1.2, 0.004, 1.4
"""For the estimate of how long it will take: a start with its warm-up, one image, wall time over timed time."""


def measure_main(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    """Run the measurement that ``options`` ask for, parsed from ``arguments``; returns the exit code."""
    try:
        from fer_bench.report.terminal import console, print_report, scaling_table
    except ImportError as error:
        raise MissingDependencyError.for_extra("rich", "bench") from error
    out = console()
    targets = choose_targets(
        options.model,
        options.backend,
        options.threads,
        everything=options.all,
        pythons=_pythons(options.runtime_python),
    )
    for asked, target in targets:
        out.print(f"model {asked}: {target.path} on {target.backend}", markup=False)
    chosen = [target for _, target in targets]
    folders = dict.fromkeys(str(target.path.parent) for target in chosen)
    if options.all and len(folders) > 1:
        out.print(f"these files come from {', '.join(folders)}: make sure that they come from one export", markup=False)
    options.scaling = options.all if options.scaling is None else options.scaling
    _check_before(chosen, options)
    if options.verify:
        _verify(chosen, out.print)
    if options.end_to_end:
        return _end_to_end(chosen, options, ["fer-bench", *arguments], out)
    faces = None if options.no_accuracy else load_faces(options.data, options.split, options.seed, options.limit)
    if faces is not None and options.data is None:
        out.print("no --data: accuracy is measured on synthetic faces and says nothing about real ones")
    for reason in busy_now():
        out.print(f"times will not be reliable now: {reason}", markup=False)
    planned = duration(_plan(chosen, options, faces).total_s)
    starts = counted(options.processes, "fresh process", "fresh processes")
    out.print(f"measuring {counted(len(chosen), 'model')} in {starts} each: about {planned}")
    report = run(chosen, options, faces, ["fer-bench", *arguments])
    print_report(report, out)
    if options.scaling:
        out.print(scaling_table(report.results))
    if report.profiles:
        from fer_bench.report.operator_profile import print_profile

        for profile in report.profiles:
            print_profile(profile, out)
    _write(report, options, out)
    return _verdict([result.valid for result in report.results], options.require_valid)


def busy_now(look_s: float = 0.3) -> list[str]:
    """What would make a measurement invalid that began now; better known before than after minutes."""
    recorder = Recorder()
    time.sleep(look_s)
    return machine_reasons(recorder.stop())


def _check_before(targets: Sequence[Target], options: argparse.Namespace) -> None:
    """What would otherwise fail after minutes of measuring."""
    if options.profile and not _profiled(targets):
        raise UsageError(f"--profile works on {' and '.join(profiled_backends())}, not on {targets[0].backend}")
    if options.html:
        require_jinja()
    if options.html and options.html.is_dir():
        raise UsageError(f"{options.html} cannot be written: it is a folder")
    for path in filter(None, (options.json, options.html)):
        above = next(folder for folder in path.absolute().parents if folder.exists())
        reason = why_read_only(above) if above.is_dir() else "not a folder"
        if reason is not None:
            raise UsageError(f"{path} cannot be written: {above}: {reason}")


def _write(report: Report, options: argparse.Namespace, out: Console) -> None:
    if options.json:
        path = options.json / conditions_name(report) if options.json.is_dir() else options.json
        write_report(report, path)
        out.print(f"wrote {path}", markup=False)
    if options.html:
        from fer_bench.report.html_page import write_page

        write_page(report, options.html, _sections(report))
        out.print(f"wrote {options.html}", markup=False)


def _end_to_end(targets: list[Target], options: argparse.Namespace, command: list[str], out: Console) -> int:
    from fer_bench.measure.end_to_end import Scene, measure_end_to_end
    from fer_bench.report.end_to_end import print_end_to_end
    from fer_bench.report.terminal import print_machine

    if not options.source:
        raise UsageError("--end-to-end needs --source: a video, an image, a folder or a camera")
    settings, created = _settings(targets, options), _now()
    scene = Scene(options.source, options.detector, options.detector_model)
    recorder = Recorder()
    with progress_bar() as progress:
        found = measure_end_to_end(targets, scene, options.processes, options.minutes, progress)
    machine, conditions = read_machine(), recorder.stop()
    report = Report(SCHEMA, created, [shlex.join(command)], machine, conditions, settings, [], end_to_end=found)
    print_machine(machine, conditions, out)
    print_end_to_end(found, out)
    _write(report, options, out)
    return _verdict([one.valid for one in found], options.require_valid)


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


def _settings(targets: Sequence[Target], options: argparse.Namespace) -> Settings:
    return Settings(
        seconds_per_model=options.seconds,
        n_processes=options.processes,
        chunk_ms=CHUNK_MS,
        n_discarded_runs_per_chunk=DISCARDED_RUNS,
        threads=options.threads,
        interleaved=len(targets) > 1,
        seed=options.seed,
    )


def _sections(report: Report) -> list[Markup]:
    from fer_bench.report.operator_profile import profile_section

    sections = [profile_section(profile) for profile in report.profiles]
    if report.end_to_end:
        from fer_bench.report.end_to_end import end_to_end_section

        sections.append(end_to_end_section(report.end_to_end))
    return sections


def run(targets: list[Target], options: argparse.Namespace, faces: Split | None, command: list[str]) -> Report:
    """Measure speed, then accuracy, and put it all together."""
    settings, created = _settings(targets, options), _now()
    plan = _plan(targets, options, faces)
    with progress_bar() as progress:
        recorder = Recorder()
        series = measure(targets, settings, min_runs=MIN_RUNS, on_progress=plan.stage(progress, "timing"))
        scaling = _scaling(targets, settings, plan.stage(progress, "threads")) if options.scaling else None
        conditions = recorder.stop()
        evaluations = None
        if faces is not None:
            costs = [float(np.median(item.samples_ms)) for item in series]
            evaluations = evaluate_targets(targets, faces, plan.stage(progress, "accuracy"), costs)
        profiles = []
        if options.profile:
            profiles = _profiles(_profiled(targets), options.seconds, plan.stage(progress, "profile"))
    results = assemble(series, conditions, evaluations, scaling)
    machine = read_machine()
    return Report(SCHEMA, created, [shlex.join(command)], machine, conditions, settings, results, profiles)


def _plan(targets: Sequence[Target], options: argparse.Namespace, faces: Split | None) -> Plan:
    """Roughly, on a fast machine; a slow one shows in the time left as soon as there is something to go by."""
    n, timed = len(targets), UNTIMED * options.seconds
    seconds = {"timing": n * (options.processes * START_S + timed)}
    if options.scaling:
        seconds["threads"] = n * len(_thread_counts()) * (START_S + timed / SCALING_PART)
    if faces is not None:
        seconds["accuracy"] = n * (START_S + IMAGE_S * len(faces.labels)) / usable_cpus()
    if options.profile:
        seconds["profile"] = len(_profiled(targets)) * (2 * START_S + options.seconds)
    return Plan(seconds)


def _profiled(targets: Sequence[Target]) -> list[Target]:
    return [target for target in targets if target.backend in profiled_backends()]


def _profiles(targets: list[Target], seconds: float, progress: Progress) -> list[Profile]:
    """Every operator of each target, one model after the other."""
    profiles = []
    for index, target in enumerate(targets):
        progress(index / len(targets), f"profiling {target.name}")
        recorder = Recorder()
        with Remote(target) as remote:
            content = remote.profile(seconds)
        reasons = machine_reasons(recorder.stop())
        operators = [OperatorProfile(**one) for one in content["operators"]]
        method, whole_us = content["method"], content["whole_us"]
        name, backend = target.path.name, target.backend
        profiles.append(Profile(name, backend, target.threads, method, whole_us, operators, not reasons, reasons))
    return profiles


def _thread_counts() -> list[int]:
    """1, 2, 4 ... and all CPUs."""
    return sorted({min(2**power, usable_cpus()) for power in range(usable_cpus().bit_length() + 1)})


def _scaling(targets: list[Target], settings: Settings, progress: Progress) -> list[dict[str, float]]:
    """Inferences a second of each target at 1, 2, 4 ... threads, one after the other."""
    counts = _thread_counts()
    wide = [dataclasses.replace(target, threads=count) for target in targets for count in counts]
    short = dataclasses.replace(settings, n_processes=1, seconds_per_model=settings.seconds_per_model / SCALING_PART)
    rates = []
    for index, target in enumerate(wide):
        # One process at a time: worker threads of an idle runtime keep spinning for a while and would be neighbours.
        stage = part(
            progress, index / len(wide), (index + 1) / len(wide), f"throughput at {counted(target.threads, 'thread')}"
        )
        (item,) = measure([target], short, min_runs=1, on_progress=stage)
        rates.append(len(item.samples_ms) / item.wall_s)
    return [
        {str(count): rates[index * len(counts) + column] for column, count in enumerate(counts)}
        for index in range(len(targets))
    ]


def _verify(targets: Sequence[Target], say: Callable[[str], None]) -> None:
    from fer_edge.verification.replay import verify

    # OpenCV is a reference for speed only, and another environment's runtime cannot be asked from here.
    here = [one for one in targets if one.backend != OPENCV and one.python == sys.executable]
    for target in targets:
        if target not in here:
            say(f"not verified: {target.name}")
    reports = [verify(target.path, backend=target.backend, threads=target.threads) for target in here]
    for report in reports:
        for line in report.lines():
            say(line)
    failed = [report for report in reports if not report.passed]
    if failed:
        raise CheckFailedError(f"golden vectors: {failed[0].summary}")


def _pythons(pairs: Sequence[str]) -> dict[str, str]:
    found = {}
    for pair in pairs:
        backend, equals, python = pair.partition("=")
        if not equals or not python:
            raise UsageError(
                f"--runtime-python {pair}: expected BACKEND=PYTHON, for example tflite-runtime=/opt/bin/python"
            )
        found[backend] = python
    return found


def _verdict(valid: Sequence[bool], require_valid: bool) -> int:
    """Exit code; the note below the tables says whether to trust the times."""
    if require_valid and not all(valid):
        wrong = len(valid) - sum(valid)
        raise CheckFailedError(f"{wrong} of {counted(len(valid), 'speed measurement')} invalid; reasons above")
    return 0
