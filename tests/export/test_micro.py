"""TensorFlow Lite Micro: bit for bit, the C sources, and the firmware example."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from tests.export.fake_tflm import write_fake_tflm

from fer_edge.errors import CheckFailedError
from fer_edge.files import sha256_of
from fer_export.file_names import INT8_TFLITE
from fer_export.request import Steps
from fer_export.targets import chosen_targets
from fer_export.targets.c_array import write_c_array, write_golden_arrays
from fer_export.targets.job import TargetJob
from fer_export.targets.micro import _differences, operator_method, run_micro
from fer_export.targets.run import manifest_entry, run_targets

EXAMPLE = Path(__file__).parents[2] / "examples" / "tflm"
COMPILER = shutil.which("g++") or shutil.which("clang++")
SIX = ["CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "MEAN", "FULLY_CONNECTED", "SOFTMAX"]

needs_compiler = pytest.mark.skipif(COMPILER is None, reason="no C++ compiler is installed")


def few(job: TargetJob, n: int = 3) -> TargetJob:
    """The same job with few golden vectors: TFLM's kernels take some 60 ms each."""
    golden = job.golden
    assert golden.double_rounding is not None
    return dataclasses.replace(
        job,
        golden=dataclasses.replace(
            golden,
            frames=golden.frames[:n],
            tensors=golden.tensors[:n],
            outputs=golden.outputs[:n],
            double_rounding=golden.double_rounding[:n],
            labels=golden.labels[:n],
        ),
    )


@pytest.fixture
def tflite_micro() -> None:
    pytest.importorskip("tflite_micro", reason="tflite-micro is not installed (extra tflm, Linux on x86-64)")


def test_files_arena_and_bits(job: TargetJob, tflite_micro: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fer_export.targets.micro.SAMPLE_FACES", 2)
    results, verdict = run_targets(chosen_targets(["tflm"]), few(job), job.out, Steps())
    assert verdict.passed, verdict.failures
    entry = manifest_entry(results[0], job.out, labelled=False)
    assert entry["operators"] == SIX and entry["sha256"] == sha256_of(job.int8_tflite)
    assert 400_000 < entry["memory_bytes"] <= 430_000
    folder = job.out / "tflm"
    names = {"fer_int8.tflite", "fer_int8.cc", "fer_int8.h", "fer_int8_operators.h"}
    assert {path.name for path in folder.iterdir()} == names | {"fer_int8_golden.cc", "fer_int8_golden.h"}
    operators = (folder / "fer_int8_operators.h").read_text()
    assert f"FER_INT8_ARENA_BYTES {entry['memory_bytes']}\n" in operators
    assert "FER_INT8_OPERATORS 6\n" in operators and operators.count("resolver.Add") == 6


def test_a_difference_fails_it(job: TargetJob) -> None:
    """Many values, more than one step, or another decision; a value or two by one step are what is known."""
    expected = job.golden.double_rounding
    assert expected is not None
    assert _differences("x", expected, expected) == []
    near = expected.copy()
    near[0, int(expected[0].argmin())] += 1
    assert _differences("x", near, expected) == []
    for steps in (2, 200):
        other = expected.astype(int)
        other[0, int(expected[0].argmin())] += steps
        (line,) = _differences("golden vectors", np.clip(other, -128, 127).astype(np.int8), expected)
        assert line.startswith("tflm: TensorFlow Lite Micro computes the golden vectors otherwise")
    assert _differences("golden vectors", job.golden.outputs, expected)  # XNNPACK's do not pass for them


def test_a_network_that_it_does_not_run_is_refused_with_its_reason(job: TargetJob, tflite_micro: None) -> None:
    pytest.importorskip("ethosu", reason="vela is not installed (extra vela)")
    from fer_export.targets.available.ethos_u import BOARDS
    from fer_export.targets.vela import compile_for

    compiled = compile_for(BOARDS[0], job).model
    with pytest.raises(CheckFailedError, match=r"does not run fer_int8_vela.tflite: .*ethos-u"):
        run_micro(compiled, job.golden.tensors[:1])


def test_invoke_overwrites_its_input(job: TargetJob, tflite_micro: None) -> None:
    """The trap that the example tells of: were it gone, the example's comment would be wrong."""
    from tflite_micro import runtime

    interpreter = runtime.Interpreter.from_file(str(job.int8_tflite), arena_size=500_000)
    expected = job.golden.double_rounding
    assert expected is not None
    interpreter.set_input(job.golden.tensors[:1], 0)
    interpreter.invoke()
    np.testing.assert_array_equal(interpreter.get_output(0), expected[:1])
    interpreter.invoke()
    assert not np.array_equal(interpreter.get_output(0), expected[:1])


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("CONV_2D", "AddConv2D"),
        ("DEPTHWISE_CONV_2D", "AddDepthwiseConv2D"),
        ("MAX_POOL_2D", "AddMaxPool2D"),
        ("RELU6", "AddRelu6"),
        ("BATCH_MATMUL", "AddBatchMatMul"),
        ("HARD_SWISH", "AddHardSwish"),
    ],
)
def test_methods_of_the_resolver(name: str, method: str) -> None:
    assert operator_method(name) == method


