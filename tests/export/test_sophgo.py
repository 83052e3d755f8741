"""The target cv181x: a stand-in for tpu-mlir's four commands, and the real ones where they are installed."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.export.jobs import ROOT, target_job

from fer_edge.errors import CheckFailedError
from fer_edge.preprocess import to_float_input
from fer_export.cli import main
from fer_export.targets import targets, tpu_build
from fer_export.targets.environments import why_not_installed
from fer_export.targets.job import TargetJob

REAL = pytest.mark.skipif(why_not_installed("tpu-mlir") is not None, reason="no fer-export --install-target cv181x")
COMMAND = """#!{python}
import json, os, sys
from pathlib import Path

name, arguments, folder = Path(sys.argv[0]).name, sys.argv[1:], Path("{folder}")
with (folder / "log").open("a") as log:
    log.write(json.dumps([name, *arguments]) + "\\n")
if (folder / "mode").read_text() == name:
    sys.stderr.write("Error: [05:50:34.417] Not Implemented\\n")
    sys.exit(1)
if name == "run_calibration":
    lines = ["# op_name threshold min max", "input 1 -1 1", "t1_Clip 6 0 6", "t3_Conv 9 -9 9", "t5_Clip 6 0 6"]
    table = lines + ["t7_Conv 9 -9 9", "t8_Add 9 -9 9", "v9_GlobalAveragePool 1 0 1", ""]
    Path(arguments[arguments.index("-o") + 1]).write_text("\\n".join(table))
if name == "model_deploy":
    assert Path("quantize_table").read_text() == "t1_Clip BF16\\nt3_Conv BF16\\nt8_Add BF16\\n"
    method = arguments[arguments.index("--calibration_table") + 1].partition(".")[0]
    Path(arguments[arguments.index("--model") + 1]).write_bytes(b"cvimodel" + method.encode() * 1000)
if name == "model_tool":
    print("CviModel Need ION Memory Size: (3.03 MB)")
"""
RUNNER = """
import os
import numpy as np

def model_inference(inputs, model_file, dump_all=True):
    content = open(model_file, "rb").read()
    assert content[:8] == b"cvimodel" and os.environ["FROM_TPU_MLIR"] == "1"
    face = inputs["input"]
    assert face.shape == (1, 3, 96, 96) and face.dtype == np.float32 and -1.0 <= face.min() and face.max() < 1.0
    with np.load(r"{golden}") as stored:
        tensors = stored["tensors"].transpose(0, 3, 1, 2).astype(np.float32) / 128
        index = int(np.abs(tensors - face).sum(axis=(1, 2, 3)).argmin())
        answer = (stored["outputs"][index].astype(np.float32) + 128) / 256
        if content.endswith(b"{worse}"):
            answer = 0.8 * answer + 0.2 / 7
        return {{"probabilities_Softmax": answer.reshape(1, 7, 1, 1)}}
"""


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment with the stand-ins; returns the folder that says how they behave."""
    folder = tmp_path / "environment"
    tools = folder / "tpu_mlir" / "python" / "tools"
    tools.mkdir(parents=True)
    (folder / "tpu_mlir" / "__init__.py").write_text("import os\nos.environ['FROM_TPU_MLIR'] = '1'\n")
    golden = ROOT / "models" / "golden.npz"
    (tools / "model_runner.py").write_text(RUNNER.format(golden=golden, worse="use_mse"))
    (folder / "mode").write_text("")
    for name in ("model_transform", "run_calibration", "model_deploy", "model_tool"):
        (folder / name).write_text(COMMAND.format(python=sys.executable, folder=folder))
        (folder / name).chmod(0o755)
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH="{folder}" exec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    monkeypatch.setattr(tpu_build, "environment_python", lambda _: python)
    return folder


