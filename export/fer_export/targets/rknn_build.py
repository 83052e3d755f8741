"""Build for a Rockchip NPU in the environment ``rknn``, simulate there, and judge placement and answers."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from fer_edge.errors import CheckFailedError
from fer_edge.inference.rknn_file import read_rknn
from fer_edge.inference.tensors import dequantize
from fer_edge.system import usable_cpus
from fer_export.check.gate import Verdict, merge
from fer_export.convert.tensor_names import shorten_names
from fer_export.targets.child import Limits, run_script
from fer_export.targets.environments import ENVIRONMENTS, environment_python
from fer_export.targets.job import Conversion, TargetJob, TargetResult
from fer_export.targets.judging import TargetLimits, check_placement, check_quality

__all__ = ["LIMITS", "Operator", "SimulatedConversion", "check", "convert", "operator_table", "placement_failures"]

LIMITS: Final = TargetLimits(min_agreement=0.975, max_drop=0.5, max_bytes=2_900_000)
_CHILD: Final = Limits(seconds=3600, memory_bytes=8 << 30)
_AT_MOST: Final[int] = 2048
_MOST_PROCESSES: Final[int] = 4
"""Copies of the simulator. What they share counts for each of them against the limit of memory."""
_OPTIMIZATION: Final[int] = 3
"""The tool advises 2 for networks that were quantised in training; 3 is as accurate here, its file 3 % smaller."""
_ENDS: Final[frozenset[str]] = frozenset({"InputOperator", "OutputOperator"})
_ROW: Final = re.compile(r"^D RKNN: \[[\d:.]+\] (\d+)\s+(\w+)\s+(\w+)\s+(CPU|NPU|GPU)\s", re.MULTILINE)
_CYCLES: Final = re.compile(r"\s\d+/\d+/(\d+)\s")


@dataclass(frozen=True)
class Operator:
    """One row of the table that the compiler prints."""

    kind: str
    """Such as ``ConvClip``."""
    dtype: str
    """Such as ``INT8``."""
    place: str
    """``NPU`` or ``CPU``."""
    cycles: int
    """As the compiler estimates them; 0 where it does not."""


@dataclass(frozen=True)
class SimulatedConversion(Conversion):
    """With what the simulator computed in the same process."""

    operators: tuple[Operator, ...] = ()
    """The compiler's table."""
    golden_answers: npt.NDArray[np.int8] = field(default_factory=lambda: np.empty((0, 7), np.int8))
    """``(n, 7)`` for the golden tensors."""
    answers: npt.NDArray[np.int8] = field(default_factory=lambda: np.empty((0, 7), np.int8))
    """``(m, 7)`` for the faces of the split that :meth:`TargetJob.sample` chooses."""


def convert(job: TargetJob, chip: str) -> SimulatedConversion:
    """Build the file for a chip, and compute golden and judged faces in the simulator.

    Args:
        job: what to build from.
        chip: name of the platform, as ``rk3588``.

    Returns:
        The conversion with the answers.

    Raises:
        CheckFailedError: the tool refuses the network, or takes too long.
        MissingDependencyError: its environment is not installed.
    """
    tool = ENVIRONMENTS["rknn"].tool
    result = job.out / f"fer_int8_{chip}.rknn"
    n_golden = len(job.golden.tensors)
    with tempfile.TemporaryDirectory(prefix="fer-export-") as name:
        folder = Path(name)
        # All names go into the file: those of TensorFlow's converter are 1 % of it, and the longest make the tool fail.
        (folder / "network.tflite").write_bytes(shorten_names(job.int8_tflite.read_bytes()))
        np.save(folder / "faces.npy", np.concatenate([job.golden.tensors, job.tensors(job.sample(_AT_MOST))]))
        request = {
            "platform": chip,
            "model": "network.tflite",
            "result": str(result),
            "optimization_level": _OPTIMIZATION,
            "processes": min(usable_cpus(), _MOST_PROCESSES),
        }
        python = environment_python("rknn")
        _, output = run_script(python, "rknn_build.py", request, limits=_CHILD, folder=folder, name=tool)
        answers = np.load(folder / "answers.npy", allow_pickle=False)
    if answers.dtype != np.int8 or answers.shape[1:] != (7,):
        raise CheckFailedError(f"{tool} gives {answers.dtype} {answers.shape}, expected int8 (n, 7) as the network")
    operators = operator_table(output)
    internal = _kilobytes(output, "Internal")
    return SimulatedConversion(
        model=result,
        tool=tool,
        accelerator_operators=sum(each.place == "NPU" for each in operators),
        cpu_operators=sum(each.place != "NPU" and each.kind not in _ENDS for each in operators),
        memory_bytes=internal,
        memory_kind=f"working memory as {tool} plans it, weights apart",
        facts={
            "chip": chip,
            "optimization_level": _OPTIMIZATION,
            "weight_bytes": _kilobytes(output, "Weight"),
            "estimated_cycles": sum(each.cycles for each in operators),
            "operators_on_cpu": [each.kind for each in operators if each.place != "NPU" and each.kind not in _ENDS],
        },
        operators=operators,
        golden_answers=answers[:n_golden],
        answers=answers[n_golden:],
    )