@needs_compiler
def test_the_array_is_the_file(tmp_path: Path) -> None:
    """Compiled as C++ and read as C: all bytes, aligned."""
    content = np.random.default_rng(1).integers(0, 256, 1003, dtype=np.uint8).tobytes()
    (tmp_path / "net.tflite").write_bytes(content)
    header, source = write_c_array(tmp_path / "net.tflite", "net")
    text = header.read_text()
    assert "SPDX-License-Identifier: Apache-2.0" in text and sha256_of(tmp_path / "net.tflite") in text
    (tmp_path / "main.c").write_text(
        '#include <stdint.h>\n#include <stdio.h>\n#include "net.h"\n'
        "int main(void) { fwrite(net, 1, net_len, stdout); return (int)((uintptr_t)net % 16); }\n"
    )
    assert COMPILER is not None
    plain_c = COMPILER.replace("++", "cc" if COMPILER.endswith("g++") else "")
    subprocess.run([COMPILER, "-std=c++17", "-c", "-o", "net.o", str(source)], cwd=tmp_path, check=True)
    subprocess.run([plain_c, "-std=c11", "-Wall", "-Werror", "-o", "main", "main.c", "net.o"], cwd=tmp_path, check=True)
    assert subprocess.run([str(tmp_path / "main")], capture_output=True, check=True).stdout == content


def firmware(job: TargetJob, folder: Path, outputs: np.ndarray) -> Path:
    """What ``--target tflm`` writes for the example, with a little model: the fake TFLM does not look at it."""
    from fer_export.targets.micro import _write_operators

    (folder / "fer_int8.tflite").write_bytes(bytes(64))
    write_c_array(folder / "fer_int8.tflite", "fer_int8")
    write_golden_arrays(folder, "fer_int8_golden", job.golden.tensors[:4], outputs, note="a test")
    _write_operators(folder / "fer_int8_operators.h", "fer_int8", SIX, 428_560, "a test")
    return folder


@needs_compiler
@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_the_example_compiles_and_copies_its_input_before_each_invoke(job: TargetJob, tmp_path: Path) -> None:
    """By its own Makefile, against headers that look like TFLM, whose Invoke() overwrites the input as the real one."""
    assert job.golden.double_rounding is not None
    model, fake, example = tmp_path / "model", tmp_path / "tflm", tmp_path / "example"
    model.mkdir()
    write_fake_tflm(fake)
    firmware(job, model, job.golden.double_rounding[:4])
    shutil.copytree(EXAMPLE, example, ignore=shutil.ignore_patterns("fer_tflm"))
    command = ["make", "-C", str(example), f"TFLM={fake}", f"MODEL={model}", f"CXX={COMPILER}"]
    done = subprocess.run(
        [*command, "CXXFLAGS=-O0 -Wall -Wextra -Werror"], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    ran = subprocess.run([str(example / "fer_tflm")], capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 0, ran.stdout
    assert ran.stdout.count("identical") == 4 and "4 golden vectors repeated bit for bit" in ran.stdout


@pytest.mark.slow
@needs_compiler
@pytest.mark.skipif(
    not (os.environ.get("FER_TFLM") and os.environ.get("FER_TFLM_LIBRARY")),
    reason="FER_TFLM and FER_TFLM_LIBRARY do not name TFLM's sources and its static library",
)
def test_the_example_on_the_real_thing(job: TargetJob, tflite_micro: None, tmp_path: Path) -> None:
    results, verdict = run_targets(chosen_targets(["tflm"]), few(job, 4), job.out, Steps())
    assert verdict.passed and results
    example = tmp_path / "example"
    shutil.copytree(EXAMPLE, example, ignore=shutil.ignore_patterns("fer_tflm"))
    command = ["make", "-C", str(example), f"MODEL={job.out / 'tflm'}"]
    command += [
        f"{name}={os.environ[f'FER_{name}']}"
        for name in ("TFLM", "TFLM_LIBRARY", "TFLM_DOWNLOADS")
        if f"FER_{name}" in os.environ
    ]
    subprocess.run(command, check=True, timeout=900)
    ran = subprocess.run([str(example / "fer_tflm")], capture_output=True, text=True, check=False, timeout=120)
    assert ran.returncode == 0 and "golden vectors repeated bit for bit" in ran.stdout, ran.stdout


def test_a_file_for_another_runtime_is_no_input(job: TargetJob, tflite_micro: None) -> None:
    (job.models / INT8_TFLITE).write_bytes(b"\0\0\0\0TFL3")
    with pytest.raises(CheckFailedError, match=r"^tflm: TensorFlow Lite Micro does not run fer_int8.tflite: [^\n]+$"):
        run_micro(job.int8_tflite, job.golden.tensors[:1])
