"""The rules by which a measurement is not to be trusted, one by one; what is unknown makes nothing invalid."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time
from typing import Any

import pytest
from tests.benchmarks.report_examples import CONDITIONS

from fer_bench.machine import CpuTimes
from fer_bench.result import Conditions
from fer_bench.validity import Recorder, busiest, drift_percent, machine_reasons, neighbour_load, series_reasons


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
