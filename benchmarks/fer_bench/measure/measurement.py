"""A whole measurement: choose the models, time them, measure accuracy, profile, and put it all together."""

from __future__ import annotations

import dataclasses
import datetime
import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fer_bench.log import LOG
from fer_bench.measure.accuracy import evaluate_contenders, load_faces, warn_where_stuck
from fer_bench.measure.assemble import assemble
from fer_bench.measure.choose_models import choose_contenders
from fer_bench.measure.detector_profile import detector_network, profile_detector
from fer_bench.measure.end_to_end import Scene, measure_end_to_end
from fer_bench.measure.latency import time_contenders
from fer_bench.measure.machine import read_machine
from fer_bench.measure.operator_profile import as_profile, profiled_backends
from fer_bench.measure.runtimes import OPENCV
from fer_bench.measure.validity import MIN_RUNS, Recorder, busy_now, machine_reasons
from fer_bench.measure.worker_client import Contender, Remote
from fer_bench.progress import OnFraction, Plan, duration, part, silent
from fer_bench.request import BenchRequest
from fer_bench.schema import SCHEMA, Profile, Report, Settings
from fer_edge.errors import UsageError
from fer_edge.system import usable_cpus
from fer_train.wording import counted

if TYPE_CHECKING:
    from fer_edge.verification.replay import VerifyReport
    from fer_train.data.dataset import Split

__all__ = ["CHUNK_MS", "DISCARDED_RUNS", "contenders_of", "measure_models", "verify_contenders"]

CHUNK_MS = 40.0
"""A model runs for this long, in ms, before the next one has its turn."""
DISCARDED_RUNS = 2
"""Untimed runs at the beginning of a turn: they bring the model back into the caches."""
_SCALING_PART = 3
"""Throughput at each number of threads gets this part of the seconds of a model."""
_START_S, _IMAGE_S, _UNTIMED = 1.2, 0.004, 1.4
"""For the estimate of how long it will take: a start with its warm-up, one image, wall time over timed time."""


def contenders_of(request: BenchRequest) -> list[Contender]:
    """The models on their runtimes that a request means, checked as far as that can be done without measuring.

    Args:
        request: what to measure.

    Returns:
        At least one.

    Raises:
        ModelError: a model file that is not there, or ``everything`` where none is.
        UsageError: an unknown backend, or options that do not go together.
    """
    pairs = choose_contenders(
        request.models, request.backend, request.threads, everything=request.everything, pythons=request.pythons
    )
    contenders = [contender for _, contender in pairs]
    if request.profile and not _profiled(contenders):
        raise UsageError(f"--profile works on {' and '.join(profiled_backends())}, not on {contenders[0].backend}")
    if request.profile_detector:
        detector_network(request.detector, request.detector_model)  # a mistake shows before minutes of work
    if request.end_to_end and not request.source:
        raise UsageError("--end-to-end needs --source: a video, an image, a folder or a camera")
    return contenders


def verify_contenders(contenders: Sequence[Contender]) -> list[VerifyReport]:
    """Replay the golden vectors on every contender that can be asked from this process.

    Args:
        contenders: models on their runtimes; those on OpenCV (a reference for speed only) and in another environment
            are left out, with a notice.

    Returns:
        A report per contender that was asked.

    Raises:
        ModelError: there are no golden vectors for a model.
    """
    from fer_edge.verification.replay import verify

    reports = []
    for contender in contenders:
        if contender.backend == OPENCV or contender.python != sys.executable:
            LOG.warning("not verified: %s", contender.name)
            continue
        reports.append(verify(contender.path, backend=contender.backend, threads=contender.threads))
    return reports


def measure_models(
    request: BenchRequest,
    contenders: Sequence[Contender] | None = None,
    *,
    on_progress: OnFraction = silent,
    command: Sequence[str] = (),
) -> Report:
    """Measure what is asked for: models alone, or the whole pipeline (``end_to_end``).

    Args:
        request: what to measure, and how.
        contenders: as :func:`contenders_of` gives them for ``request``; None finds them.
        on_progress: gets the fraction done and what is being done.
        command: the command line, for the report.

    Returns:
        The report, with the state of the machine and whether each figure is valid.

    Raises:
        FerError: a model, the data or the source cannot be used, or a measuring process ended early.
    """
    contenders = contenders_of(request) if contenders is None else list(contenders)
    for contender in contenders:
        LOG.info("model %s on %s", contender.path, contender.backend)
    folders = dict.fromkeys(str(contender.path.parent) for contender in contenders)
    if request.everything and len(folders) > 1:
        LOG.warning("these files come from %s: make sure that they come from one export", ", ".join(folders))
    settings, created = _settings(contenders, request), _now()
    if request.end_to_end:
        report = _pipelines(contenders, request, settings, on_progress)
    else:
        report = _models(contenders, request, settings, on_progress)
    return dataclasses.replace(report, created_utc=created, command=[shlex.join(command)] if command else [])


def _pipelines(
    contenders: Sequence[Contender], request: BenchRequest, settings: Settings, on_progress: OnFraction
) -> Report:
    scene = Scene(str(request.source), request.detector, request.detector_model)
    _warn_where_busy()
    plan = Plan({"pipeline": 1.0, **_profile_seconds(contenders, request)})
    recorder = Recorder()
    stage = plan.stage(on_progress, "pipeline")
    pipelines = measure_end_to_end(contenders, scene, request.processes, request.minutes, stage)
    machine, conditions = read_machine(), recorder.stop()
    profiles = _profiles(contenders, request, plan, on_progress)
    return Report(SCHEMA, "", [], machine, conditions, settings, [], profiles, pipelines)


