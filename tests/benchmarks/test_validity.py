"""The rules by which a measurement is not to be trusted, one by one; what is unknown makes nothing invalid."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest
from tests.benchmarks.report_examples import CONDITIONS

from fer_bench.intervals import paired_ratio
from fer_bench.measure.machine import CpuTimes
from fer_bench.measure.validity import (
    Recorder,
    busiest,
    drift_percent,
    machine_reasons,
    neighbour_load,
    ratio_reasons,
    series_reasons,
)
from fer_bench.schema import Conditions


def with_conditions(**changes: Any) -> list[str]:
    return machine_reasons(dataclasses.replace(CONDITIONS, **changes))


def test_good_conditions_and_unknown_ones_say_nothing() -> None:
    assert machine_reasons(CONDITIONS) == []
    unknown = Conditions(**dict.fromkeys(field.name for field in dataclasses.fields(Conditions)))
    assert machine_reasons(unknown) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"governor": "powersave"}, "governor is powersave"),
        ({"governor": "performance+powersave"}, "governor is powersave"),
        ({"n_throttle_events": 2}, "2 thermal throttling events"),
        ({"neighbours_cpus": 0.5, "busiest_neighbour": "cc1 (process 7, 0.48 CPUs)"}, "0.50 CPUs (limit 0.2), most"),
        ({"stolen_percent": 4.0}, "hypervisor took 4.0 %"),
        ({"pi_throttled_after": "0x1"}, "under-voltage"),
        ({"pi_throttled_after": "0x8"}, "soft temperature limit"),
        ({"pi_throttled_after": "0x40000"}, "throttled"),  # came and went while measuring
    ],
)
def test_each_rule_for_the_machine(changes: dict[str, Any], words: str) -> None:
    (reason,) = with_conditions(**changes)
    assert words in reason
    assert "\n" not in reason


def test_throttling_long_before_the_measurement_does_not_count() -> None:
    assert with_conditions(pi_throttled_before="0x50000", pi_throttled_after="0x50000") == []


GOOD: dict[str, Any] = {
    "p50_ms": 1.0,
    "p50_ci95_ms": (0.99, 1.01),
    "n_runs": 2000,
    "timed_s": 3.0,
    "share_of_cpu": 0.999,
    "warmup_settled": True,
}
FLAT = [[1.0, 1.001, 0.999] * 8] * 3


def test_a_good_series() -> None:
    assert series_reasons(FLAT, **GOOD) == []
    assert series_reasons(FLAT, **{**GOOD, "share_of_cpu": None}) == []


@pytest.mark.parametrize(
    ("changes", "rounds", "words"),
    [
        ({"n_runs": 50}, FLAT, "too short: 50 runs"),
        ({"timed_s": 0.1}, FLAT, "too short: 2000 runs, 0.10 s"),
        ({}, [[1.0] * 5], "5 rounds"),
        ({"warmup_settled": False}, FLAT, "warm-up did not settle"),
        ({"p50_ci95_ms": (0.9, 1.1)}, FLAT, "p50 is uncertain by +-10 %"),
        ({}, [[1.0, 1.3] * 12] * 3, "rounds differ by"),
        ({}, [[1.0] * 20, [1.05] * 20, [1.15] * 20], "drift: 15 % slower (heating up?)"),
        ({}, [[1.15] * 20, [1.05] * 20, [1.0] * 20], "drift: 13 % faster"),
        ({"share_of_cpu": 0.61}, FLAT, "interrupted: the process had a CPU for 61 % of the time"),
    ],
)
def test_each_rule_for_a_series(changes: dict[str, Any], rounds: list[list[float]], words: str) -> None:
    reasons = series_reasons(rounds, **{**GOOD, **changes})
    assert any(words in reason for reason in reasons), reasons


def test_drift_needs_enough_rounds() -> None:
    assert drift_percent([[1.0] * 8]) is None
    assert drift_percent([[1.0] * 4, [1.5] * 5]) == pytest.approx(50.0)


def test_neighbours_are_what_is_busy_and_not_ours() -> None:
    before, after = CpuTimes(10.0, 1.0, 100.0), CpuTimes(25.0, 1.5, 120.0)
    assert neighbour_load(before, after, own_s=9.0, wall_s=10.0) == (0.6, 2.5)
    assert neighbour_load(before, after, own_s=16.0, wall_s=10.0)[0] == 0.0
    assert neighbour_load(None, after, 0.0, 10.0) == (None, None)


def test_the_busiest_is_named() -> None:
    before = {1: ("init", 5.0), 7: ("cc1", 1.0), os.getpid(): ("us", 0.0)}
    after = {1: ("init", 5.1), 7: ("cc1", 3.0), 8: ("ld", 1.5), os.getpid(): ("us", 9.0)}
    assert busiest(before, after, 4.0) == "cc1 (process 7, 0.50 CPUs)"
    assert busiest(before, before, 4.0) is None


def test_a_real_neighbour_is_seen() -> None:
    burn = "import time\nend = time.monotonic() + {}\nwhile time.monotonic() < end: pass"
    recorder = Recorder()
    with subprocess.Popen([sys.executable, "-c", burn.format(30)]) as neighbour:  # runs on: not ours to subtract
        time.sleep(0.8)
        seen = recorder.stop()
        neighbour.kill()
    if seen.neighbours_cpus is None:
        pytest.skip("/proc/stat cannot be read here")
    assert seen.neighbours_cpus > 0.3
    assert seen.busiest_neighbour is not None
    assert any("busy neighbour" in reason for reason in machine_reasons(seen))


STEADY = [[0.5, 0.501, 0.499] * 8] * 3


def trusted(ratios: list[list[float]] = STEADY, half: float = 0.002, *reasons: str) -> list[str]:
    return ratio_reasons(ratios, ratio=0.5, ratio_ci95=(0.5 - half, 0.5 + half), reasons=reasons)


def test_noise_and_drift_of_the_machine_spare_the_ratio() -> None:
    """Both models took turns: what slows both is in neither's favour."""
    assert trusted() == []
    assert trusted(STEADY, 0.002, "too noisy: rounds differ by 14 %", "drift: 12 % faster at the end") == []