def check(job: TargetJob, conversion: Conversion, chip: str) -> TargetResult:
    """Judge what the compiler placed where, the file, and what the simulator computed.

    Args:
        job: what it was built from.
        conversion: of :func:`convert`.
        chip: name of the platform.

    Returns:
        The result, its verdict complete.
    """
    assert isinstance(conversion, SimulatedConversion)
    file = read_rknn(conversion.model)
    indices = job.sample(_AT_MOST)
    against_int8, against_float = job.compare(indices, dequantize(conversion.answers, job.output_spec))
    failures = placement_failures(chip, conversion.operators)
    if file.platforms != (chip,):
        failures.append(f"{chip}: the file says it is for {' or '.join(file.platforms) or 'no chip'}")
    # Softmax and two transpositions run on the CPU of RK3566 and RK3568: what counts are the convolutions.
    placed = check_placement(chip, Conversion(conversion.model, conversion.tool), LIMITS)
    quality = check_quality(chip, against_int8, LIMITS, job.limits, labelled=job.labelled)
    return TargetResult(
        target=chip,
        arithmetic="own",
        conversion=conversion,
        computed_by="the simulator of rknn-toolkit2, which is not an exact model of the chip; no device took part",
        against_int8=against_int8,
        against_float=against_float,
        verdict=merge([Verdict(tuple(failures), ()), placed, quality]),
        golden_outputs=conversion.golden_answers,
    )


def operator_table(output: str) -> tuple[Operator, ...]:
    """The table of operators in what the compiler prints.

    Args:
        output: what it printed, verbose.

    Returns:
        Its rows.

    Raises:
        CheckFailedError: there is none: another version of the tool?
    """
    start = output.rfind("OpType ")
    table = output[start:] if start >= 0 else ""
    rows: list[Operator] = []
    for match in _ROW.finditer(table):
        if int(match[1]) != len(rows):  # the next table counts anew
            break
        cycles = _CYCLES.search(table, match.end() - 1, table.find("\n", match.end()))
        rows.append(Operator(match[2], match[3], match[4], int(cycles[1]) if cycles else 0))
    if len(rows) <= len(_ENDS):
        raise CheckFailedError("rknn-toolkit2 printed no table of operators; is it another version than 2.5.0?")
    return tuple(rows)


def placement_failures(chip: str, operators: tuple[Operator, ...]) -> list[str]:
    """What is wrong with where and how operators run.

    Args:
        chip: name of the platform, for the messages.
        operators: the compiler's table.

    Returns:
        One line a fault; empty where every convolution runs in INT8 on the NPU and nothing in float.
    """
    convolutions = [each for each in operators if "Conv" in each.kind]
    failures = []
    if not convolutions:
        failures.append(f"{chip}: the compiler's table holds no convolution")
    astray = [each for each in convolutions if (each.dtype, each.place) != ("INT8", "NPU")]
    if astray:
        first = astray[0]
        failures.append(
            f"{chip}: {len(astray)} of {len(convolutions)} convolutions do not run as INT8 on the NPU "
            f"({first.kind} is {first.dtype} on the {first.place})"
        )
    floating = [each for each in operators if each.dtype.startswith(("FLOAT", "BFLOAT")) and each not in astray]
    if floating:
        failures.append(
            f"{chip}: {len(floating)} operators run in {floating[0].dtype} ({floating[0].kind}), expected none"
        )
    return failures


def _kilobytes(output: str, which: str) -> int | None:
    match = re.search(rf"Total {which} Memory Size: ([\d.]+)KB", output)
    return round(float(match[1]) * 1024) if match else None
