"""Latency, load time and memory of several models: one process each, taking turns, warmed up until stable.

Turns are short (tens of milliseconds) and in random order, so that heating, frequency changes and neighbours hit all
models alike. The whole is repeated in fresh processes, because a process can be fast or slow as a whole.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fer_bench.log import LOG
from fer_bench.measure.worker_client import Contender, Opened, Remote, opened_remotes
from fer_bench.progress import OnFraction, part, silent
from fer_bench.schema import Settings

__all__ = [
    "LOADING_SHARE",
    "MAX_STRETCH",
    "MIN_RUNS_PER_CHUNK",
    "PREDICT_SHARE",
    "TIMING_FROM",
    "WARMUP_MAX_S",
    "WARMUP_TOLERANCE",
    "WARMUP_WINDOWS",
    "WARMUP_WINDOW_S",
    "Series",
    "time_contenders",
]

WARMUP_WINDOW_S = 0.05
WARMUP_WINDOWS = 3
WARMUP_TOLERANCE = 0.05
"""Warm when the medians of the last three windows lie within 5 % of each other."""
WARMUP_MAX_S = 5.0
MIN_RUNS_PER_CHUNK = 3
PREDICT_SHARE = 0.25
"""Time for ``Classifier.predict`` as a fraction of the time for the bare network."""
LOADING_SHARE, TIMING_FROM = 0.25, 0.3
"""For the progress bar: how much of a start goes by in loading, and until the timing begins."""
MAX_STRETCH = 20
"""A slow model may take this many times the seconds asked for to reach the runs that it needs."""


@dataclass
class Series:
    """All that was timed of one contender."""

    contender: Contender
    """The model on its runtime."""
    opened: list[Opened] = field(default_factory=list)
    """What each process reported once its model was ready."""
    rounds_ms: list[list[npt.NDArray[np.float64]]] = field(default_factory=list)
    """``rounds_ms[i][j]`` are the timings, in ms, of round ``j`` in process ``i``."""
    predict_ms: list[npt.NDArray[np.float64]] = field(default_factory=list)
    """Timings of ``Classifier.predict`` on one face, in ms, an array per turn."""
    steady_mib: list[float | None] = field(default_factory=list)
    """Resident memory at the end of each process, in MiB; None where it is not known."""
    peak_mib: list[float | None] = field(default_factory=list)
    """Highest resident memory of each process, in MiB; None where it is not known."""
    wall_s: float = 0.0
    """Seconds timed, over all processes."""
    cpu_s: float = 0.0
    """CPU seconds of the same time."""
    n_warmup_runs: int = 0
    """Runs before the timing, over all processes."""
    warmup_s: float = 0.0
    """Seconds that they took."""
    warmup_settled: bool = True
    """Whether the run times agreed at the end of every warm-up."""

    @property
    def samples_ms(self) -> npt.NDArray[np.float64]:
        """All timings, in ms."""
        return np.concatenate([samples for process in self.rounds_ms for samples in process])

    @property
    def round_p50_ms(self) -> list[list[float]]:
        """Median of each round, a list per process."""
        return [[float(np.median(samples)) for samples in process] for process in self.rounds_ms]


def time_contenders(
    contenders: Sequence[Contender],
    settings: Settings,
    *,
    min_runs: int,
    on_progress: OnFraction = silent,
) -> list[Series]:
    """Time every contender, in turns and in fresh processes.

    Args:
        contenders: models on their runtimes.
        settings: seconds, processes, length of a turn, seed.
        min_runs: fewest timed runs per contender, over all processes.
        on_progress: gets the fraction done, in [0, 1], and what is being done.

    Returns:
        What was timed, for each of ``contenders``.

    Raises:
        FerError: a model cannot be used, or a measuring process ended early.
    """
    series = [Series(contender) for contender in contenders]
    rng = np.random.default_rng(settings.seed)
    for process in range(settings.n_processes):
        report = part(on_progress, process / settings.n_processes, (process + 1) / settings.n_processes)
        which = f"start {process + 1} of {settings.n_processes}"
        with opened_remotes(list(contenders), part(report, 0.0, LOADING_SHARE)) as remotes:
            for item, remote in zip(series, remotes, strict=True):
                report(LOADING_SHARE, f"{which}: warming up {item.contender.name}")
                item.opened.append(remote.opened)
                item.rounds_ms.append([])
                _warm_up(item, remote)
            seconds = settings.seconds_per_model / settings.n_processes
            _take_turns(
                series,
                remotes,
                settings,
                seconds=seconds,
                min_runs=-(-min_runs // settings.n_processes),
                rng=rng,
                report=part(report, TIMING_FROM, 1.0),
                what=f"{which}: timing",
            )
            for item, remote in zip(series, remotes, strict=True):
                steady, peak = remote.memory()
                item.steady_mib.append(steady)
                item.peak_mib.append(peak)
    return series


def _warm_up(item: Series, remote: Remote) -> None:
    """Run until the medians of the last windows agree; remember when they did not."""
    medians: list[float] = []
    spent = 0.0
    while spent < WARMUP_MAX_S:
        chunk = remote.time("infer", WARMUP_WINDOW_S, MIN_RUNS_PER_CHUNK, 0)
        spent += chunk.wall_s
        item.n_warmup_runs += len(chunk.samples_ms)
        medians.append(statistics.median(chunk.samples_ms.tolist()))
        last = medians[-WARMUP_WINDOWS:]
        if len(last) == WARMUP_WINDOWS and max(last) <= min(last) * (1 + WARMUP_TOLERANCE):
            break
    else:
        item.warmup_settled = False
    item.warmup_s += spent
    LOG.debug("%s: warm after %.2f s, medians in ms: %s", item.contender.name, spent, [round(ms, 3) for ms in medians])


def _take_turns(
    series: list[Series],
    remotes: list[Remote],
    settings: Settings,
    *,
    seconds: float,
    min_runs: int,
    rng: np.random.Generator,
    report: OnFraction,
    what: str,
) -> None:
    """Rounds in which every model runs one chunk, until each had its seconds and its runs."""
    timed = np.zeros(len(series))
    runs = np.zeros(len(series))
    chunk_s, discard = settings.chunk_ms / 1000, settings.n_discarded_runs_per_chunk
    order = np.arange(len(series))
    while (timed < seconds).any() or ((runs < min_runs) & (timed < seconds * MAX_STRETCH)).any():
        if settings.interleaved:
            rng.shuffle(order)
        for index in order:
            item, remote = series[index], remotes[index]
            chunk = remote.time("infer", chunk_s, MIN_RUNS_PER_CHUNK, discard)
            item.rounds_ms[-1].append(chunk.samples_ms)
            item.wall_s += chunk.wall_s
            item.cpu_s += chunk.cpu_s
            timed[index] += chunk.wall_s
            runs[index] += len(chunk.samples_ms)
            predict = remote.time("predict", chunk_s * PREDICT_SHARE, 1, 0)
            item.predict_ms.append(predict.samples_ms)
        done = np.minimum(timed / seconds, runs / min_runs)
        report(float(min(1.0, done.min())), what)
