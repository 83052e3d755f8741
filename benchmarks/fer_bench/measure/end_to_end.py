"""The whole pipeline: frames per second as fast as it goes, age and drops at the source's own pace, and a soak."""

from __future__ import annotations

import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from fer_bench.log import LOG
from fer_bench.measure.validity import Recorder, machine_reasons
from fer_bench.measure.worker_client import Contender
from fer_bench.progress import OnFraction
from fer_bench.schema import AgeMs, EndToEnd, SoakSample
from fer_edge import errors
from fer_edge.files import sha256_of

__all__ = [
    "MAX_SPREAD_PERCENT",
    "MIN_FRAMES",
    "N_SOAK_SAMPLES",
    "VIDEO_SUFFIXES",
    "Scene",
    "measure_end_to_end",
    "soak_findings",
    "summarise",
]

MIN_FRAMES: Final[int] = 50
MAX_SPREAD_PERCENT: Final[float] = 15.0
N_SOAK_SAMPLES: Final[int] = 240
VIDEO_SUFFIXES: Final = frozenset({".mp4", ".avi", ".mkv", ".mov", ".webm", ".m4v"})


@dataclass(frozen=True)
class Scene:
    """What the pipeline looks at, and with which face detector."""

    source: str
    """Video, image, folder or camera, as ``fer-camera --source`` takes it."""
    detector: str = "auto"
    """Name of the face detector, or ``auto``."""
    detector_model: str | None = None
    """The detector's file; None: the one in the cache folder."""

    @property
    def is_video_file(self) -> bool:
        """Whether it has a pace of its own that can be kept or not."""
        return Path(self.source).suffix.lower() in VIDEO_SUFFIXES and Path(self.source).exists()


def measure_end_to_end(
    contenders: Sequence[Contender], scene: Scene, n_repeats: int, minutes: float | None, on_progress: OnFraction
) -> list[EndToEnd]:
    """The pipeline with each contender, in fresh processes that take turns.

    Args:
        contenders: classifiers on their runtimes.
        scene: what the pipeline looks at.
        n_repeats: fresh processes per contender.
        minutes: run for this long, in one process per contender, and sample (a soak); None: to the end of the source.
        on_progress: gets the fraction done and what is being done.

    Returns:
        A result for each of ``contenders``.

    Raises:
        SourceError: the source cannot be read or has no frame.
        UsageError: a live source without ``minutes``, or an unknown detector.
        FerError: a process ended early.
    """
    passes: list[list[tuple[dict[str, Any], dict[str, Any] | None]]] = [[] for _ in contenders]
    reasons: list[set[str]] = [set() for _ in contenders]
    samples: list[list[SoakSample]] = [[] for _ in contenders]
    repeats = 1 if minutes else n_repeats
    for repeat in range(repeats):
        for index, contender in enumerate(contenders):
            step = (repeat * len(contenders) + index) / (repeats * len(contenders))
            on_progress(step, f"end to end, {contender.path.name}")
            recorder = Recorder()
            fast = _run(
                contender, scene, minutes=minutes, realtime=False, samples=samples[index], on_progress=on_progress
            )
            paced = None
            if scene.is_video_file and not minutes:
                paced = _run(contender, scene, minutes=None, realtime=True, samples=[], on_progress=on_progress)
            passes[index].append((fast, paced))
            reasons[index] |= set(machine_reasons(recorder.stop()))
    return [
        replace(summarise(contender, scene, done, sorted(why), soak), sha256=sha256_of(contender.path))
        for contender, done, why, soak in zip(contenders, passes, reasons, samples, strict=True)
    ]


