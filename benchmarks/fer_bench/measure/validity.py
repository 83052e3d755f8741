"""When is a measurement not to be trusted: the rules, their limits, and the recorder of the machine's state.

A rule that cannot be checked here (no governor in a virtual machine) says nothing; it does not make a run invalid.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from fer_bench.intervals import relative_spread
from fer_bench.log import LOG
from fer_bench.measure.machine import (
    ROOT,
    CpuTimes,
    read_cpu_times,
    read_frequency_mhz,
    read_governor,
    read_pi_throttled,
    read_process_times,
    read_temperature_c,
    read_throttle_events,
)
from fer_bench.schema import Conditions

__all__ = [
    "HITS_ALL_ALIKE",
    "MAX_DRIFT_PERCENT",
    "MAX_INTERVAL_PERCENT",
    "MAX_NEIGHBOURS_CPUS",
    "MAX_RATIO_DRIFT_PERCENT",
    "MAX_RATIO_INTERVAL_PERCENT",
    "MAX_SPREAD_PERCENT",
    "MAX_STOLEN_PERCENT",
    "MIN_ROUNDS",
    "MIN_RUNS",
    "MIN_SHARE_OF_CPU",
    "MIN_TIMED_S",
    "Recorder",
    "busiest",
    "busy_now",
    "drift_percent",
    "machine_reasons",
    "neighbour_load",
    "ratio_reasons",
    "series_reasons",
]

MIN_RUNS: Final[int] = 200
"""Fewer cannot show a p99: its two slowest runs would decide it."""
MIN_TIMED_S: Final[float] = 0.5
MIN_ROUNDS: Final[int] = 9
MAX_NEIGHBOURS_CPUS: Final[float] = 0.2
MAX_STOLEN_PERCENT: Final[float] = 2.0
MIN_SHARE_OF_CPU: Final[float] = 0.95
MAX_INTERVAL_PERCENT: Final[float] = 5.0
"""Half the width of the 95 % interval of p50, in percent of p50."""
MAX_SPREAD_PERCENT: Final[float] = 10.0
"""Interquartile range of the round medians, in percent of their median."""
MAX_DRIFT_PERCENT: Final[float] = 10.0
MAX_RATIO_INTERVAL_PERCENT: Final[float] = 2.0
"""Half the width of the 95 % interval of a ratio of two models, in percent of the ratio."""
MAX_RATIO_DRIFT_PERCENT: Final[float] = 3.0
HITS_ALL_ALIKE: Final[tuple[str, ...]] = ("too noisy", "drift")
"""Reasons, by their first words, that spoil milliseconds but not the ratio of two models that took turns all along:
noise and drift of the machine hit both and cancel, and whether they did shows in the ratio's own interval."""
_PI_NOW: Final[dict[int, str]] = {
    0: "under-voltage",
    1: "Arm frequency capped",
    2: "throttled",
    3: "soft temperature limit",
}


class Recorder:
    """Records the machine's state when made and when :meth:`stop` is called.

    Args:
        root: of the file system.
    """

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root
        self._temperature = read_temperature_c(root)
        self._frequency = read_frequency_mhz(root)
        self._throttled = read_pi_throttled(root)
        self._events = read_throttle_events(root)
        self._processes = read_process_times(root)
        self._own_s = _own_cpu_seconds()
        self._times = read_cpu_times(root)
        self._began = time.monotonic()

    def stop(self) -> Conditions:
        """The conditions since; the measuring processes must have ended, so that their CPU time is known as ours.

        Returns:
            The conditions.
        """
        wall = time.monotonic() - self._began
        times, own = read_cpu_times(self._root), _own_cpu_seconds() - self._own_s
        events = read_throttle_events(self._root)
        neighbours, stolen = neighbour_load(self._times, times, own, wall)
        LOG.debug(
            "%.1f s: %.1f CPU seconds of our own, neighbours %s CPUs, stolen %s %%", wall, own, neighbours, stolen
        )
        return Conditions(
            governor=read_governor(self._root),
            temperature_before_c=self._temperature,
            temperature_after_c=read_temperature_c(self._root),
            frequency_before_mhz=self._frequency,
            frequency_after_mhz=read_frequency_mhz(self._root),
            pi_throttled_before=self._throttled,
            pi_throttled_after=read_pi_throttled(self._root),
            n_throttle_events=None if events is None or self._events is None else max(0, events - self._events),
            neighbours_cpus=neighbours,
            busiest_neighbour=busiest(self._processes, read_process_times(self._root), wall),
            stolen_percent=stolen,
        )


