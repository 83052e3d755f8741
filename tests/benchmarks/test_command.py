"""The command from end to end, on models made for the tests."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.benchmarks.report_examples import CONDITIONS, a_report, a_result

import fer_bench
from fer_bench.cli import main
from fer_bench.measure.assemble import assemble
from fer_bench.measure.latency import Series
from fer_bench.measure.measurement import verify_contenders
from fer_bench.measure.worker_client import Contender, Opened
from fer_bench.options import compare_parser, demo_parser, measure_parser
from fer_bench.report.html_page import page
from fer_bench.report.terminal import console, print_report
from fer_bench.report_file import parse_report, read_report
from fer_edge.command import CommandParser
from fer_edge.verification.replay import VerifyReport
from fer_edge.verification.stage import StageResult

QUICK = ["--seconds", "0.1", "--processes", "1"]


@pytest.fixture
def too_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine even the quickest measurement goes on for longer than the half second that is asked for."""
    monkeypatch.setattr("fer_bench.measure.validity.MIN_TIMED_S", 3600.0)


@pytest.mark.usefixtures("too_short")
def test_two_models_with_json_and_page(
    tiny_onnx: Path, slower_onnx: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    json_path, html_path = tmp_path / "r.json", tmp_path / "r.html"
    models = ["--model", str(tiny_onnx), "--model", str(slower_onnx), "--limit", "70"]
    assert main([*models, *QUICK, "--json", str(json_path), "--html", str(html_path)]) == 0
    out, notices = capsys.readouterr()
    assert str(tiny_onnx) in notices and str(tiny_onnx) not in out.replace("\n", "")  # results apart from notices
    report = read_report(json_path)
    tiny, slower = report.results
    assert (tiny.model, tiny.backend, tiny.split) == ("tiny.onnx", "onnx", "synthetic")
    assert tiny.n_images == 70
    assert tiny.agreement_with_reference == 1.0  # it is the reference
    assert slower.reference == "tiny.onnx on onnx"
    assert slower.latency_ms.p50 > tiny.latency_ms.p50
    assert slower.file_bytes > tiny.file_bytes
    # Too short: marked wherever it appears, and without a ratio
    assert not tiny.valid
    assert any("too short" in reason for reason in tiny.invalid_reasons)
    assert tiny.ratio_to_float is None
    assert "too short" in out
    text = html_path.read_text()
    assert "Invalid timings" in text
    assert "too short" in text
    assert "http" not in text.replace("http://www.w3.org", "").replace("http://purl.org", "").replace(
        "http://creativecommons.org", ""
    ).replace("https://matplotlib.org", "")


def test_a_backend_by_name(tmp_path: Path) -> None:
    assert main(["--model", "x@fake", *QUICK, "--no-accuracy", "--json", str(tmp_path), "--scaling"]) == 0
    (path,) = tmp_path.glob("*_1-thread_*.json")  # in a folder it is named by its conditions
    (result,) = read_report(path).results
    assert result.backend == "fake"
    assert result.accuracy is None
    assert result.throughput_by_threads_fps["1"] > 0


@pytest.mark.parametrize(("passed", "code"), [(True, 0), (False, 1)])
def test_golden_vectors_come_first(
    passed: bool, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stage = StageResult("network", passed, "3 of 4 outputs identical", "another kernel")
    found = VerifyReport(Path("m.tflite"), Path("golden.npz"), "fake", "fake", 4, (stage,))
    monkeypatch.setattr("fer_edge.verification.replay.verify", lambda model, *, backend, threads: found)
    path = tmp_path / "r.json"
    assert main(["--model", "x@fake", *QUICK, "--no-accuracy", "--verify", "--json", str(path)]) == code
    captured = capsys.readouterr()
    assert "3 of 4 outputs identical" in captured.out
    assert path.exists() == passed  # a device that computes wrong is not measured
    assert ("another kernel" in captured.err) != passed


def test_what_runs_in_another_environment_is_not_verified(
    monkeypatch: pytest.MonkeyPatch, tiny_onnx: Path, caplog: pytest.LogCaptureFixture
) -> None:
    passed = VerifyReport(
        Path("m.onnx"), Path("golden.npz"), "onnx", "onnx", 4, (StageResult("network", True, "4", ""),)
    )
    asked: list[str] = []

    def verify(model: Path, *, backend: str, threads: int) -> VerifyReport:
        asked.append(backend)
        return passed

    monkeypatch.setattr("fer_edge.verification.replay.verify", verify)
    three = [Contender(tiny_onnx, "onnx"), Contender(tiny_onnx, "opencv"), Contender(tiny_onnx, "onnx", 1, "/py")]
    assert verify_contenders(three) == [passed]
    assert asked == ["onnx"]
    assert [(one.name, one.getMessage()) for one in caplog.records] == [
        ("fer_bench", "not verified: tiny.onnx on opencv"),
        ("fer_bench", "not verified: tiny.onnx on onnx"),
    ]


def test_a_busy_machine_is_told_before(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    busy = dataclasses.replace(CONDITIONS, neighbours_cpus=1.5, busiest_neighbour="fer-train")
    monkeypatch.setattr("fer_bench.measure.validity.Recorder.stop", lambda self: busy)
    assert main(["--model", "x@fake", *QUICK, "--no-accuracy"]) == 0
    after, notices = capsys.readouterr()
    before, measuring, _ = notices.partition("measuring 1 model in 1 fresh process each")
    assert measuring
    assert "fer-bench: warning: times will not be reliable now: busy neighbour" in before
    assert after.count("Do not rely on these times: busy neighbour") == 1
    assert "NO" not in after and "valid" not in after.split("Do not rely")[0]


@pytest.mark.usefixtures("too_short")
def test_require_valid_fails_when_too_short(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--model", "x@fake", *QUICK, "--no-accuracy", "--require-valid"]) == 1
    assert "1 of 1 speed measurement invalid" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--model", "missing.tflite"], 2, "no model file missing.tflite"),
        (["--model", "{empty}"], 2, "is empty"),
        (["--model", "{text}"], 2, "is not a TFLite model"),
        (["--model", "{onnx}", "--data", "missing.zip"], 2, "missing.zip"),
        (["--model", "x@nonsense"], 2, "unknown backend 'nonsense'"),
        (["--model", "{onnx}@liter"], 2, "unknown backend 'liter'; did you mean litert?"),
        (["--threads", "0"], 2, "at least 1"),
        (["--seconds", "nan"], 2, "above 0"),
        (["--modle", "x"], 2, "did you mean --model?"),
        (["--model", "x@fake", "--profile"], 2, "--profile works on litert and onnx, not on fake"),
        (["--model", "x@fake", "--html", "{folder}"], 2, "cannot be written: it is a folder"),
        (["--limit", "0"], 2, "at least 1"),
        (["--runtime-python", "tflite-runtime", "--model", "{onnx}"], 2, "expected BACKEND=PYTHON"),
        (["compare", "missing.json", "missing.json"], 2, "missing.json"),
        (["compare", "{text}", "{text}"], 2, "is not JSON"),
        (["compare"], 2, "required"),
    ],
)
def test_mistakes_are_answered_in_a_line_or_two(
    arguments: list[str], code: int, words: str, tiny_onnx: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty.tflite").touch()
    (tmp_path / "text.tflite").write_text("This is no model, whatever its name says.")
    files = {
        "empty": tmp_path / "empty.tflite",
        "text": tmp_path / "text.tflite",
        "onnx": tiny_onnx,
        "folder": tmp_path,
    }
    assert main([argument.format(**files) for argument in arguments]) == code
    shown = capsys.readouterr().err
    error = shown[shown.index(": error: ") :]  # notices may come before it
    assert words in error
    assert 1 <= len(error.splitlines()) <= 2


@pytest.mark.parametrize(("option", "notices"), [("--quiet", 0), ("--verbose", 5)])
def test_notices_have_levels_and_results_have_none(
    option: str, notices: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--model", "x@fake", *QUICK, "--no-accuracy", option]) == 0
    out, shown = capsys.readouterr()
    assert "Latency, 1 thread" in out and "measuring" not in out
    assert len(shown.splitlines()) >= notices if notices else shown == ""
    assert ("warm after" in shown and "fer_bench.measure.worker_process" in shown) == (notices > 0)


@pytest.mark.parametrize("parser", [measure_parser, compare_parser, demo_parser])
def test_every_subcommand_has_levels(parser: Callable[[], CommandParser]) -> None:
    assert {"--quiet", "--verbose"} <= set(parser()._option_string_actions)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--model", "missing.tflite"], 2, "no model file missing.tflite"),
        (["--model", "x@fake", "--html", "/"], 2, "/ cannot be written: it is a folder"),
        (["--model", "x@fake", "--end-to-end"], 2, "--end-to-end needs --source"),
        (["compare", "missing.json", "missing.json"], 2, "missing.json"),
        (["--model", "x@fake"], 3, "rich is not installed"),
    ],
)
def test_without_rich_a_mistake_is_still_found_first(
    arguments: list[str], code: int, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "rich"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "rich", None)
    assert main([*arguments, "--quiet"]) == code
    assert words in capsys.readouterr().err


def test_measuring_from_python() -> None:
    request = fer_bench.BenchRequest(models=("x@fake",), seconds=0.1, processes=1, accuracy=False)
    report = fer_bench.measure_models(request)
    assert [one.backend for one in report.results] == ["fake"]
    assert (report.command, report.settings.seconds_per_model) == ([], 0.1)
    assert parse_report(report.as_json(), "r.json") == report


def series(name: str, p50_ms: float, precision: str, folder: Path, rounds: int = 25) -> Series:
    path = folder / name
    path.write_bytes(name.encode())
    item = Series(Contender(path, "litert"))
    rng = np.random.default_rng(0)
    for _ in range(3):
        item.opened.append(Opened("litert", "ai-edge-litert 2.3.0", precision, 96, 150.0, 30.0, 2.0, 400.0, 40.0))
        item.rounds_ms.append([p50_ms * (1 + 0.01 * rng.standard_normal(40)) for _ in range(rounds)])
        item.predict_ms.append(item.rounds_ms[-1][0])
        item.steady_mib.append(80.0)
        item.peak_mib.append(82.0)
    item.wall_s = float(item.samples_ms.sum()) / 1000
    item.cpu_s = 0.999 * item.wall_s
    return item


def test_valid_measurements_have_ratios(tmp_path: Path) -> None:
    int8, float32 = assemble(
        [series("a.tflite", 0.8, "int8", tmp_path), series("b.tflite", 1.6, "float32", tmp_path)], CONDITIONS
    )
    assert int8.valid, int8.invalid_reasons
    assert int8.ratio_to_float == pytest.approx(0.5, abs=0.01)
    assert int8.ratio_to_best == 1.0
    assert float32.ratio_to_float == 1.0
    assert float32.ratio_to_best == pytest.approx(2.0, abs=0.02)
    assert int8.latency_ms.p50 == pytest.approx(0.8, rel=0.01)
    assert int8.throughput_fps == pytest.approx(1250, rel=0.01)


def test_one_invalid_measurement_takes_the_ratios_that_need_it(tmp_path: Path) -> None:
    short = series("b.tflite", 1.6, "float32", tmp_path, rounds=1)
    int8, float32 = assemble([series("a.tflite", 0.8, "int8", tmp_path), short], CONDITIONS)
    assert int8.valid
    assert not float32.valid
    assert (int8.ratio_to_float, int8.ratio_to_best, float32.ratio_to_float) == (None, None, None)


def test_a_noisy_machine_spoils_milliseconds_but_not_ratios(tmp_path: Path) -> None:
    slow_moments = 1 + 0.2 * np.sin(np.arange(25))
    pair = [series("a.tflite", 0.8, "int8", tmp_path), series("b.tflite", 1.6, "float32", tmp_path)]
    for item in pair:
        item.rounds_ms = [
            [samples * slow for samples, slow in zip(process, slow_moments, strict=True)] for process in item.rounds_ms
        ]
    int8, float32 = assemble(pair, CONDITIONS)
    assert not int8.valid
    assert "too noisy" in int8.invalid_reasons[0]
    assert int8.ratio_valid
    assert int8.ratio_to_float == pytest.approx(0.5, abs=0.005)
    assert int8.ratio_to_best is None
    report = a_report([int8, float32])
    assert parse_report(report.as_json(), "r.json") == report
    text = page(report)
    assert "ratios are not: a.tflite on litert takes 0.50 times as long as b.tflite on litert" in text
    assert re.search(r'<td class="">0\.\d+ ± 0\.\d+</td>', text)  # not struck through as the milliseconds are
    busy = dataclasses.replace(CONDITIONS, neighbours_cpus=1.0)
    int8, _ = assemble(pair, busy)
    assert (int8.ratio_valid, int8.ratio_to_float) == (False, None)
    assert ["busy neighbour" in reason for reason in int8.ratio_invalid_reasons] == [True]


def test_names_on_the_page_are_escaped() -> None:
    text = page(a_report([a_result(model="<script>alert(1)</script>.tflite")]))
    assert "<script>" not in text


def test_brackets_in_names_are_shown_on_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    report = a_report([a_result(model="a[b].tflite", valid=False, invalid_reasons=["too short: 2 [/runs]"])])
    print_report(report, console())
    shown = capsys.readouterr().out
    assert shown.count("a[b].tflite") >= 3 and "[/runs]" in shown


def test_the_page_of_a_valid_report_has_no_banner() -> None:
    text = page(a_report([a_result(), a_result(3.0, model="fer_float.tflite", precision="float32")]))
    assert "Invalid timings" not in text
    assert text.count("<svg") == 3
    assert "Raspberry Pi 5 Model B" in text


def test_json_is_plain(tmp_path: Path) -> None:
    content = json.loads(a_report([a_result()]).as_json())
    assert content["results"][0]["latency_ms"]["p50"] == 2.0
