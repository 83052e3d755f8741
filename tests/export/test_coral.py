from __future__ import annotations

import dataclasses
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.export.tiny import Tiny

from fer_edge.errors import CheckFailedError, DeviceError
from fer_export.check import edgetpu_compiler
from fer_export.check import edgetpu_rules as coral
from fer_export.check.edgetpu_rules import MAPS, check_edgetpu_rules
from fer_export.tflite_file import TFLiteModel, read_tflite


def number_of(model: TFLiteModel, name: str) -> int:
    return next(i for i, op in enumerate(model.operators) if op.name == name)


def with_operator(model: TFLiteModel, which: str, **changes: Any) -> TFLiteModel:
    operators = list(model.operators)
    i = number_of(model, which)
    operators[i] = dataclasses.replace(operators[i], **changes)
    return dataclasses.replace(model, operators=tuple(operators))


def with_tensor(model: TFLiteModel, index: int, **changes: Any) -> TFLiteModel:
    tensors = list(model.tensors)
    tensors[index] = dataclasses.replace(tensors[index], **changes)
    return dataclasses.replace(model, tensors=tuple(tensors))


@pytest.fixture
def fitting(tiny: Tiny) -> TFLiteModel:
    """The tiny network with the one change that QAT makes: FULLY_CONNECTED quantised per tensor."""
    model = read_tflite(tiny.int8)
    kernel = model.operators[number_of(model, "FULLY_CONNECTED")].inputs[1]
    return with_tensor(model, kernel, scales=np.array([0.01], np.float32), zero_points=np.array([0]))


def status_of(model: TFLiteModel, name: str) -> str:
    return next(verdict.status for verdict in check_edgetpu_rules(model).operators if verdict.name == name)


def test_a_fitting_model_maps_completely(fitting: TFLiteModel) -> None:
    report = check_edgetpu_rules(fitting)
    assert report.failures == [] and all(verdict.maps for verdict in report.operators)
    assert report.fits_on_chip and not report.is_compiled
    count = len(fitting.operators)
    assert report.summary.startswith(f"{count} of {count} operators map")
    assert sum(int(row[2]) for row in report.rows()[1:]) == count


def test_per_channel_fully_connected_of_ptq_is_refused(tiny: Tiny) -> None:
    report = check_edgetpu_rules(read_tflite(tiny.int8))
    status = {verdict.name: verdict.status for verdict in report.operators}
    assert "per channel, must be per tensor" in status["FULLY_CONNECTED"]
    assert status["SOFTMAX"].startswith("runs on the CPU after FULLY_CONNECTED")
    assert status["MEAN"] == MAPS
    assert len(report.failures) == 2


@pytest.mark.parametrize(
    ("name", "version"), [("CONV_2D", 6), ("FULLY_CONNECTED", 12), ("DEPTHWISE_CONV_2D", 7), ("ADD", 4)]
)
def test_versions_newer_than_the_compiler(fitting: TFLiteModel, name: str, version: int) -> None:
    newest = coral.MAX_VERSIONS[name]
    assert status_of(with_operator(fitting, name, version=newest), name) == MAPS
    assert f"version {version} is newer than {newest}" in status_of(with_operator(fitting, name, version=version), name)


def test_unsupported_operator_leaves_the_rest_to_the_cpu(fitting: TFLiteModel) -> None:
    broken = with_operator(fitting, "ADD", name="HARD_SWISH")
    report = check_edgetpu_rules(broken)
    at = number_of(broken, "HARD_SWISH")
    assert report.operators[at].status == "operation not supported"
    assert all(verdict.maps for verdict in report.operators[:at])
    assert all("after HARD_SWISH" in verdict.status for verdict in report.operators[at + 1 :])


def test_float_ends_and_open_sizes_are_told(fitting: TFLiteModel, tiny: Tiny) -> None:
    source = fitting.inputs[0]
    shape = fitting.tensors[source].shape
    opened = with_tensor(fitting, source, shape_signature=(-1, *shape[1:]))
    assert any("leaves a size open [-1, 32, 32, 3]" in line for line in check_edgetpu_rules(opened).failures)
    batched = with_tensor(fitting, source, shape=(4, *shape[1:]), shape_signature=(4, *shape[1:]))
    assert any("has batch 4, expected 1" in line for line in check_edgetpu_rules(batched).failures)
    floating = check_edgetpu_rules(read_tflite(tiny.floating))
    assert any("FLOAT32, expected INT8 or UINT8" in line for line in floating.failures)
    assert not any(verdict.maps for verdict in floating.operators)


