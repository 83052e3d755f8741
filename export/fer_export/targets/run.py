"""Convert for each target that was asked for, and check the results."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from fer_edge.errors import CheckFailedError
from fer_edge.files import sha256_of
from fer_edge.verification.golden import own_outputs_name
from fer_export.check.gate import Verdict, merge
from fer_export.log import LOG
from fer_export.targets.job import TargetJob, TargetResult
from fer_export.targets.spec import Target
from fer_train.wording import megabytes

__all__ = ["manifest_entry", "own_golden_outputs", "result_rows", "run_targets"]


class _Steps(Protocol):
    def begin(self, name: str, total: int | None = None) -> None: ...


def run_targets(
    chosen: Sequence[Target], job: TargetJob, folder: Path, steps: _Steps
) -> tuple[list[TargetResult], Verdict]:
    """Convert and check, one target after the other; a refusal of one does not keep the others from being judged.

    Args:
        chosen: the targets.
        job: what they start from; ``out`` is replaced by a folder of each target's own.
        folder: where those folders are made, each called as its target.
        steps: is called as each begins.

    Returns:
        The results, and one verdict on all of them.
    """
    results, verdicts = [], []
    for target in chosen:
        steps.begin(f"target {target.name}")
        own = dataclasses.replace(job, out=folder / target.name)
        own.out.mkdir()
        try:
            result = target.check(own, target.convert(own))
        except CheckFailedError as error:
            line = str(error)
            verdicts.append(Verdict((line if line.startswith(target.name) else f"{target.name}: {line}",), ()))
            continue
        LOG.debug("%s: %s", target.name, result.conversion)
        results.append(result)
        verdicts.append(result.verdict)
    return results, merge(verdicts)


def own_golden_outputs(results: Sequence[TargetResult]) -> dict[str, Any]:
    """Golden outputs that targets keep for themselves.

    Args:
        results: of the targets.

    Returns:
        Arrays for ``golden.npz``, by the checksum of the file that gives them.
    """
    return {
        own_outputs_name(sha256_of(result.conversion.model)): result.golden_outputs
        for result in results
        if result.golden_outputs is not None
    }


_HEAD: Final[tuple[str, ...]] = (
    "target",
    "operators on the accelerator",
    "agreement with INT8",
    "accuracy",
    "drop from INT8 (95 % interval)",
    "images",
    "largest difference",
    "size",
    "memory",
    "time (estimate)",
    "rounding",
)


_COMPACT_HEAD: Final[tuple[str, ...]] = (
    "target",
    "placed",
    "agree",
    "acc. (drop)",
    "size",
    "memory",
    "time",
)
"""Fits 80 columns."""


def result_rows(results: Sequence[TargetResult], *, labelled: bool, compact: bool = False) -> list[list[str]]:
    """The table of the targets.

    Args:
        results: of the targets.
        labelled: whether accuracy means anything.
        compact: fewer columns and digits, for a terminal.

    Returns:
        Header and a row a target.
    """
    head, row = (_COMPACT_HEAD, _compact_row) if compact else (_HEAD, _row)
    return [list(head), *[row(result, labelled=labelled) for result in results]]


def _row(result: TargetResult, *, labelled: bool) -> list[str]:
    conversion, twin = result.conversion, result.against_int8
    placed = _placed(result, " of ")
    agreement = accuracy = drop = images = largest = "-"
    if twin is not None:
        agreement, images = f"{twin.agreement:.2%}", str(twin.other.n_images)
        largest = f"{result.largest_difference:.3f}"
        if labelled:
            accuracy, interval = f"{twin.other.accuracy:.2%}", twin.drop
            drop = f"{interval.value:+.2f} ({interval.low:+.2f} to {interval.high:+.2f})"
    memory = "-" if conversion.memory_bytes is None else f"{conversion.memory_bytes / 1024:,.1f} KiB"
    time = "-" if conversion.time_ms is None else f"{conversion.time_ms:.2f} ms"
    size = megabytes(conversion.model.stat().st_size)
    return [result.target, placed, agreement, accuracy, drop, images, largest, size, memory, time, result.arithmetic]


def _compact_row(result: TargetResult, *, labelled: bool) -> list[str]:
    conversion, twin = result.conversion, result.against_int8
    agreement = accuracy = "-"
    if twin is not None:
        agreement = f"{twin.agreement:.1%}"
        if labelled:
            accuracy = f"{twin.other.accuracy:.1%} ({twin.drop.value:+.1f})"
    memory = "-" if conversion.memory_bytes is None else f"{math.ceil(conversion.memory_bytes / 1024)} KiB"
    time = "-" if conversion.time_ms is None else f"{conversion.time_ms:.1f} ms"
    size = megabytes(conversion.model.stat().st_size)
    return [result.target, _placed(result, "/"), agreement, accuracy, size, memory, time]


def _placed(result: TargetResult, between: str) -> str:
    """Operators on the accelerator, and all."""
    conversion = result.conversion
    if conversion.accelerator_operators is None:
        return "-"
    total = conversion.accelerator_operators + (conversion.cpu_operators or 0)
    return f"{conversion.accelerator_operators}{between}{total}"


def manifest_entry(result: TargetResult, folder: Path, *, labelled: bool) -> dict[str, Any]:
    """What the manifest says of a target.

    Args:
        result: of the target.
        folder: the output folder, to which paths are relative.
        labelled: whether accuracy means anything.

    Returns:
        Plain JSON values.
    """
    conversion, twin = result.conversion, result.against_int8
    entry: dict[str, Any] = {
        "model": conversion.model.relative_to(folder).as_posix(),
        "sha256": sha256_of(conversion.model),
        "bytes": conversion.model.stat().st_size,
        "tool": conversion.tool,
        "arithmetic": result.arithmetic,
        "computed_by": result.computed_by,
        "accelerator_operators": conversion.accelerator_operators,
        "cpu_operators": conversion.cpu_operators,
        "memory_bytes": conversion.memory_bytes,
        "memory_kind": conversion.memory_kind or None,
        "estimated_time_ms": conversion.time_ms,
        "time_source": conversion.time_source or None,
        **conversion.facts,
    }
    if twin is not None:
        entry |= {
            "n_images": twin.other.n_images,
            "accuracy": twin.other.accuracy if labelled else None,
            "top1_agreement_with_int8": twin.agreement,
            "identical_values": result.identical_values,
            "largest_probability_difference": result.largest_difference,
            "drop_points_from_int8": twin.drop.value if labelled else None,
            "drop_interval_points": [twin.drop.low, twin.drop.high] if labelled else None,
        }
    return entry