@pytest.fixture
def job(tmp_path: Path) -> TargetJob:
    job = target_job(tmp_path)
    (job.calibration / "npz").mkdir(parents=True)
    for i in range(3):
        tensor = job.golden.tensors[i : i + 1].transpose(0, 3, 1, 2).astype(np.float32) / 128
        np.savez(job.calibration / "npz" / f"{i:03d}.npz", input=tensor)
    return job


@pytest.mark.slow
def test_it_is_quantised_built_computed_and_judged(tool: Path, job: TargetJob, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tpu_build, "usable_cpus", lambda: 5)  # more than there are faces to calibrate on
    target = targets()["cv181x"]
    assert target.takes_float
    result = target.check(job, target.convert(job))
    assert result.verdict.passed, result.verdict
    assert [path.name for path in job.out.iterdir()] == ["fer_int8_cv181x.cvimodel"]
    assert result.conversion.memory_bytes == round(3.03 * 2**20)
    assert result.against_int8 is not None and result.against_int8.agreement == 1.0
    assert result.against_int8.other.n_images == 399
    assert result.conversion.facts["calibration"] == "use_kl"
    assert result.conversion.facts["operators_in_bf16"] == ["t1_Clip", "t3_Conv", "t8_Add"]
    tried = result.conversion.facts["divergence_by_calibration"]
    assert tried["use_kl"] == 0.0 < tried["use_mse"]
    assert result.golden_outputs is not None and np.array_equal(result.golden_outputs, job.golden.outputs)
    log = (tool / "log").read_text()
    for words in (
        '"--input_shapes", "[[1,3,96,96]]"',
        '"--input_num", "3"',
        '"use_mse"',
        '"use_kl"',
        '"--chip", "cv181x"',
    ):
        assert words in log


@pytest.mark.parametrize("step", ["model_transform", "run_calibration", "model_deploy"])
def test_what_is_refused_is_told(tool: Path, job: TargetJob, step: str) -> None:
    (tool / "mode").write_text(step)
    with pytest.raises(CheckFailedError, match=f"tpu-mlir 1.30.2: {step} refuses the network: Error: Not Implemented"):
        targets()["cv181x"].convert(job)


@pytest.mark.slow
@REAL
def test_the_real_tool(job: TargetJob) -> None:
    from fer_export.convert.onnx_files import float_nchw_onnx

    job.float_nchw_onnx.write_bytes(float_nchw_onnx(job.int8_tflite.read_bytes(), b""))
    shutil.rmtree(job.calibration)
    (job.calibration / "npz").mkdir(parents=True)
    for i, face in enumerate(job.golden.faces):  # synthetic faces: the ranges fit them, not people
        tensor = to_float_input(cv2.resize(face, (96, 96))[None]).transpose(0, 3, 1, 2)
        np.savez(job.calibration / "npz" / f"{i:03d}.npz", input=np.ascontiguousarray(tensor))
    target = targets()["cv181x"]
    result = target.check(job, target.convert(job))
    assert result.against_int8 is not None and result.against_int8.agreement >= 0.95
    assert result.conversion.model.stat().st_size <= 3_100_000
    assert result.conversion.memory_bytes is not None and result.conversion.memory_bytes < 4 << 20


@pytest.mark.slow
@REAL
@pytest.mark.skipif("FER2013" not in os.environ, reason="FER2013 (path of the Kaggle zip) is not set")
def test_the_command_passes_its_gate_on_real_faces(tmp_path: Path) -> None:
    """Calibrated and judged on PublicTest: about ten minutes."""
    out = tmp_path / "out"
    command = ["--int8", "--target", "cv181x", "--data", os.environ["FER2013"], "--out", str(out)]
    assert main(command) == 0
    entry = json.loads((out / "manifest.json").read_text())["targets"]["cv181x"]
    print(json.dumps(entry, indent=1))
    assert entry["n_images"] == 399
    assert entry["top1_agreement_with_int8"] >= 0.98
    assert (out / "fer_int8_cv181x.cvimodel").stat().st_size <= 3_100_000
