"""Files for TensorFlow Lite Micro, and the proof that its kernels compute them as the golden vectors say."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from fer_edge.errors import CheckFailedError, DeviceError, FerError
from fer_edge.files import write_text
from fer_export.check.gate import Verdict
from fer_export.log import LOG
from fer_export.targets.c_array import write_c_array, write_golden_arrays
from fer_export.targets.job import Conversion, TargetJob, TargetResult
from fer_export.targets.judging import judge_double_rounding
from fer_export.tflite_file import read_tflite
from fer_train.quantization.reference_kernels import on_reference_kernels

__all__ = [
    "GOLDEN_IN_C",
    "MAX_DIFFERING_SHARE",
    "MAX_DIFFERING_VALUES",
    "SAMPLE_FACES",
    "check",
    "convert",
    "operator_method",
    "run_micro",
]

SAMPLE_FACES: Final[int] = 36
"""Faces of the split that TFLM computes beside the golden vectors; its kernels take some 60 ms each."""
GOLDEN_IN_C: Final[int] = 4
"""Golden vectors for firmware: 27 KB of flash each at 96 pixels."""
MAX_DIFFERING_SHARE: Final[float] = 0.015
MAX_DIFFERING_VALUES: Final[int] = 2
"""TFLM's and LiteRT's reference kernels were written apart: with one network one value of 2,793 differed by a step,
with another 3 of 252. Of many values the share counts, of few the number; larger steps or other decisions fail."""
_SECONDS: Final[int] = 900
_SCRATCH: Final[str] = "outputs.npy"
"""From the conversion to the check; not published."""
_METHODS: Final[dict[str, str]] = {
    "BATCH_MATMUL": "BatchMatMul",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "UnidirectionalSequenceLSTM",
}


def operator_method(name: str) -> str:
    """The method of TFLM's ``MicroMutableOpResolver`` that registers an operator.

    Args:
        name: as the TFLite schema has it: ``CONV_2D``.

    Returns:
        ``AddConv2D``.
    """
    words = _METHODS.get(name) or "".join(word if word == "2D" else word.capitalize() for word in name.split("_"))
    return f"Add{words}"


def run_micro(model: Path, tensors: npt.NDArray[np.int8]) -> tuple[npt.NDArray[np.int8], int]:
    """Compute faces with TensorFlow Lite Micro, in a child process, in the smallest arena that does.

    Args:
        model: INT8 TFLite file.
        tensors: ``(n, S, S, 3)`` int8.

    Returns:
        Outputs ``(n, 7)`` int8, and the arena's size in bytes.

    Raises:
        CheckFailedError: TFLM does not run this network; with its reason.
        DeviceError: it does not finish.
    """
    with tempfile.TemporaryDirectory(prefix="fer-tflm-") as folder:
        inputs, outputs = Path(folder) / "inputs.npy", Path(folder) / "outputs.npy"
        np.save(inputs, tensors)
        command = [sys.executable, "-m", "fer_export.targets.micro_worker", str(model), str(inputs), str(outputs)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise DeviceError(f"tflm: tflite-micro could not be run: {error}") from error
        LOG.debug("%s: exit code %d\n%s", " ".join(command), done.returncode, done.stderr[-2000:])
        if done.returncode != 0:
            lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
            reason = (lines[0] if lines else f"exit code {done.returncode}") + _custom_operators(model)
            raise CheckFailedError(f"tflm: TensorFlow Lite Micro does not run {model.name}: {reason}")
        answers: npt.NDArray[np.int8] = np.load(outputs, allow_pickle=False)
        return answers, int(json.loads(done.stdout.splitlines()[-1])["arena_bytes"])


def _custom_operators(model: Path) -> str:
    """Which operators of the file are not TFLite's own: TFLM itself says only that there is one."""
    with contextlib.suppress(FerError):  # a file that cannot be parsed has its own reason
        names = dict.fromkeys(op.name for op in read_tflite(model).operators if op.is_custom)
        if names:
            return f" (custom operators: {', '.join(names)})"
    return ""