def _models(
    contenders: Sequence[Contender], request: BenchRequest, settings: Settings, on_progress: OnFraction
) -> Report:
    faces = load_faces(request.data, request.split, request.seed, request.limit) if request.accuracy else None
    if faces is not None and request.data is None:
        LOG.warning("no --data: accuracy is measured on synthetic faces and says nothing about real ones")
    _warn_where_busy()
    plan = _plan(contenders, request, faces)
    starts = counted(request.processes, "fresh process", "fresh processes")
    LOG.info("measuring %s in %s each: about %s", counted(len(contenders), "model"), starts, duration(plan.total_s))
    recorder = Recorder()
    series = time_contenders(contenders, settings, min_runs=MIN_RUNS, on_progress=plan.stage(on_progress, "timing"))
    scaling = _scaling(contenders, settings, plan.stage(on_progress, "threads")) if request.scaling else None
    conditions = recorder.stop()
    evaluations = None
    if faces is not None:
        costs = [float(np.median(item.samples_ms)) for item in series]
        evaluations = evaluate_contenders(contenders, faces, plan.stage(on_progress, "accuracy"), costs)
        warn_where_stuck(contenders, evaluations)
    profiles = _profiles(contenders, request, plan, on_progress)
    results = assemble(series, conditions, evaluations, scaling)
    return Report(SCHEMA, "", [], read_machine(), conditions, settings, results, profiles)


def _warn_where_busy() -> None:
    for reason in busy_now():
        LOG.warning("times will not be reliable now: %s", reason)


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


def _settings(contenders: Sequence[Contender], request: BenchRequest) -> Settings:
    return Settings(
        seconds_per_model=request.seconds,
        n_processes=request.processes,
        chunk_ms=CHUNK_MS,
        n_discarded_runs_per_chunk=DISCARDED_RUNS,
        threads=request.threads,
        interleaved=len(contenders) > 1,
        seed=request.seed,
    )


def _plan(contenders: Sequence[Contender], request: BenchRequest, faces: Split | None) -> Plan:
    """Roughly, on a fast machine; a slow one shows in the time left as soon as there is something to go by."""
    n, timed = len(contenders), _UNTIMED * request.seconds
    seconds = {"timing": n * (request.processes * _START_S + timed)}
    if request.scaling:
        seconds["threads"] = n * len(_thread_counts()) * (_START_S + timed / _SCALING_PART)
    if faces is not None:
        seconds["accuracy"] = n * (_START_S + _IMAGE_S * len(faces.labels)) / usable_cpus()
    return Plan(seconds | _profile_seconds(contenders, request))


def _profile_seconds(contenders: Sequence[Contender], request: BenchRequest) -> dict[str, float]:
    seconds = {}
    if request.profile:
        seconds["profile"] = len(_profiled(contenders)) * (2 * _START_S + request.seconds)
    if request.profile_detector:
        seconds["detector"] = _START_S + request.seconds
    return seconds


def _profiled(contenders: Sequence[Contender]) -> list[Contender]:
    return [contender for contender in contenders if contender.backend in profiled_backends()]


def _profiles(
    contenders: Sequence[Contender], request: BenchRequest, plan: Plan, on_progress: OnFraction
) -> list[Profile]:
    """Every operator of each contender, one model after the other, then those of the face detector."""
    profiles = []
    if request.profile:
        chosen, progress = _profiled(contenders), plan.stage(on_progress, "profile")
        for index, contender in enumerate(chosen):
            progress(index / len(chosen), f"profiling {contender.name}")
            recorder = Recorder()
            with Remote(contender) as remote:
                content = remote.profile(request.seconds)
            reasons = machine_reasons(recorder.stop())
            model, backend, threads = contender.path.name, contender.backend, contender.threads
            profiles.append(as_profile(model, backend, threads, content, reasons))
    if request.profile_detector:
        plan.stage(on_progress, "detector")(0.0, "profiling the face detector")
        profiles.append(profile_detector(detector_network(request.detector, request.detector_model), request.seconds))
    return profiles


def _thread_counts() -> list[int]:
    """1, 2, 4 ... and all CPUs."""
    return sorted({min(2**power, usable_cpus()) for power in range(usable_cpus().bit_length() + 1)})


def _scaling(contenders: Sequence[Contender], settings: Settings, on_progress: OnFraction) -> list[dict[str, float]]:
    """Inferences per second of each contender at 1, 2, 4 ... threads, one after the other."""
    counts = _thread_counts()
    wide = [dataclasses.replace(contender, threads=count) for contender in contenders for count in counts]
    short = dataclasses.replace(settings, n_processes=1, seconds_per_model=settings.seconds_per_model / _SCALING_PART)
    rates = []
    for index, contender in enumerate(wide):
        # One process at a time: worker threads of an idle runtime keep spinning for a while and would be neighbours.
        name = f"throughput at {counted(contender.threads, 'thread')}"
        stage = part(on_progress, index / len(wide), (index + 1) / len(wide), name)
        (item,) = time_contenders([contender], short, min_runs=1, on_progress=stage)
        rates.append(len(item.samples_ms) / item.wall_s)
    return [
        {str(count): rates[index * len(counts) + column] for column, count in enumerate(counts)}
        for index in range(len(contenders))
    ]
