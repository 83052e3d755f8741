"""The whole pipeline measured on a synthetic video."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from tests.benchmarks.report_examples import a_report

from fer_bench.cli import main
from fer_bench.measure.end_to_end import Scene, soak_findings, summarise
from fer_bench.measure.pipeline_process import run as run_pass
from fer_bench.measure.worker_client import Contender
from fer_bench.report.end_to_end import end_to_end_section, print_end_to_end
from fer_bench.report.html_page import page
from fer_bench.report.terminal import console
from fer_bench.report_file import read_report, write_report
from fer_bench.schema import SoakSample
from fer_train.synthetic.faces import draw_scene


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video") / "scene.avi"
    frame, _ = draw_scene("happy", np.random.default_rng(3), 320, 240)
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), 50.0, (320, 240))
    for i in range(10):
        writer.write(np.roll(frame, i, axis=1))
    writer.release()
    return path


def test_a_video_from_end_to_end(video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, html = tmp_path / "e.json", tmp_path / "e.html"
    options = ["--end-to-end", "--source", str(video), "--detector", "haar", "--processes", "1"]
    assert main(["--model", "x@fake", *options, "--json", str(path), "--html", str(html)]) == 0
    (found,) = read_report(path).end_to_end
    assert (found.n_frames, found.detector, found.source) == (10, "haar", "scene.avi")
    assert set(found.stage_ms) == {"capture", "detect", "classify", "rest"}
    assert found.stage_ms["detect"] > 0
    assert found.age_ms is not None
    assert found.n_dropped is not None
    assert found.first_result_ms > 0
    assert found.throughput_fps > 0
    assert any("too short: 10 frames" in reason for reason in found.invalid_reasons)
    assert "too short" in capsys.readouterr().out
    assert "End to end on scene.avi" in html.read_text()
    assert found.sha256 is not None and found.sha256[:12] in html.read_text()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "--end-to-end needs --source"),
        (["--source", "missing.mp4"], "missing.mp4"),
        (["--source", "{text}"], "clip.mp4"),
        (["--source", "{video}", "--detector", "harr"], "unknown detector"),
    ],
)
def test_mistakes(
    options: list[str], words: str, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "clip.mp4"
    text.write_text("no video")
    given = [option.format(text=text, video=video) for option in options]
    assert main(["--model", "x@fake", "--end-to-end", "--processes", "1", *given]) == 2
    shown = capsys.readouterr().err
    error = shown[shown.index(": error: ") :]  # notices may come before it
    assert words in error
    assert len(error.splitlines()) <= 2


def a_pass(fps: float, n_frames: int = 100) -> dict[str, Any]:
    return {
        "detector": "yunet",
        "detector_engine": "litert",
        "n_frames": n_frames,
        "n_faces": n_frames,
        "n_dropped": 3,
        "elapsed_s": n_frames / fps,
        "busy_s": {"capture": 0.1, "detect": 0.5, "classify": 0.2, "rest": 0.1},
        "ages_s": [0.010] * 99 + [0.050],
        "first_result_ms": 500.0,
        "peak_rss_mib": 100.0,
    }


def test_summary_of_repeats() -> None:
    contender, scene = Contender(Path("m.tflite"), "litert"), Scene("v.mp4")
    found = summarise(contender, scene, [(a_pass(100), a_pass(25)), (a_pass(104), a_pass(25))], [], [])
    assert found.valid
    assert found.throughput_fps == pytest.approx(102)
    assert found.stage_ms["detect"] == pytest.approx(5.0)
    assert found.n_dropped == 6
    assert found.age_ms is not None
    assert found.age_ms.p50 == pytest.approx(10.0)
    noisy = summarise(contender, scene, [(a_pass(100), None), (a_pass(60), None)], [], [])
    assert not noisy.valid
    assert "repeats differ by 50 %" in noisy.invalid_reasons[0]
    assert noisy.age_ms is None


def test_the_engine_of_the_detector_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    contender, scene = Contender(Path("m.tflite"), "litert"), Scene("v.mp4")
    litert = summarise(contender, scene, [(a_pass(fps), None) for fps in (100, 101, 102)], [], [])
    assert json.loads(a_report([], end_to_end=[litert]).as_json())["end_to_end"][0]["detector_engine"] == "litert"
    print_end_to_end([litert], console())
    assert "End to end on v.mp4, faces by yunet (litert)" in capsys.readouterr().out
    assert "faces by yunet (litert)" in page(a_report([], end_to_end=[litert]), [end_to_end_section([litert])])
    # Two engines can be compared with each other, and with a file from before they were named.
    for engine, shown in (("opencv", "yunet (opencv -> litert)"), (None, "yunet (unknown -> litert)")):
        before = dataclasses.replace(litert, detector_engine=engine)
        for name, one in (("a", before), ("b", litert)):
            write_report(a_report([], end_to_end=[one]), tmp_path / f"{name}.json")
        assert main(["compare", str(tmp_path / "a.json"), str(tmp_path / "b.json")]) == 0
        assert shown in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "engine"), [("yunet", "litert"), ("yunet-opencv", "opencv"), ("haar", None), ("auto", None)]
)
def test_each_pass_reports_what_computes_the_detector(
    name: str, engine: str | None, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Detector:
        width = 320

        def detect(self, image: object, small: object = None) -> list[object]:
            return []

        def smallest(self, width: int) -> int:
            return 16

    detector = Detector()
    if engine:
        detector.engine = engine  # type: ignore[attr-defined]
    monkeypatch.setattr("fer_edge.faces.detectors.open_detector", lambda *_: detector)
    options = {"model": "x", "backend": "fake", "threads": 1, "source": str(video), "detector": name}
    options |= {"detector_model": None, "realtime": False, "loop": False, "seconds": None, "sample_s": None}
    found = run_pass(options | {"started_ns": time.monotonic_ns()}, lambda _: None)
    assert (found["detector_engine"], found["n_frames"]) == (engine, 10)


def test_a_soak_shows_slowing_growth_and_heat() -> None:
    samples = [SoakSample(float(i), 100.0 - i, 5.0, 2.0, 100.0 + i, 50.0 + i / 2, 2400.0 - i) for i in range(30)]
    contender = Contender(Path("m.tflite"), "litert")
    found = summarise(contender, Scene("v.mp4"), [(a_pass(90), None)], [], samples)
    changes = soak_findings(found)
    assert changes["throughput_change_percent"] == pytest.approx(-20 / 95.5 * 100)
    assert changes["rss_growth_mib"] == pytest.approx(20.0)
    assert changes["temperature_rise_c"] == pytest.approx(10.0)
    text = page(a_report([], end_to_end=[found]), [end_to_end_section([found])])
    assert text.count("<svg") == 4
    assert "memory +20.0 MiB" in text
    json.loads(a_report([], end_to_end=[found]).as_json())
