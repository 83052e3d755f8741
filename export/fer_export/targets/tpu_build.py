"""Build for a Sophgo chip in the environment ``tpu-mlir``, compute there in the chip's model, and judge."""

from __future__ import annotations

import contextlib
import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from fer_edge.arrays import FloatArray
from fer_edge.errors import CheckFailedError
from fer_edge.inference.tensors import dequantize, quantize
from fer_edge.loading.open import open_classifier
from fer_edge.system import usable_cpus
from fer_export.check.gate import merge
from fer_export.convert.qdq_graph import INPUT_NAME
from fer_export.targets.child import Limits, reason, run_script
from fer_export.targets.environments import ENVIRONMENTS, environment_python
from fer_export.targets.job import Conversion, TargetJob, TargetResult
from fer_export.targets.judging import TargetLimits, check_placement, check_quality

__all__ = ["LIMITS", "ComputedConversion", "check", "convert"]

LIMITS: Final = TargetLimits(min_agreement=0.98, max_drop=1.0, max_bytes=3_100_000)
"""It quantises again, so more accuracy may be lost than where the INT8 network is taken over."""
_CHILD: Final = Limits(seconds=3600, memory_bytes=10 << 30)
_AT_MOST: Final[int] = 399
"""The chip's model takes 0.3 to 1 s a face and processor."""
_MOST_PROCESSES: Final[int] = 16
"""They count together against the limit of memory, at 0.13 GB each."""
_METHODS: Final = ("use_mse", "use_kl")
"""Ways of calibrating; which is better differs from one network to another."""
_TRIAL_FACES: Final[int] = 70
"""Of those to calibrate on; the ways are compared on them."""


@dataclass(frozen=True)
class ComputedConversion(Conversion):
    """With what the chip's model computed in the same run."""

    golden_answers: FloatArray = field(default_factory=lambda: np.empty((0, 7), np.float32))
    """``(n, 7)`` probabilities for the golden tensors."""
    answers: FloatArray = field(default_factory=lambda: np.empty((0, 7), np.float32))
    """``(m, 7)`` for the faces of the split that :meth:`TargetJob.sample` chooses."""


def convert(job: TargetJob, chip: str) -> ComputedConversion:
    """Quantise and build the file for a chip, and compute golden and judged faces in its model.

    Args:
        job: what to build from.
        chip: name of the chip, as ``cv181x``.

    Returns:
        The conversion with the answers.

    Raises:
        CheckFailedError: the tool refuses the network, or takes too long.
        MissingDependencyError: its environment is not installed.
    """
    tool = ENVIRONMENTS["tpu-mlir"].tool
    result = job.out / f"fer_int8_{chip}.cvimodel"
    calibration = job.calibration / "npz"
    python = environment_python("tpu-mlir")
    n_golden = len(job.golden.tensors)
    tensors = np.concatenate([job.golden.tensors, job.tensors(job.sample(_AT_MOST))])
    with tempfile.TemporaryDirectory(prefix="fer-export-") as name:
        folder = Path(name)
        np.save(folder / "faces.npy", np.ascontiguousarray(dequantize(tensors, job.input_spec).transpose(0, 3, 1, 2)))
        trial, expected = _trial(job, calibration)
        np.savez(folder / "trial.npz", faces=trial, expected=expected)
        request = {
            "chip": chip,
            "size": job.input_spec.shape[1],
            "model": str(job.float_nchw_onnx),
            "calibration": str(calibration),
            "n_calibration": len(list(calibration.glob("*.npz"))),
            "result": str(result),
            "tools": str(python.parent),
            "methods": _METHODS,
            "processes": min(usable_cpus(), _MOST_PROCESSES),
        }
        answer, output = run_script(python, "tpu_build.py", request, limits=_CHILD, folder=folder, name=tool)
        if "failed" in answer:
            raise CheckFailedError(f"{tool}: {answer['failed']} refuses the network: {reason(output)}")
        answers = np.load(folder / "answers.npy", allow_pickle=False)
    if answers.shape != (len(tensors), 7):
        raise CheckFailedError(f"{tool} gives answers of shape {answers.shape}, expected {(len(tensors), 7)}")
    return ComputedConversion(
        model=result,
        tool=tool,
        memory_bytes=_ion_bytes(str(answer["info"])),
        memory_kind=f"ION memory with the weights, as {tool} plans it",
        facts={
            "chip": chip,
            "calibration": answer["method"],
            "calibration_faces": request["n_calibration"],
            "divergence_by_calibration": answer["divergences"],
            "operators_in_bf16": answer["bf16"],
        },
        golden_answers=answers[:n_golden],
        answers=answers[n_golden:],
    )


def check(job: TargetJob, conversion: Conversion, chip: str) -> TargetResult:
    """Judge the file, and what the chip's model computed.

    Args:
        job: what it was built from.
        conversion: of :func:`convert`.
        chip: name of the chip.

    Returns:
        The result, its verdict complete.
    """
    assert isinstance(conversion, ComputedConversion)
    against_int8, against_float = job.compare(job.sample(_AT_MOST), conversion.answers)
    golden: npt.NDArray[np.int8] = quantize(conversion.golden_answers, job.output_spec)
    return TargetResult(
        target=chip,
        arithmetic="own",
        conversion=conversion,
        computed_by=f"the model of the chip in {conversion.tool}; no device took part",
        against_int8=against_int8,
        against_float=against_float,
        verdict=merge(
            [
                check_placement(chip, conversion, LIMITS),
                check_quality(chip, against_int8, LIMITS, job.limits, labelled=job.labelled),
            ]
        ),
        golden_outputs=golden,
    )


def _trial(job: TargetJob, calibration: Path) -> tuple[FloatArray, FloatArray]:
    """Some faces to calibrate on, ``(n, 3, S, S)``, and the INT8 TFLite file's probabilities ``(n, 7)`` for them."""
    paths = sorted(calibration.glob("*.npz"))
    faces = []
    for i in np.unique(np.linspace(0, len(paths) - 1, min(len(paths), _TRIAL_FACES)).astype(int)):
        with np.load(paths[i], allow_pickle=False) as file:
            faces.append(file[INPUT_NAME][0])
    tensors = quantize(np.stack(faces).transpose(0, 2, 3, 1), job.input_spec)
    with contextlib.closing(open_classifier(job.int8_tflite, trusted=True)) as network:
        answers = np.concatenate([network.infer(tensor[None]) for tensor in tensors])
    return np.stack(faces), dequantize(answers, job.output_spec)


def _ion_bytes(info: str) -> int | None:
    match = re.search(r"ION[^\n]*?(\d[\d.]*)\s*(B|KB|MB)\b", info, re.IGNORECASE)
    return round(float(match[1]) * {"B": 1, "KB": 1 << 10, "MB": 1 << 20}[match[2].upper()]) if match else None