def busy_now(look_s: float = 0.3) -> list[str]:
    """What would make a measurement invalid that began now; better known before than after minutes.

    Args:
        look_s: how long to look, in seconds.

    Returns:
        Reasons, as :func:`machine_reasons`.
    """
    recorder = Recorder()
    time.sleep(look_s)
    return machine_reasons(recorder.stop())


def neighbour_load(
    before: CpuTimes | None, after: CpuTimes | None, own_s: float, wall_s: float
) -> tuple[float | None, float | None]:
    """How much others computed meanwhile.

    Args:
        before: CPU times at the beginning; None where they cannot be read.
        after: CPU times at the end.
        own_s: CPU seconds of our own processes.
        wall_s: seconds in between.

    Returns:
        CPUs that others kept busy on average, and percent of all CPU time that the hypervisor took away; None for what
        is not known.
    """
    if before is None or after is None or wall_s <= 0 or after.total_s <= before.total_s:
        return None, None
    others = max(0.0, after.busy_s - before.busy_s - own_s) / wall_s
    stolen = 100 * (after.stolen_s - before.stolen_s) / (after.total_s - before.total_s)
    return round(others, 3), round(max(0.0, stolen), 2)


def busiest(before: dict[int, tuple[str, float]], after: dict[int, tuple[str, float]], wall_s: float) -> str | None:
    """Name and load of the process, not ours, that used most CPU time in between.

    Our measuring processes have ended by then, so they are not among ``after``.

    Args:
        before: as :func:`fer_bench.measure.machine.read_process_times` gives it, at the beginning.
        after: the same at the end.
        wall_s: seconds in between.

    Returns:
        Such as ``ffmpeg (process 17, 0.80 CPUs)``; None when none used 0.05 CPUs.
    """
    used = [
        (seconds - (before[pid][1] if pid in before else 0.0), name, pid)
        for pid, (name, seconds) in after.items()
        if pid != os.getpid()
    ]
    seconds, name, pid = max(used, default=(0.0, "", 0))
    if wall_s <= 0 or seconds / wall_s < 0.05:
        return None
    return f"{name} (process {pid}, {seconds / wall_s:.2f} CPUs)"


