"""Two measurements of the same models: is the second slower or less accurate, and surely so?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fer_bench.compare.time_difference import TimeDifference
from fer_bench.intervals import unpaired_ratio
from fer_bench.schema import Bounds, Report, Result
from fer_edge.errors import InputError

__all__ = ["ModelComparison", "compare_reports"]


@dataclass(frozen=True)
class ModelComparison(TimeDifference):
    """One model on one runtime in two measurements."""

    model: str
    """File name."""
    backend: str
    """Name of the runtime."""
    threads: int
    """CPU threads of one inference."""
    before: float
    """p50 in the reference, in ``unit``."""
    after: float
    """p50 in the new measurement, in ``unit``."""
    unit: str
    """``ms``, or ``x float`` where each is a ratio to the float reference of its own measurement."""
    ratio: float
    """Median of the round medians (or of the rounds' ratios), after over before; above 1 is slower."""
    ratio_ci95: Bounds
    """95 % interval of ``ratio``, by a bootstrap over processes and rounds."""
    accuracy_change_points: float | None
    """Accuracy after minus before, in percentage points; None unless both are on the same split and image count."""
    accuracy_p_value: float | None
    """Two-sided, of the hypothesis that both accuracies are the same (pooled two-proportion z-test; conservative here,
    because both saw the same images)."""
    same_file: bool
    """Whether the model file is the same, byte for byte."""

    @property
    def range_of_ratio(self) -> Bounds:
        """The 95 % interval."""
        return self.ratio_ci95


def compare_reports(
    before: Report, after: Report, models: Sequence[str] = (), *, by_ratio: bool = False
) -> list[ModelComparison]:
    """Results that are in both reports, matched by model, runtime, threads and input size.

    Args:
        before: the reference.
        after: the new measurement.
        models: file names; empty compares all.
        by_ratio: compare what each model takes of the time of its own measurement's float reference, instead of
            milliseconds.

    Returns:
        A comparison for each result of ``after`` that ``before`` has, too.

    Raises:
        InputError: there are none in common, or one of those compared is invalid.
    """
    for place, report in (("first", before), ("second", after)):
        keys = [_key(result) for result in report.results]
        if len(set(keys)) < len(keys):
            raise InputError(f"the {place} file holds the same model on the same runtime twice; which one is meant?")
    earlier = {_key(result): result for result in before.results}
    pairs = [
        (earlier[_key(result)], result)
        for result in after.results
        if _key(result) in earlier and (not models or result.model in models)
    ]
    if by_ratio:
        pairs = [(a, b) for a, b in pairs if b.reference not in (None, b.name) and a.reference == b.reference]
    if not pairs:
        raise InputError(f"nothing to compare: {_names(before)} in the first file, {_names(after)} in the second")
    for place, results in (("first", [a for a, _ in pairs]), ("second", [b for _, b in pairs])):
        for result in results:
            _refuse_invalid(result, place, by_ratio)
    return [_compare(a, b, (before, after) if by_ratio else None) for a, b in pairs]


def _refuse_invalid(result: Result, place: str, by_ratio: bool) -> None:
    if by_ratio and not result.ratio_valid:
        reasons = result.ratio_invalid_reasons or ["unknown"]
        raise InputError(f"refused: the ratio of {result.name} in the {place} file is invalid ({reasons[0]})")
    if not by_ratio and not result.valid:
        hint = "; its ratio is valid: --by-ratio" if result.ratio_valid else ""
        reason = result.invalid_reasons[0]
        raise InputError(f"refused: {result.name} in the {place} file is an invalid measurement ({reason}){hint}")


def _key(result: Result) -> tuple[str, str, int, int]:
    return result.model, result.backend, result.threads, result.input_size_px


def _names(report: Report) -> str:
    return ", ".join(result.name for result in report.results) or "nothing"


def _compare(before: Result, after: Result, reports: tuple[Report, Report] | None) -> ModelComparison:
    rounds = before.round_p50_ms, after.round_p50_ms
    values, unit = (before.latency_ms.p50, after.latency_ms.p50), "ms"
    if reports:
        rounds = _round_ratios(before, reports[0]), _round_ratios(after, reports[1])
        values, unit = (before.ratio_to_float or 0.0, after.ratio_to_float or 0.0), "x float"
    ratio, interval = unpaired_ratio(rounds[1], rounds[0])
    change, p_value = _accuracy_change(before, after)
    return ModelComparison(
        model=after.model,
        backend=after.backend,
        threads=after.threads,
        before=values[0],
        after=values[1],
        unit=unit,
        ratio=ratio,
        ratio_ci95=list(interval),
        accuracy_change_points=change,
        accuracy_p_value=p_value,
        same_file=before.sha256 == after.sha256,
    )


def _round_ratios(result: Result, report: Report) -> list[list[float]]:
    """Time over that of the float reference, round by round."""
    reference = next((candidate for candidate in report.results if candidate.name == result.reference), None)
    if reference is None:
        raise InputError(f"{result.reference}, which {result.name} was compared with, is not in the file")
    pairs = zip(result.round_p50_ms, reference.round_p50_ms, strict=False)
    return [[a / b for a, b in zip(mine, other, strict=False)] for mine, other in pairs]


def _accuracy_change(before: Result, after: Result) -> tuple[float | None, float | None]:
    if before.accuracy is None or after.accuracy is None or not before.n_images:
        return None, None
    if (before.split, before.n_images) != (after.split, after.n_images):
        return None, None
    change = after.accuracy - before.accuracy
    pooled = (after.accuracy + before.accuracy) / 2
    deviation = math.sqrt(2 * pooled * (1 - pooled) / before.n_images)
    p_value = math.erfc(abs(change) / deviation / math.sqrt(2)) if deviation else float(change == 0)
    return 100 * change, p_value
