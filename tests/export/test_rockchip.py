"""The Rockchip targets: a stand-in for rknn-toolkit2 in a process of its own, and the real one where it is there."""

from __future__ import annotations

import dataclasses
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.edge.test_rknn_backend import rknn_file
from tests.export.jobs import OUT, ROOT, job_with_faces, target_job

from fer_edge.errors import CheckFailedError
from fer_edge.inference.rknn_file import read_rknn
from fer_export.targets import rknn_build, targets
from fer_export.targets.available.rockchip import CHIPS
from fer_export.targets.environments import why_not_installed
from fer_export.targets.job import TargetJob
from fer_export.targets.rknn_build import operator_table, placement_failures

TABLE = Path(__file__).with_name("rknn_table.txt")
REAL = pytest.mark.skipif(
    why_not_installed("rknn") is not None, reason="fer-export --install-target rk3588 was not run"
)
# rknn/api/rknn.py 2.5.0: codes instead of exceptions, everything printed, native aborts for what it cannot build.
RKNN = """
import os, sys
import numpy as np

FOLDER = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MODE = open(os.path.join(FOLDER, "mode")).read()


class RKNN:
    def __init__(self, verbose=False, verbose_file=None):
        self.log = open(verbose_file, "w")

    def config(self, target_platform=None, optimization_level=3):
        assert target_platform == "rk3588" and optimization_level == 3
        return 0

    def load_tflite(self, model):
        content = open(model, "rb").read()
        assert b"TFL3" in content[:8] and b"fer_mobilenetv2/quant_block_10_expand" not in content[-30000:]
        if MODE == "load":
            self.log.write("E load_tflite: Traceback (most recent call last):\\n")
            self.log.write("E ValueError: Op ROLL is not supported\\n")
            self.log.flush()
            return -1
        return 0

    def build(self, do_quantization=True):
        assert do_quantization is False
        if MODE == "abort":
            os.write(2, b"E RKNN: [05:50:34.417] Meet unsupported conv, input tensor name: input input type: 3\\n")
            os.abort()
        table = open(os.path.join(FOLDER, "table.txt")).read()
        os.write(1, table.encode())
        return 0

    def export_rknn(self, path):
        open(path, "wb").write(open(os.path.join(FOLDER, "m.rknn"), "rb").read())
        return 0

    def init_runtime(self):
        return 0

    def inference(self, inputs, data_format=None):
        assert data_format == ["nhwc"]
        with np.load(os.path.join(FOLDER, "golden.npz")) as stored:
            index = int(np.abs(stored["tensors"].astype(int) - inputs[0]).sum(axis=(1, 2, 3)).argmin())
            answer = stored["outputs"][index : index + 1].copy()
        if MODE == "otherwise" and index % 10 == 0:
            answer = np.roll(answer, 1, axis=1)
        return [answer]
"""


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment with the stand-in; returns the folder that says how it behaves."""
    folder = tmp_path / "environment"
    package = folder / "rknn"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "api.py").write_text(RKNN)
    for source, name in ((TABLE, "table.txt"), (ROOT / "models" / "golden.npz", "golden.npz")):
        shutil.copy(source, folder / name)
    (folder / "mode").write_text("")
    rknn_file(folder / "m.rknn")
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH="{folder}" exec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    monkeypatch.setattr(rknn_build, "environment_python", lambda _: python)
    return folder


@pytest.fixture
def job(tmp_path: Path) -> TargetJob:
    return target_job(tmp_path)


@pytest.mark.slow
def test_it_is_built_simulated_and_judged(tool: Path, job: TargetJob) -> None:
    target = targets()["rk3588"]
    result = target.check(job, target.convert(job))
    assert result.verdict.passed, result.verdict
    conversion = result.conversion
    assert conversion.model == job.out / "fer_int8_rk3588.rknn"
    assert [path.name for path in job.out.iterdir()] == [conversion.model.name]  # nothing else is published
    assert (conversion.accelerator_operators, conversion.cpu_operators) == (57, 1)
    assert conversion.memory_bytes == 288 * 1024
    assert conversion.facts["estimated_cycles"] == 305_938
    assert conversion.facts["operators_on_cpu"] == ["Reshape"]
    assert result.against_int8 is not None and result.against_int8.agreement == 1.0
    assert result.against_int8.other.n_images == 448
    assert result.golden_outputs is not None and np.array_equal(result.golden_outputs, job.golden.outputs)


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("load", "rknn-toolkit2 2.5.0 refuses the network: load_tflite fails .E ValueError: Op ROLL is not supported"),
        ("abort", "rknn-toolkit2 2.5.0 ended with SIGABRT: E RKNN: Meet unsupported conv, input tensor name"),
    ],
)
def test_what_does_not_map_is_refused_with_the_reason(tool: Path, job: TargetJob, mode: str, words: str) -> None:
    (tool / "mode").write_text(mode)
    with pytest.raises(CheckFailedError, match=words) as caught:
        targets()["rk3588"].convert(job)
    assert "\n" not in str(caught.value)
    assert list(job.out.iterdir()) == []


@pytest.mark.slow
def test_the_gate(tool: Path, job: TargetJob) -> None:
    (tool / "mode").write_text("otherwise")
    table = TABLE.read_text()
    (tool / "table.txt").write_text(table.replace("ConvAdd            INT8 ", "ConvAdd            FLOAT16", 1))
    rknn_file(tool / "m.rknn", platforms=("rk3566",), padding=3_000_000)
    target = targets()["rk3588"]
    failures = "\n".join(target.check(job, target.convert(job)).verdict.failures)
    for words in (
        "1 of 54 convolutions do not run as INT8 on the NPU (ConvAdd is FLOAT16 on the NPU)",
        "the file says it is for rk3566",
        "bytes, at most 2,900,000 allowed",
        "decides like the INT8 TFLite file on 89.06% of 448 faces",
        "accuracy drops by 10.94 points",
    ):
        assert words in failures, failures


def test_the_table_of_operators() -> None:
    rows = operator_table(TABLE.read_text())
    assert len(rows) == 60
    assert placement_failures("rk3588", rows) == []
    assert placement_failures("rk3588", rows[:1]) == ["rk3588: the compiler's table holds no convolution"]
    on_cpu = operator_table(
        TABLE.read_text().replace("ConvClip           INT8     NPU", "ConvClip           INT8     CPU", 1)
    )
    assert "ConvClip is INT8 on the CPU" in placement_failures("rk3588", on_cpu)[0]
    floating = operator_table(TABLE.read_text().replace("exSoftmax13        INT8   ", "exSoftmax13        FLOAT16"))
    assert placement_failures("rk3588", floating) == ["rk3588: 1 operators run in FLOAT16 (exSoftmax13), expected none"]
    with pytest.raises(CheckFailedError, match="printed no table of operators"):
        operator_table("I rknn-toolkit2 version: 9.0\n")


@pytest.mark.slow
@REAL
@pytest.mark.parametrize("chip", ["rk3588", "rk3566"])
def test_the_real_tool(job: TargetJob, chip: str) -> None:
    """On drawn faces, as ``fer-export`` without ``--data`` runs it: they have no true label and prove little."""
    job = dataclasses.replace(job, labelled=False)
    target = targets()[chip]
    result = target.check(job, target.convert(job))
    assert result.verdict.passed, result.verdict
    file = read_rknn(result.conversion.model)
    assert (file.platforms, file.version) == ((chip,), "2.5.0")
    assert file.input_spec.scale == 1 / 128 and file.output_spec == OUT
    assert result.against_int8 is not None and result.against_int8.agreement >= 0.9


@pytest.mark.slow
@REAL
@pytest.mark.skipif("FER2013" not in os.environ, reason="FER2013 (path of the Kaggle zip) is not set")
def test_the_gate_passes_on_real_faces(tmp_path: Path) -> None:
    """On all of PublicTest, about three minutes: on 399 of them chance decides, the limit being 0.6 points away."""
    job = job_with_faces(tmp_path, os.environ["FER2013"], 3589)
    target = targets()["rk3588"]
    result = target.check(job, target.convert(job))
    assert result.against_int8 is not None
    print(f"agreement {result.against_int8.agreement:.2%}, drop {result.against_int8.drop.value:.2f} points")
    assert result.verdict.passed, result.verdict


@pytest.mark.slow
@REAL
@pytest.mark.skipif("FER2013" not in os.environ, reason="FER2013 (path of the Kaggle zip) is not set")
def test_all_chips_decide_alike(tmp_path: Path) -> None:
    """What is said of one on the whole split is so true of the others."""
    answers = {}
    for chip in CHIPS:
        folder = tmp_path / chip
        folder.mkdir()
        job = job_with_faces(folder, os.environ["FER2013"], 210)
        result = targets()[chip].check(job, targets()[chip].convert(job))
        assert result.against_int8 is not None
        answers[chip] = result.against_int8.other.probabilities
    for chip, own in answers.items():
        assert np.mean(own == answers["rk3588"]) > 0.99, chip
        assert np.array_equal(own.argmax(axis=1), answers["rk3588"].argmax(axis=1)), chip


@pytest.mark.slow
@REAL
def test_the_real_tool_refuses_what_it_does_not_know(job: TargetJob) -> None:
    """RK2118 has no such convolutions: the tool aborts its process, and the reason is told."""
    with pytest.raises(CheckFailedError, match="ended with SIGABRT: E RKNN: Meet unsupported conv"):
        rknn_build.convert(job, "rk2118")