def _own_cpu_seconds() -> float:
    """CPU time of this process and of its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def machine_reasons(conditions: Conditions) -> list[str]:
    """Why nothing measured under these conditions is valid.

    Args:
        conditions: state of the machine meanwhile.

    Returns:
        Reasons; empty when nothing speaks against it.
    """
    reasons = []
    if conditions.governor and "powersave" in conditions.governor:
        reasons.append(
            "CPU governor is powersave; set performance: "
            "echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"
        )
    if conditions.pi_throttled_after:
        flags = int(conditions.pi_throttled_after, 16)
        before = int(conditions.pi_throttled_before or "0", 16)
        # Bits 16..19 remember since boot: only those that came up while measuring count.
        raised = flags | ((flags & ~before) >> 16)
        reasons += [f"Raspberry Pi firmware reports: {name}" for bit, name in _PI_NOW.items() if raised >> bit & 1]
    if conditions.n_throttle_events:
        reasons.append(f"throttled: the CPU counted {conditions.n_throttle_events} thermal throttling events")
    if conditions.neighbours_cpus is not None and conditions.neighbours_cpus > MAX_NEIGHBOURS_CPUS:
        who = f", most of it {conditions.busiest_neighbour}" if conditions.busiest_neighbour else ""
        reasons.append(
            f"busy neighbour: other processes used {conditions.neighbours_cpus:.2f} CPUs "
            f"(limit {MAX_NEIGHBOURS_CPUS}){who}"
        )
    if conditions.stolen_percent is not None and conditions.stolen_percent > MAX_STOLEN_PERCENT:
        reasons.append(
            f"busy host: the hypervisor took {conditions.stolen_percent:.1f} % of the CPU time "
            f"(limit {MAX_STOLEN_PERCENT} %)"
        )
    return reasons


def series_reasons(
    rounds_p50_ms: Sequence[Sequence[float]],
    *,
    p50_ms: float,
    p50_ci95_ms: tuple[float, float],
    n_runs: int,
    timed_s: float,
    share_of_cpu: float | None,
    warmup_settled: bool,
) -> list[str]:
    """Why one model's timings are not valid.

    Args:
        rounds_p50_ms: median of each round in ms, a list per process, in the order of time.
        p50_ms: median of all timings, in ms.
        p50_ci95_ms: its 95 % interval, in ms.
        n_runs: timed runs.
        timed_s: timed seconds.
        share_of_cpu: CPU time over wall time; None where it says nothing (an accelerator).
        warmup_settled: whether the run times agreed at the end of the warm-up.

    Returns:
        Reasons; empty when nothing speaks against them.
    """
    reasons = []
    flat = np.array([value for process in rounds_p50_ms for value in process])
    if n_runs < MIN_RUNS or timed_s < MIN_TIMED_S or len(flat) < MIN_ROUNDS:
        reasons.append(
            f"too short: {n_runs} runs, {timed_s:.2f} s, {len(flat)} rounds "
            f"(at least {MIN_RUNS}, {MIN_TIMED_S} s, {MIN_ROUNDS}); raise --seconds"
        )
    if not warmup_settled:
        reasons.append("warm-up did not settle: run times were still changing when its time was up")
    half = 100 * (p50_ci95_ms[1] - p50_ci95_ms[0]) / 2 / p50_ms
    spread = 100 * relative_spread(flat)
    if half > MAX_INTERVAL_PERCENT:
        reasons.append(f"too noisy: p50 is uncertain by +-{half:.0f} % (limit {MAX_INTERVAL_PERCENT:.0f} %)")
    elif spread > MAX_SPREAD_PERCENT:
        reasons.append(f"too noisy: rounds differ by {spread:.0f} % (limit {MAX_SPREAD_PERCENT:.0f} %)")
    drift = drift_percent(rounds_p50_ms)
    if drift is not None and abs(drift) > MAX_DRIFT_PERCENT:
        word = "slower (heating up?)" if drift > 0 else "faster"
        reasons.append(
            f"drift: {abs(drift):.0f} % {word} at the end than at the start (limit {MAX_DRIFT_PERCENT:.0f} %)"
        )
    if share_of_cpu is not None and share_of_cpu < MIN_SHARE_OF_CPU:
        reasons.append(
            f"interrupted: the process had a CPU for {100 * share_of_cpu:.0f} % of the time "
            f"(limit {100 * MIN_SHARE_OF_CPU:.0f} %)"
        )
    return reasons


def ratio_reasons(
    round_ratios: Sequence[Sequence[float]],
    *,
    ratio: float,
    ratio_ci95: tuple[float, float],
    reasons: Sequence[str],
) -> list[str]:
    """Why the ratio of two interleaved models is not valid.

    Noise and drift of the machine alone do not make it so: the interval of the ratio, over processes and rounds, and
    its own drift decide instead, by narrower limits.

    Args:
        round_ratios: ratios round by round, a list per process.
        ratio: their median.
        ratio_ci95: its 95 % interval.
        reasons: what makes either model's timings invalid.

    Returns:
        Reasons; empty when nothing speaks against it.
    """
    problems = [reason for reason in dict.fromkeys(reasons) if not reason.startswith(HITS_ALL_ALIKE)]
    half = 100 * (ratio_ci95[1] - ratio_ci95[0]) / 2 / ratio
    if half > MAX_RATIO_INTERVAL_PERCENT:
        problems.append(f"ratio uncertain by +-{half:.1f} % (limit {MAX_RATIO_INTERVAL_PERCENT:.0f} %)")
    drift = drift_percent(round_ratios)
    if drift is None or abs(drift) > MAX_RATIO_DRIFT_PERCENT:
        change = "unknown, too few rounds" if drift is None else f"{drift:+.1f} %"
        problems.append(f"ratio drifts: {change} from start to end (limit {MAX_RATIO_DRIFT_PERCENT:.0f} %)")
    return problems


def drift_percent(rounds_p50_ms: Sequence[Sequence[float]]) -> float | None:
    """Median of the last third of all rounds against the first third.

    Args:
        rounds_p50_ms: a list per process, in the order of time, in any unit.

    Returns:
        In percent, positive for slower; None with fewer than 9 rounds.
    """
    flat = np.array([value for process in rounds_p50_ms for value in process])
    third = len(flat) // 3
    if third < 3:
        return None
    return float(100 * (np.median(flat[-third:]) / np.median(flat[:third]) - 1))
