"""fer-bench compare: what is surely slower is found, noise is not called a difference, invalid runs are refused."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from tests.benchmarks.report_examples import MACHINE, a_report, a_result

from fer_bench.cli import main
from fer_bench.compare.models import compare_reports
from fer_bench.schema import EndToEnd, Report, write_report
from fer_edge.errors import InputError


def report(p50_ms: float, seed: int, **changes: Any) -> Report:
    return a_report([a_result(p50_ms, seed=seed, **changes)])


@pytest.mark.parametrize("seed", range(5))
def test_the_same_speed_shows_no_difference_of_more_than_a_percent(seed: int) -> None:
    (one,) = compare_reports(report(2.0, seed), report(2.0, seed + 100))
    assert one.ratio == pytest.approx(1.0, abs=0.01)
    low, high = one.ratio_ci95
    assert low < one.ratio < high
    assert high - low < 0.03


@pytest.mark.parametrize(("after_ms", "verdict"), [(2.2, "slower by"), (1.8, "faster by")])
def test_a_tenth_is_found(after_ms: float, verdict: str) -> None:
    (one,) = compare_reports(report(2.0, 1), report(after_ms, 2))
    assert one.ratio == pytest.approx(after_ms / 2.0, abs=0.02)
    assert one.verdict.startswith(verdict)


def test_processes_that_differ_widen_the_interval() -> None:
    """Three processes at 1.8, 2.0 and 2.2 ms: a change of 5 % cannot be told from the luck of a process."""
    uneven = [[1.8] * 25, [2.0] * 25, [2.2] * 25]
    before = a_report([a_result(round_p50_ms=uneven)])
    after = a_report([a_result(round_p50_ms=[[1.05 * value for value in process] for process in uneven])])
    (one,) = compare_reports(before, after)
    assert one.verdict == "none shown"


def test_invalid_measurements_are_refused() -> None:
    invalid = report(2.0, 1, valid=False, invalid_reasons=["busy neighbour: other processes used 1.02 CPUs"])
    for pair in ((invalid, report(2.0, 2)), (report(2.0, 2), invalid)):
        with pytest.raises(
            InputError, match=r"refused: fer_int8\.tflite on litert in the .* file is .*\(busy neighbour"
        ):
            compare_reports(*pair)


def noisy(int8_ms: float, seed: int, **changes: Any) -> Report:
    """A machine whose milliseconds are worth nothing, and a float model that has its slow moments too."""
    slow = [1.0, 1.3, 1.7, 1.2, 2.0] * 5
    results = []
    for name, p50_ms in (("fer_float.tflite", 4.0), ("fer_int8.tflite", int8_ms)):
        result = a_result(p50_ms, seed=seed, model=name, valid=False, invalid_reasons=["too noisy: 40 %"])
        rounds = [[a * b for a, b in zip(process, slow, strict=True)] for process in result.round_p50_ms]
        reference = {"reference": "fer_float.tflite on litert", "ratio_valid": True, "ratio_to_float": p50_ms / 4.0}
        results.append(dataclasses.replace(result, round_p50_ms=rounds, **reference))  # type: ignore[arg-type]
    results[1] = dataclasses.replace(results[1], **changes)
    return a_report(results)


def test_on_a_noisy_machine_ratios_are_compared() -> None:
    with pytest.raises(InputError, match=r"too noisy.*its ratio is valid: --by-ratio"):
        compare_reports(noisy(2.0, 1), noisy(2.0, 2))
    (same,) = compare_reports(noisy(2.0, 1), noisy(2.0, 2), by_ratio=True)
    assert (same.model, same.unit, same.before) == ("fer_int8.tflite", "x float", 0.5)
    assert same.ratio == pytest.approx(1.0, abs=0.01)
    (slower,) = compare_reports(noisy(2.0, 1), noisy(2.2, 2), by_ratio=True)
    assert slower.ratio == pytest.approx(1.1, abs=0.02)
    assert slower.verdict.startswith("slower by")


def test_invalid_ratios_are_refused_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = tmp_path / "a.json", tmp_path / "b.json"
    write_report(noisy(2.0, 1), a)
    busy = ["busy neighbour: x"]
    write_report(noisy(2.0, 2, ratio_valid=False, ratio_to_float=None, ratio_invalid_reasons=busy), b)
    assert main(["compare", str(a), str(b), "--by-ratio"]) == 2
    assert "the ratio of fer_int8.tflite on litert in the second file is invalid (busy" in capsys.readouterr().err
    write_report(noisy(2.3, 2), b)
    assert main(["compare", str(a), str(b), "--by-ratio", "--fail-if-slower", "5%"]) == 1
    assert "A x float" in capsys.readouterr().out
    only_int8 = noisy(2.0, 1)
    write_report(dataclasses.replace(only_int8, results=only_int8.results[1:]), b)
    assert main(["compare", str(a), str(b), "--by-ratio"]) == 2


def test_the_same_twice_is_refused() -> None:
    """Found by fuzzing: a list repeated fifty times took minutes to compare."""
    twice = a_report([a_result(), a_result()])
    with pytest.raises(InputError, match="the second file holds the same model on the same runtime twice"):
        compare_reports(report(2.0, 1), twice)


def test_nothing_in_common() -> None:
    with pytest.raises(InputError, match=r"nothing to compare: fer_int8\.tflite on litert in the first file"):
        compare_reports(report(2.0, 1), report(2.0, 1, model="other.tflite"))


@pytest.mark.parametrize(
    ("after_ms", "options", "code"),
    [
        (2.2, ["--fail-if-slower", "5%"], 1),
        (2.2, ["--fail-if-slower", "20"], 0),
        (1.8, ["--fail-if-slower", "5%"], 0),
        (2.0, ["--fail-if-slower", "5%"], 0),
        (2.2, [], 0),
        (2.0, ["--fail-if-slower", "-1"], 2),
        (2.0, ["--fail-if-slower", "much"], 2),
    ],
)
def test_exit_codes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], after_ms: float, options: list[str], code: int
) -> None:
    write_report(report(2.0, 1), tmp_path / "a.json")
    write_report(report(after_ms, 2), tmp_path / "b.json")
    assert main(["compare", str(tmp_path / "a.json"), str(tmp_path / "b.json"), *options]) == code
    error = capsys.readouterr().err
    assert len(error.splitlines()) == (1 if code else 0)


def test_lost_accuracy_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_report(report(2.0, 1), tmp_path / "a.json")
    write_report(report(2.0, 1, accuracy=0.65, accuracy_ci95=[0.63, 0.67]), tmp_path / "b.json")
    files = [str(tmp_path / "a.json"), str(tmp_path / "b.json")]
    assert main(["compare", *files, "--fail-if-less-accurate", "1"]) == 1
    assert "lost 3.00 points of accuracy (limit 1)" in capsys.readouterr().err
    assert main(["compare", *files, "--fail-if-less-accurate", "4", "--json", str(tmp_path / "c.json")]) == 0
    (written,) = json.loads((tmp_path / "c.json").read_text())["comparisons"]
    assert written["accuracy_change_points"] == pytest.approx(-3.0)
    # 3 points on 2 x 3589 images: z = 0.03 / sqrt(2 * 0.665 * 0.335 / 3589) = 2.69, two-sided p = 0.007
    assert written["accuracy_p_value"] == pytest.approx(0.007, abs=0.001)


def test_different_machines_need_to_be_allowed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_report(report(2.0, 1), tmp_path / "a.json")
    other = dataclasses.replace(MACHINE, board="Raspberry Pi 4 Model B Rev 1.4")
    write_report(a_report([a_result(2.0)], machine=other), tmp_path / "b.json")
    files = [str(tmp_path / "a.json"), str(tmp_path / "b.json")]
    assert main(["compare", *files]) == 2
    assert "different machines: Raspberry Pi 5 Model B Rev 1.0, 4 CPUs and Raspberry Pi 4" in capsys.readouterr().err
    assert main(["compare", *files, "--other-machine"]) == 0


def pipeline(fps: list[float], **changes: Any) -> EndToEnd:
    found = EndToEnd(
        model="fer_int8.tflite",
        backend="litert",
        threads=1,
        source="v.mp4",
        detector="yunet",
        n_frames=345,
        n_faces=345,
        throughput_fps=sorted(fps)[len(fps) // 2],
        throughput_each_fps=fps,
        stage_ms={"detect": 5.0},
        age_ms=None,
        n_dropped=None,
        first_result_ms=500.0,
        peak_rss_mib=107.0,
        valid=True,
        invalid_reasons=[],
    )
    return dataclasses.replace(found, **changes)


def end_to_end_files(folder: Path, before: EndToEnd, after: EndToEnd) -> list[str]:
    files = [folder / "a.json", folder / "b.json"]
    for path, one in zip(files, (before, after), strict=True):
        write_report(a_report([], end_to_end=[one]), path)
    return [str(path) for path in files]


@pytest.mark.parametrize(
    ("after_fps", "code", "words"),
    [
        ([110.0, 112.0, 111.0], 1, "slower by 17.1 %"),
        ([129.0, 127.5, 128.0], 0, "slower by 1.6 %"),
        ([131.0, 110.0, 112.0], 0, "none shown"),  # one repeat is as fast as before: not surely slower
        ([150.0, 151.0, 149.0], 0, "faster by 13.3 %"),
    ],
)
def test_pipelines_are_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], after_fps: list[float], code: int, words: str
) -> None:
    files = end_to_end_files(tmp_path, pipeline([131.0, 130.0, 129.5]), pipeline(after_fps))
    assert main(["compare", *files, "--fail-if-slower", "5%", "--json", str(tmp_path / "c.json")]) == code
    assert words in capsys.readouterr().out
    (written,) = json.loads((tmp_path / "c.json").read_text())["end_to_end"]
    assert written["verdict"] == words
    assert written["before_fps"] == 130.0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"valid": False, "invalid_reasons": ["busy neighbour: x"]}, "is an invalid measurement (busy neighbour"),
        ({"throughput_each_fps": [130.0]}, "has 1 repeats; at least 3 are needed"),
        ({"throughput_each_fps": [130.0, 131.0, 0.0]}, "at least 3 are needed"),
        ({"detector": "haar"}, "nothing to compare"),
    ],
)
def test_pipelines_that_cannot_be_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], words: str
) -> None:
    files = end_to_end_files(tmp_path, pipeline([131.0, 130.0, 129.5]), pipeline([131.0, 130.0, 129.5], **changes))
    assert main(["compare", *files]) == 2
    assert words in capsys.readouterr().err
