"""``fer-bench --end-to-end --cameras``: one process against several."""

from __future__ import annotations

import json
import sys
import urllib.request
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_bench.cameras import run as run_module
from fer_bench.cameras.disturb import DISTURBANCES, BadCamera
from fer_bench.cameras.run import Figures, pass_module, summarise_runs, version_of
from fer_bench.cli import main
from fer_train.synthetic.faces import draw_scene

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "scene.avi"
    scene = draw_scene("happy", np.random.default_rng(3), 320, 240)[0]
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (320, 240))
    for number in range(20):
        writer.write(np.roll(scene, number, axis=1))
    writer.release()
    return path


@pytest.mark.slow
def test_one_process_and_two(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run_module, "WARM_UP_S", 6.0)
    written = tmp_path / "cameras.json"
    arguments = ["--end-to-end", "--cameras", "2", "--source", str(clip), "--detector", "haar", "--minutes", "0.03"]
    assert main([*arguments, "--processes", "1", "--json", str(written)]) == 0
    report = json.loads(written.read_text())
    assert report["schema"] == "fer-bench-cameras/1"
    assert report["n_cameras"] == 2
    together, apart = report["runs"]
    assert (together["name"], apart["name"]) == ("one process", "2 processes")
    for run in report["runs"]:
        assert len(run["results_per_s"]) == 2
        assert all(0 < rate < 15 for rate in run["results_per_s"])
        assert run["n_faces"] > 0
        assert run["cpus"] > 0
    assert together["peak_mib"] < apart["peak_mib"]
    assert report["cpu_ratio"] == pytest.approx(together["cpus"] / apart["cpus"])
    assert "CPU time: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--cameras 2 --source x.mp4", "--cameras belongs to --end-to-end"),
        ("--end-to-end --source x.mp4 --rtsp", "--rtsp has no effect without --cameras"),
        ("--end-to-end --cameras 2 --source missing.mp4", "missing.mp4 is not one"),
        (
            "--end-to-end --cameras 2 --source clip --baseline-python /nothing/python",
            "--baseline-python /nothing/python",
        ),
        ("--end-to-end --cameras 2 --source clip --html x.html", "--cameras writes no page"),
        ("--end-to-end --cameras 0 --source clip", "expected a number from 1 to 64"),
    ],
)
def test_options_that_do_not_fit(arguments: str, message: str, clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(clip) if word == "clip" else word for word in arguments.split()]) == 2
    assert message in capsys.readouterr().err


def test_an_early_build_is_run_by_the_name_that_it_has(tmp_path: Path) -> None:
    """Before the rooms: no ``__version__``, and the measuring process was ``fer_bench.stream``."""
    for name in ("fer_edge/__init__.py", "fer_bench/__init__.py", "fer_bench/stream.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH="{tmp_path}" exec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    assert version_of(str(python)) == f"early {tmp_path}/fer_edge"
    assert pass_module(str(python)) == "fer_bench.stream"
    assert pass_module(sys.executable) == "fer_bench.measure.pipeline_process"


def test_medians_over_repeats() -> None:
    def run(rate: float, p99: float | None, cpus: float) -> Figures:
        return Figures([{"results_per_s": rate, "p99_ms": p99, "n_dropped": 1, "n_faces": 2}], cpus, 100 * cpus)

    summary = summarise_runs("x", [run(14.0, 90.0, 1.0), run(15.0, None, 3.0), run(13.0, 110.0, 2.0)])
    assert (summary.results_per_s, summary.p99_ms, summary.cpus) == ([14.0], [100.0], 2.0)
    assert (summary.n_dropped, summary.n_faces, summary.peak_mib) == (3, 6, 300.0)


@pytest.mark.parametrize("kind", DISTURBANCES)
def test_bad_cameras_begin_well(kind: str) -> None:
    with BadCamera(kind) as camera, urllib.request.urlopen(camera.address, timeout=5) as answer:
        assert answer.readline() == b"--frame\r\n"
        while answer.readline() != b"\r\n":
            pass
        assert answer.read(2) == b"\xff\xd8"
        assert camera.n_connections == 1
