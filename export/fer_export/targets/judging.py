"""Judge what a target computes: beside our own models on the same faces, by limits that every target shares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fer_edge.inference.tensors import dequantize
from fer_edge.verification.golden import DOUBLE_ROUNDING
from fer_export.check.gate import Comparison, Limits, Verdict, merge
from fer_export.targets.job import Conversion, TargetJob, TargetResult

__all__ = ["ENOUGH_FACES", "TargetLimits", "check_placement", "check_quality", "judge", "judge_double_rounding"]

ENOUGH_FACES: Final[int] = 399
"""On fewer labelled faces a target's own limits say little (one of a hundred is a whole point), and the looser ones of
synthetic faces count."""


@dataclass(frozen=True)
class TargetLimits:
    """What a target must reach on at least :data:`ENOUGH_FACES` labelled faces."""

    min_agreement: float = 0.975
    """Smallest fraction of faces decided like the INT8 TFLite file by XNNPACK."""
    max_drop: float = 0.5
    """Largest loss of accuracy from that file, in points."""
    max_bytes: int | None = None
    """Largest size of the file for the device; None without a limit."""
    max_memory_bytes: int | None = None
    """Most working memory; None without a limit."""


def judge(
    job: TargetJob,
    conversion: Conversion,
    *,
    target: str,
    arithmetic: str,
    computed_by: str,
    compute: Callable[[npt.NDArray[np.int8]], npt.NDArray[Any]],
    limits: TargetLimits = TargetLimits(),
    at_most: int = 4096,
    keep_golden: bool = False,
) -> TargetResult:
    """Compute faces of the split on a simulator, and judge the answers.

    Args:
        job: what the target started from.
        conversion: what its tool made.
        target: name of the target.
        arithmetic: which golden outputs it is held to.
        computed_by: what computes, for the reports.
        compute: from ``(n, S, S, 3)`` int8 to ``(n, 7)``: int8 as the INT8 TFLite file's output, or float32
            probabilities.
        limits: what is demanded.
        at_most: of more faces, so many are computed, evenly spread.
        keep_golden: whether what it computes for the golden tensors is recorded as its own.

    Returns:
        The result, its verdict complete.
    """
    indices = job.sample(at_most)
    answers = compute(job.tensors(indices))
    probabilities = dequantize(answers, job.output_spec) if answers.dtype == np.int8 else answers.astype(np.float32)
    against_int8, against_float = job.compare(indices, probabilities)
    golden = np.asarray(compute(job.golden.tensors)) if keep_golden else None
    verdicts = [
        check_placement(target, conversion, limits),
        check_quality(target, against_int8, limits, job.limits, labelled=job.labelled),
    ]
    return TargetResult(
        target, arithmetic, conversion, computed_by, against_int8, against_float, merge(verdicts), golden
    )


def check_placement(target: str, conversion: Conversion, limits: TargetLimits) -> Verdict:
    """Judge what the tool says: operators left to the CPU, size, memory.

    Args:
        target: name of the target.
        conversion: what its tool made.
        limits: what is demanded.

    Returns:
        Failures.
    """
    failures = []
    if conversion.cpu_operators:
        total = conversion.cpu_operators + (conversion.accelerator_operators or 0)
        failures.append(f"{target}: {conversion.cpu_operators} of {total} operators are left to the CPU, expected none")
    size = conversion.model.stat().st_size
    for what, value, limit in (
        ("file", size, limits.max_bytes),
        (conversion.memory_kind or "memory", conversion.memory_bytes, limits.max_memory_bytes),
    ):
        if limit is not None and value is not None and value > limit:
            failures.append(f"{target}: the {what} takes {value:,} bytes, at most {limit:,} allowed")
    return Verdict(tuple(failures), ())


def check_quality(
    target: str, against_int8: Comparison, limits: TargetLimits, demanded: Limits, *, labelled: bool
) -> Verdict:
    """Judge what a target decides, beside the INT8 TFLite file by XNNPACK.

    Args:
        target: name of the target.
        against_int8: the comparison.
        limits: of the target.
        demanded: the limits of the export: where the user asked for less agreement, that counts.
        labelled: False for faces without a true label, where only agreement counts.

    Returns:
        Failures and remarks.
    """
    failures, remarks = [], []
    n = against_int8.other.n_images
    enough = labelled and n >= ENOUGH_FACES
    floor = limits.min_agreement if enough else demanded.min_agreement_synthetic
    if demanded.strict_agreement:  # --min-agreement
        floor = min(floor, demanded.min_agreement)
    if not against_int8.agreement >= floor:
        failures.append(
            f"{target}: decides like the INT8 TFLite file on {against_int8.agreement:.2%} of {n} faces, "
            f"at least {floor:.1%} required"
        )
    if not labelled:
        return Verdict(tuple(failures), ())
    drop = against_int8.drop.value
    if enough and not drop <= limits.max_drop:
        failures.append(
            f"{target}: accuracy drops by {drop:.2f} points from the INT8 TFLite file on {n} faces, "
            f"at most {limits.max_drop} allowed"
        )
    if not enough:
        remarks.append(f"{target}: too few images to judge it, {n} of {ENOUGH_FACES}; agreement alone counted")
    return Verdict(tuple(failures), tuple(remarks))


def judge_double_rounding(
    job: TargetJob,
    conversion: Conversion,
    *,
    target: str,
    computed_by: str,
    limits: TargetLimits = TargetLimits(),
    further: Verdict | None = None,
) -> TargetResult:
    """Judge a target that computes as TFLite's reference kernels do, by what those gave on the whole split.

    Args:
        job: what the target started from.
        conversion: what its tool made.
        target: name of the target.
        computed_by: why the reference kernels represent it.
        limits: what is demanded.
        further: of checks of the target's own.

    Returns:
        The result, its verdict complete.
    """
    verdicts = [check_placement(target, conversion, limits), further or Verdict((), ())]
    against_int8 = against_float = None
    if isinstance(job.arithmetic, str):
        line = f"{target}: its answers are not judged, the reference kernels do not compute this network"
        verdicts.append(Verdict((), (line,)))
    else:
        against_int8, against_float = job.arithmetic.against_xnnpack, job.arithmetic.against_float
        verdicts.append(check_quality(target, against_int8, limits, job.limits, labelled=job.labelled))
    return TargetResult(target, DOUBLE_ROUNDING, conversion, computed_by, against_int8, against_float, merge(verdicts))
