"""The measuring process: what it times is true, and when it fails the reason comes through."""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from tests.benchmarks.report_examples import SETTINGS

import fer_bench.measure.runtimes
from fer_bench.measure.latency import Series, time_contenders
from fer_bench.measure.worker_client import Contender, Remote
from fer_bench.measure.worker_process import Session
from fer_edge.errors import FerError, ModelError, UsageError
from fer_edge.inference.classifier import FunctionClassifier
from fer_edge.loading.open import open_classifier

FAKE = Contender(Path("fake"), "fake")


class ByAnotherClock(FunctionClassifier):
    """A network that takes exactly 2 ms, every tenth time 5 ms, by a clock of its own that tests read instead."""

    now_ns = 0
    calls = 0

    def __init__(self, path: Path, *, threads: int = 1) -> None:
        del path, threads
        fake = open_classifier(backend="fake")
        super().__init__("fake", fake.model_path, fake.input_spec, fake.output_spec, "fake", fake.infer)

    def infer(self, tensor: npt.NDArray[Any]) -> npt.NDArray[Any]:
        ByAnotherClock.calls += 1
        ByAnotherClock.now_ns += 5_000_000 if ByAnotherClock.calls % 10 == 0 else 2_000_000
        return super().infer(tensor)


def test_timed_runs_take_as_long_as_they_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fer_bench.measure.runtimes, "load_runtime", lambda name: ByAnotherClock)
    monkeypatch.setattr("time.perf_counter_ns", lambda: ByAnotherClock.now_ns)
    session = Session("fake", "fake", 1, time.monotonic_ns())
    assert session.opened["first_inference_ms"] == 2.0
    answer = session.timed(
        "infer", 0.230, 3, 8
    )  # with the first, nine untimed runs make the next one the tenth, of 5 ms
    assert answer["samples_ns"] == ([5_000_000] + [2_000_000] * 9) * 10
    assert answer["wall_ns"] == 230_000_000


def test_at_least_the_runs_asked_for() -> None:
    with Remote(FAKE) as remote:
        assert len(remote.time("infer", 1e-9, 7, 0).samples_ms) == 7
        assert len(remote.time("predict", 1e-9, 4, 0).samples_ms) == 4


def test_predictions_are_those_of_the_classifier(tiny_onnx: Path) -> None:
    faces = np.random.default_rng(0).integers(0, 256, (70, 48, 48), dtype=np.uint8)
    with Remote(Contender(tiny_onnx, "onnx")) as remote:
        assert remote.input_size == 48
        assert remote.opened.precision == "float32"
        got = remote.predict(faces)
    with open_classifier(tiny_onnx) as classifier:  # type: ignore[attr-defined]
        np.testing.assert_array_equal(got, classifier.predict(faces))


def test_memory_is_the_process_own() -> None:
    """200 MiB here must not show up there: ru_maxrss would inherit them through fork."""
    ballast = np.ones(200 * 2**20 // 8)
    with Remote(FAKE) as remote:
        steady, peak = remote.memory()
        baseline = remote.opened.baseline_rss_mib
    assert ballast[0] == 1.0
    if steady is None or peak is None or baseline is None:
        pytest.skip("/proc/self/status cannot be read here")
    assert 5 < baseline <= steady <= peak < 180


def test_errors_of_the_model_come_through(tmp_path: Path) -> None:
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"\0\0\0\0TFL3 and no more")
    with pytest.raises(ModelError, match="cannot be loaded, truncated or damaged"):
        Remote(Contender(broken, "litert"))


def test_an_interpreter_that_is_not_there() -> None:
    with pytest.raises(UsageError, match=r"/no/python cannot be started \(No such file or directory\)"):
        Remote(Contender(Path("fake"), "fake", python="/no/python"))


def test_an_interpreter_without_numpy(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -S -I "$@"\n')
    python.chmod(0o755)
    with pytest.raises(FerError, match=r"exited early: .*No module named"):
        Remote(Contender(Path("fake"), "fake", python=str(python)))


def test_a_killed_process_is_reported() -> None:
    with Remote(FAKE) as remote:
        os.kill(remote.pid, signal.SIGKILL)
        with pytest.raises(FerError, match="the measuring process of fake was ended by SIGKILL"):
            remote.time("infer", 0.1, 1, 0)


def test_no_process_and_no_file_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    with Remote(FAKE) as remote:
        pid = remote.pid
        assert list(tmp_path.iterdir())
    assert not list(tmp_path.iterdir())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_stray_module_in_the_current_folder_does_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if sys.version_info < (3, 11):
        pytest.skip("PYTHONSAFEPATH came with Python 3.11")
    (tmp_path / "queue.py").write_text("raise SystemExit('stray')\n")
    monkeypatch.chdir(tmp_path)
    with Remote(FAKE) as remote:
        assert remote.opened.backend == "fake"


@pytest.mark.slow
def test_models_take_turns(tiny_onnx: Path, slower_onnx: Path) -> None:
    contenders = [Contender(tiny_onnx, "onnx"), Contender(slower_onnx, "onnx")]
    settings = dataclasses.replace(SETTINGS, seconds_per_model=0.3, n_processes=2, chunk_ms=10.0)
    steps: list[float] = []
    fast, slow = time_contenders(
        contenders, settings, min_runs=30, on_progress=lambda fraction, what: steps.append(fraction)
    )
    for item in (fast, slow):
        assert isinstance(item, Series)
        assert len(item.opened) == len(item.rounds_ms) == len(item.peak_mib) == 2
        assert len(item.samples_ms) >= 30
        assert item.wall_s >= 0.3
    # As many rounds of one as of the other: that is what pairs them
    assert [len(process) for process in fast.rounds_ms] == [len(process) for process in slow.rounds_ms]
    assert np.median(slow.samples_ms) > 2 * np.median(fast.samples_ms)
    assert steps == sorted(steps)
    assert steps[-1] == 1.0


def test_opencv_computes_the_float_network(tiny_onnx: Path) -> None:
    faces = np.random.default_rng(1).integers(0, 256, (5, 48, 48), dtype=np.uint8)
    with Remote(Contender(tiny_onnx, "opencv")) as remote, Remote(Contender(tiny_onnx, "onnx")) as reference:
        assert remote.opened.runtime_version.startswith("opencv ")
        np.testing.assert_allclose(remote.predict(faces), reference.predict(faces), atol=1e-5)


def test_opencv_refuses_what_it_does_not_compute(tmp_path: Path) -> None:
    model = tmp_path / "fer_int8.tflite"
    model.write_bytes(b"\0\0\0\0TFL3")
    with pytest.raises(ModelError, match="only float ONNX models right"):
        Remote(Contender(model, "opencv"))
