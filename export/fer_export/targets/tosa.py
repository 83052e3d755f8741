"""Arm's TOSA reference model: the nearest to a functional simulator of an Ethos-U that can be had.

It computes the network in the integer operations that the NPU's compiler starts from, and rounds them as the command
stream does. It lives in an environment of its own (``fer-export --install-target tosa``), since it pins another numpy.
"""

from __future__ import annotations

import functools
import hashlib
import tempfile
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from fer_edge.errors import CheckFailedError
from fer_export.targets.child import Limits, reason, run_tool
from fer_export.targets.environments import environment_python, why_not_installed
from fer_export.targets.job import TargetJob

__all__ = ["ENVIRONMENT", "MAX_DIFFERING", "PROOF_FACES", "proof", "tosa_outputs"]

ENVIRONMENT: Final[str] = "tosa"
PROOF_FACES: Final[int] = 20
"""Of the golden vectors; the model takes 0.13 s each."""
MAX_DIFFERING: Final[int] = 2
"""Values: LiteRT's reference kernels, which the golden vectors come from, differ from TFLM and TOSA by one step in one
value of some thousands."""
_LIMITS: Final = Limits(seconds=600, memory_bytes=4 << 30)
_INPUT, _OUTPUT = "TosaInput_0", "TosaOutput_0"


def tosa_outputs(model: Path, tensors: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
    """Compute faces with the TOSA reference model.

    Args:
        model: INT8 TFLite file.
        tensors: ``(n, S, S, 3)`` int8.

    Returns:
        Outputs ``(n, 7)`` int8.

    Raises:
        CheckFailedError: the network has no form in TOSA, or cannot be computed.
        MissingDependencyError: the environment is not installed.
    """
    tools = environment_python(ENVIRONMENT).parent
    with tempfile.TemporaryDirectory(prefix="fer-tosa-") as name:
        folder = Path(name)
        _run([tools / "tosa-converter-for-tflite", model.resolve(), "--bytecode", "-o", "m.mlirbc"], folder)
        _run([tools / "tosa-opt", "--tosa-serialize=tosa-flatbuffer-filename=m.tosa", "m.mlirbc", "-o", "out"], folder)
        command: list[str | Path] = [tools / "tosa_reference_model", "--tosa_file", "m.tosa", "--flatbuffer_dir", "."]
        command += ["--output_dir", ".", "--ifm_name", _INPUT, "--ifm_file", "x.npy"]
        command += ["--ofm_name", _OUTPUT, "--ofm_file", "y.npy"]
        answers = []
        for tensor in tensors:
            np.save(folder / "x.npy", tensor[None])
            _run(command, folder)
            answers.append(np.load(folder / "y.npy", allow_pickle=False))
        return np.concatenate(answers).astype(np.int8)


def _run(command: list[str | Path], folder: Path) -> None:
    done = run_tool(command, limits=_LIMITS, folder=folder, name="TOSA's tools")
    if done.code != 0:
        raise CheckFailedError(f"{Path(command[0]).name} failed ({done.ending}): {reason(done.output)}")


def proof(job: TargetJob) -> dict[str, object]:
    """Whether the TOSA model computes the golden vectors bit for bit, where it is installed.

    Args:
        job: what a target starts from.

    Returns:
        For the manifest: how many vectors, and how many of their values are the same; why not, where it did not run.

    Raises:
        CheckFailedError: it computes them otherwise.
    """
    problem = why_not_installed(ENVIRONMENT)
    if problem is not None or job.golden.double_rounding is None:
        return {"vectors": 0, "reason": problem or "no golden vectors by double rounding"}
    content = job.int8_tflite.read_bytes()
    got = _computed(hashlib.sha256(content).hexdigest(), job.int8_tflite, job.golden.path)
    expected = job.golden.double_rounding[: len(got)]
    differing = int(np.count_nonzero(got != expected))
    steps = int(np.abs(got.astype(int) - expected).max(initial=0))
    if steps > 1 or differing > MAX_DIFFERING:
        raise CheckFailedError(
            f"the TOSA reference model computes {len(got)} golden vectors otherwise: {differing} of {got.size} values "
            f"differ, by up to {steps}"
        )
    return {"vectors": len(got), "values": int(got.size), "identical_values": int(got.size) - differing}


@functools.lru_cache(maxsize=2)
def _computed(digest: str, model: Path, golden: Path) -> npt.NDArray[np.int8]:  # noqa: ARG001 - the digest is the key
    """Once for all boards of an export."""
    with np.load(golden, allow_pickle=False) as stored:
        tensors = stored["tensors"][:PROOF_FACES]
    return tosa_outputs(model, tensors)