def convert(job: TargetJob) -> Conversion:
    """Write the model, its operators and golden vectors for firmware.

    Args:
        job: what to start from.

    Returns:
        The model file, and the measured arena.

    Raises:
        CheckFailedError: TFLM does not run the network.
    """
    model = job.out / job.int8_tflite.name
    shutil.copyfile(job.int8_tflite, model)
    name = model.stem
    # One process for all: its start and the search for the arena take as long as many faces.
    sample = job.tensors(job.sample(SAMPLE_FACES))
    outputs, arena = run_micro(model, np.concatenate([job.golden.tensors, sample]))
    operators = list(dict.fromkeys(op.name for op in read_tflite(model).operators))
    tool = f"tflite-micro {metadata.version('tflite-micro')}"
    write_c_array(model, name)
    _write_operators(job.out / f"{name}_operators.h", name, operators, arena, tool)
    chosen = _one_of_each(job)
    write_golden_arrays(job.out, f"{name}_golden", job.golden.tensors[chosen], outputs[chosen], note=f"by {tool}")
    np.save(job.out / _SCRATCH, outputs)
    return Conversion(
        model=model,
        tool=tool,
        memory_bytes=arena,
        memory_kind=f"arena, measured with {tool} on a 64-bit PC",
        facts={"operators": operators},
    )


def check(job: TargetJob, conversion: Conversion) -> TargetResult:
    """Compare what TFLM computes with the golden vectors, and with the reference kernels on faces of the split.

    Args:
        job: what the target started from.
        conversion: the files.

    Returns:
        The result.
    """
    scratch = job.out / _SCRATCH
    answers = np.load(scratch, allow_pickle=False)
    scratch.unlink()
    n = len(job.golden.tensors)
    failures = _differences("golden vectors", answers[:n], job.golden.double_rounding)
    tensors = job.tensors(job.sample(SAMPLE_FACES))
    if not isinstance(job.arithmetic, str):
        reference = on_reference_kernels(conversion.model)
        expected = np.concatenate([reference.infer(tensors[i : i + 1]) for i in range(len(tensors))])
        reference.close()
        failures += _differences(f"{len(tensors)} faces", answers[n:], expected)
    return judge_double_rounding(
        job,
        conversion,
        target="tflm",
        computed_by=f"TFLite's reference kernels, which {conversion.tool} followed on {n} golden vectors and "
        f"{len(tensors)} faces",
        further=Verdict(tuple(failures), ()),
    )


def _differences(what: str, got: npt.NDArray[np.int8], expected: npt.NDArray[np.int8] | None) -> list[str]:
    """What forbids to let one stand for the other."""
    if expected is None:
        return []
    steps = np.abs(got.astype(int) - expected)
    differing, decided = int(np.count_nonzero(steps)), got.argmax(axis=1) != expected.argmax(axis=1)
    allowed = max(MAX_DIFFERING_VALUES, int(MAX_DIFFERING_SHARE * steps.size))
    if differing <= allowed and steps.max(initial=0) <= 1 and not decided.any():
        return []
    return [
        f"tflm: TensorFlow Lite Micro computes the {what} otherwise than the reference kernels: {differing} of "
        f"{steps.size} values differ, by up to {steps.max()}, {int(decided.sum())} are decided otherwise"
    ]


def _one_of_each(job: TargetJob) -> npt.NDArray[np.int64]:
    """Golden vectors that are decided differently, as far as there are."""
    first = [job.golden.labels.index(label) for label in dict.fromkeys(job.golden.labels)]
    rest = [i for i in range(len(job.golden.labels)) if i not in first]
    return np.asarray((first + rest)[:GOLDEN_IN_C], np.int64)


def _write_operators(path: Path, name: str, operators: list[str], arena: int, tool: str) -> None:
    prefix = name.upper()
    calls = "\n".join(f"  TF_LITE_ENSURE_STATUS(resolver.{operator_method(op)}());" for op in operators)
    text = f"""\
// SPDX-License-Identifier: Apache-2.0
// Written by fer-export of fer-edge-toolkit: what {name}.tflite needs of TensorFlow Lite Micro.

#ifndef {prefix}_OPERATORS_H_
#define {prefix}_OPERATORS_H_

#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"

// Measured with {tool} on a 64-bit PC, the smallest that works; pointers of 32 bits need less, kernels of
// CMSIS-NN and ESP-NN ask for scratch memory on top. Print arena_used_bytes() on the device, and trim.
#define {prefix}_ARENA_BYTES {arena}
#define {prefix}_OPERATORS {len(operators)}

inline TfLiteStatus {name}_add_operators(tflite::MicroMutableOpResolver<{prefix}_OPERATORS>& resolver) {{
{calls}
  return kTfLiteOk;
}}

#endif  // {prefix}_OPERATORS_H_
"""
    write_text(path, text)
