"""How far a long measurement is: the stages add up, a log gets a line now and then, and the estimate is one."""

from __future__ import annotations

import dataclasses

import pytest
from tests.benchmarks.report_examples import CONDITIONS, MACHINE, a_report, a_result

from fer_bench.progress import Lines, Plan, duration, part
from fer_bench.report.file_name import conditions_name


def test_stages_add_up_to_the_whole() -> None:
    seen: list[tuple[float, str]] = []
    plan = Plan({"timing": 60.0, "threads": 20.0, "accuracy": 20.0})
    assert plan.total_s == 100.0
    for name in ("timing", "threads", "accuracy"):
        stage = plan.stage(lambda fraction, what: seen.append((fraction, what)), name)
        stage(0.0, name)
        stage(1.0, name)
    fractions = [fraction for fraction, _ in seen]
    assert fractions == pytest.approx([0.0, 0.6, 0.6, 0.8, 0.8, 1.0])
    assert seen[3][1] == "threads"


def test_a_part_stays_within_its_stretch_and_may_have_a_name() -> None:
    seen: list[tuple[float, str]] = []
    stage = part(lambda fraction, what: seen.append((fraction, what)), 0.5, 0.75, "mine")
    stage(-1.0, "theirs")
    stage(7.0, "theirs")
    assert seen == [(0.5, "mine"), (0.75, "mine")]


def test_a_log_gets_a_line_every_ten_seconds_with_the_time_left(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    caplog.set_level("INFO", "fer_bench")
    say = Lines(lambda: now)
    for second in range(1, 26):
        now = float(second)
        say(second / 100, "start 1 of 3: timing")
    assert caplog.messages == [
        "10 %, start 1 of 3: timing, about 90 s left",
        "20 %, start 1 of 3: timing, about 80 s left",
    ]


@pytest.mark.parametrize(("seconds", "text"), [(1.0, "5 s"), (43.0, "45 s"), (89.0, "90 s"), (130.0, "2 min")])
def test_an_estimate_is_no_more_exact_than_it_is(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_result_is_named_by_its_conditions() -> None:
    name = conditions_name(a_report([a_result()]))
    assert name == "raspberry-pi-5-model-b_4cpus_debian-12_python-3.11_litert-2.3_1-thread_2026-11-23.json"
    machine = dataclasses.replace(
        MACHINE, board=None, cpu_model="Intel(R) Xeon(R) CPU @ 2.20GHz", virtual_machine=True, packages={}
    )
    report = a_report([a_result()], machine=machine, conditions=CONDITIONS)
    assert conditions_name(report).startswith("intel-r-xeon-r-2.20ghz-vm_4cpus_debian-12_python-3.11_onnx_1-thread_")