@pytest.mark.parametrize(
    "reason",
    [
        "busy neighbour: other processes used 1.02 CPUs",
        "CPU governor is powersave; set performance",
        "too short: 50 runs",
        "warm-up did not settle: run times were still changing",
        "interrupted: the process had a CPU for 61 % of the time",
    ],
)
def test_all_else_spoils_the_ratio_too(reason: str) -> None:
    assert trusted(STEADY, 0.002, "too noisy: rounds differ by 14 %", reason) == [reason]


def test_a_ratio_has_limits_of_its_own() -> None:
    assert trusted(STEADY, 0.02) == ["ratio uncertain by +-4.0 % (limit 2 %)"]
    (drifts,) = trusted([[0.5] * 20, [0.51] * 20, [0.53] * 20])
    assert drifts.startswith("ratio drifts: +6.0 %")
    (unknown,) = trusted([[0.5] * 5])
    assert "too few rounds" in unknown


@pytest.mark.parametrize(("noise", "valid"), [(0.0, True), (0.06, False)])
def test_ratio_of_models_on_a_machine_that_changes_speed(noise: float, valid: bool) -> None:
    """Rounds that differ by 20 % for both alike give an exact ratio; noise of each one's own does not."""
    rng = np.random.default_rng(4)
    machine = 1 + 0.2 * np.sin(np.arange(75)).reshape(3, 25)
    one, other = (machine * p50 * (1 + noise * rng.standard_normal((3, 25))) for p50 in (1.0, 2.0))
    ratio, interval = paired_ratio(one.tolist(), other.tolist())
    found = ratio_reasons((one / other).tolist(), ratio=ratio, ratio_ci95=interval, reasons=["too noisy: x"])
    assert (found == []) is valid
    if valid:
        assert ratio == pytest.approx(0.5)