def summarise(
    contender: Contender,
    scene: Scene,
    passes: Sequence[tuple[dict[str, Any], dict[str, Any] | None]],
    reasons: Sequence[str],
    samples: Sequence[SoakSample],
) -> EndToEnd:
    """The result from the passes: each as fast as it goes, and, for a video file, at its own pace.

    Args:
        contender: the classifier on its runtime.
        scene: what the pipeline looked at.
        passes: ``(fast, paced)`` figures of each repeat, as :func:`fer_bench.measure.pipeline_process.run` gives
            them; ``paced`` is None where the source has no pace of its own.
        reasons: why nothing measured meanwhile is valid; empty where nothing speaks against it.
        samples: of a soak.

    Returns:
        The result, valid or with reasons why not.

    Raises:
        SourceError: there was no frame.
    """
    fast = [seconds for seconds, _ in passes]
    paced = [pace for _, pace in passes if pace is not None]
    n_frames = sum(figures["n_frames"] for figures in fast)
    if n_frames == 0:
        raise errors.SourceError(f"{scene.source} returned no frame")
    rates = [figures["n_frames"] / figures["elapsed_s"] for figures in fast]
    problems = list(reasons)
    if n_frames < MIN_FRAMES:
        problems.append(f"too short: {n_frames} frames (at least {MIN_FRAMES}); a longer source, or --minutes")
    spread = 100 * (max(rates) - min(rates)) / statistics.median(rates)
    if spread > MAX_SPREAD_PERCENT:
        problems.append(f"too noisy: repeats differ by {spread:.0f} % (limit {MAX_SPREAD_PERCENT:.0f} %)")
    ages = [age for figures in paced for age in figures["ages_s"]]
    peaks = [figures["peak_rss_mib"] for figures in fast if figures["peak_rss_mib"] is not None]
    return EndToEnd(
        model=contender.path.name,
        backend=contender.backend,
        threads=contender.threads,
        source=Path(scene.source).name,
        detector=fast[0]["detector"],
        detector_engine=fast[0].get("detector_engine"),
        n_frames=n_frames,
        n_faces=sum(figures["n_faces"] for figures in fast),
        throughput_fps=statistics.median(rates),
        throughput_each_fps=rates,
        stage_ms={
            name: 1000 * sum(figures["busy_s"][name] for figures in fast) / n_frames for name in fast[0]["busy_s"]
        },
        age_ms=AgeMs(*(1000 * float(q) for q in np.quantile(ages, [0.5, 0.9, 0.99]))) if ages else None,
        n_dropped=sum(figures["n_dropped"] for figures in paced) if paced else None,
        first_result_ms=statistics.median(figures["first_result_ms"] for figures in fast),
        peak_rss_mib=max(peaks, default=None),
        valid=not problems,
        invalid_reasons=problems,
        samples=list(samples),
    )


def _run(
    contender: Contender,
    scene: Scene,
    *,
    minutes: float | None,
    realtime: bool,
    samples: list[SoakSample],
    on_progress: OnFraction,
) -> dict[str, Any]:
    """One process; its samples are added to ``samples`` as they come."""
    seconds = None if minutes is None else 60 * minutes
    options = {
        "model": str(contender.path.resolve()),
        "backend": contender.backend,
        "threads": contender.threads,
        "source": scene.source,
        "detector": scene.detector,
        "detector_model": scene.detector_model,
        "realtime": realtime,
        "loop": seconds is not None and scene.is_video_file,
        "seconds": seconds,
        "sample_s": None if seconds is None else max(1.0, seconds / N_SOAK_SAMPLES),
        "started_ns": time.monotonic_ns(),
    }
    command = [contender.python, "-m", "fer_bench.measure.pipeline_process", json.dumps(options)]
    LOG.debug("starting %s", " ".join(command))
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log) as process,
    ):
        try:
            assert process.stdout is not None
            for line in process.stdout:
                answer = json.loads(line)
                kind = answer.pop("kind")
                if kind == "done":
                    figures: dict[str, Any] = answer
                    return figures
                if kind == "error":
                    raise getattr(errors, answer["error"], errors.FerError)(answer["message"])
                samples.append(SoakSample(**answer))
                if seconds:
                    on_progress(min(1.0, samples[-1].t_s / seconds), f"soak, {contender.path.name}")
        except BaseException:
            process.kill()
            raise
        process.wait()
        log.seek(0)
        last = log.read().decode(errors="replace").strip().splitlines()[-1:]
        raise errors.FerError(f"the pipeline's process exited early: {last[0] if last else process.returncode}")


def soak_findings(result: EndToEnd) -> dict[str, float | None]:
    """What a soak shows: the last third against the first third.

    Args:
        result: with samples.

    Returns:
        ``throughput_change_percent``, ``rss_growth_mib`` and ``temperature_rise_c``; None for what is not known.
    """
    third = len(result.samples) // 3
    if third < 3:
        return {"throughput_change_percent": None, "rss_growth_mib": None, "temperature_rise_c": None}

    def change(key: str) -> float | None:
        values: list[float | None] = [getattr(sample, key) for sample in result.samples]
        known = [value for value in values if value is not None]
        if len(known) < len(values):
            return None
        return statistics.median(known[-third:]) - statistics.median(known[:third])

    first = statistics.median(sample.throughput_fps for sample in result.samples[:third])
    slower = change("throughput_fps")
    return {
        "throughput_change_percent": None if slower is None else 100 * slower / first,
        "rss_growth_mib": change("rss_mib"),
        "temperature_rise_c": change("temperature_c"),
    }