def test_published_limits_of_operators(fitting: TFLiteModel) -> None:
    mean = fitting.operators[number_of(fitting, "MEAN")]
    axes = with_tensor(fitting, mean.inputs[1], data=np.array([1, 3], np.int32).tobytes())
    odd = with_tensor(axes, mean.inputs[0], shape=(1, 8, 8, 30), shape_signature=(1, 8, 8, 30))
    assert "multiple of 4" in status_of(odd, "MEAN")
    softmax = fitting.operators[number_of(fitting, "SOFTMAX")]
    wide = with_tensor(fitting, softmax.inputs[0], shape=(1, 16001), shape_signature=(1, 16001))
    assert "at most 16000 elements" in status_of(wide, "SOFTMAX")
    convolution = fitting.operators[0]
    options = {**convolution.options, "dilationWFactor": 2}
    assert "dilation must be the same" in status_of(with_operator(fitting, "CONV_2D", options=options), "CONV_2D")


def test_parameters_beyond_on_chip_memory_are_told(fitting: TFLiteModel) -> None:
    kernel = fitting.operators[0].inputs[1]
    report = check_edgetpu_rules(with_tensor(fitting, kernel, data=bytes(9 * 2**20)))
    assert not report.fits_on_chip and "is streamed" in report.summary and report.failures == []


# -- published models: what is known of them ------------------------------------------------------------------------


def test_published_model_that_the_compiler_accepts(assets: Path) -> None:
    report = check_edgetpu_rules(read_tflite(assets / "coral/tf2_mobilenet_v2_1.0_224_ptq.tflite"))
    assert report.failures == []
    assert len(report.operators) == 68 and report.fits_on_chip


def test_published_compiled_model_is_recognised(assets: Path) -> None:
    report = check_edgetpu_rules(read_tflite(assets / "coral/compiled_split_concat_edgetpu.tflite"))
    assert report.is_compiled and "already" in report.failures[0] and "already" in report.summary


# -- the compiler, played by a script that prints what the real one prints --------------------------------------------

REPORT = """Edge TPU Compiler version 16.0.384591198
Model compiled successfully in 701 ms.
Input model: {model}
Number of Edge TPU subgraphs: 1
Total number of operations: 65
Number of operations that will run on Edge TPU: {tpu}
Number of operations that will run on CPU: {cpu}
"""
REFUSAL = "ERROR: Didn't find op for builtin opcode 'CONV_2D' version '6'. An older version might be supported."


@pytest.fixture
def model_file(tmp_path: Path, tiny: Tiny) -> Path:
    path = tmp_path / "fer_int8.tflite"
    path.write_bytes(tiny.int8)
    return path


def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / edgetpu_compiler.COMPILER
    script.write_text(f"#!/bin/sh\n# called as: -s -o OUT MODEL\n{body}\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(folder), prepend=":")


def test_compiler_runs_and_its_report_is_read(
    model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = REPORT.format(model=model_file.name, tpu=65, cpu=0)
    install(tmp_path, monkeypatch, f'cp "$4" "$3/fer_int8_edgetpu.tflite"\ncat <<END\n{text}END')
    compiled = edgetpu_compiler.compile_model(model_file, tmp_path)
    assert (compiled.on_tpu, compiled.on_cpu) == (65, 0)
    assert compiled.path == tmp_path / "fer_int8_edgetpu.tflite" and compiled.path.exists()


def test_operators_left_to_the_cpu_fail(model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = REPORT.format(model=model_file.name, tpu=63, cpu=2)
    install(tmp_path, monkeypatch, f'cp "$4" "$3/fer_int8_edgetpu.tflite"\ncat <<END\n{text}END')
    with pytest.raises(CheckFailedError, match="leaves 2 operators"):
        edgetpu_compiler.compile_model(model_file, tmp_path)


def test_refusal_is_passed_on(model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, f'echo "{REFUSAL}"\nexit 1')
    with pytest.raises(CheckFailedError, match=r"refused fer_int8\.tflite: ERROR: Didn't find op"):
        edgetpu_compiler.compile_model(model_file, tmp_path)


def test_without_the_compiler(model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert edgetpu_compiler.find_compiler() is None
    with pytest.raises(DeviceError, match="not installed"):
        edgetpu_compiler.compile_model(model_file, tmp_path)
