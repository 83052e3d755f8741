"""``fer-bench compare A.json B.json``: is the second measurement slower or less accurate, and surely so?"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from fer_bench.compare.pipelines import PipelineComparison, compare_pipelines
from fer_bench.compare.time_difference import TimeDifference
from fer_bench.intervals import unpaired_ratio
from fer_bench.report_file import read_report
from fer_bench.schema import Interval, Report, Result
from fer_edge.errors import CheckFailedError, InputError, MissingDependencyError
from fer_edge.extras import missing_packages
from fer_edge.files import write_text

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class Comparison(TimeDifference):
    """One model on one runtime in two measurements."""

    model: str
    backend: str
    threads: int
    before: float
    after: float
    """p50, in ``unit``."""
    unit: str
    """``ms``, or ``x float`` where each is a ratio to the float reference of its own measurement."""
    ratio: float
    """Median of the round medians (or of the rounds' ratios), after over before; above 1 is slower."""
    ratio_ci95: Interval
    accuracy_change_points: float | None
    """Accuracy after minus before, in percentage points; None unless both are on the same split and image count."""
    accuracy_p_value: float | None
    """Two-sided, of the hypothesis that both accuracies are the same (pooled two-proportion z-test; conservative here,
    because both saw the same images)."""
    same_file: bool
    """Whether the model file is the same, byte for byte."""

    @property
    def range_of_ratio(self) -> Interval:
        """The 95 % interval."""
        return self.ratio_ci95


def compare_reports(
    before: Report, after: Report, models: Sequence[str] = (), *, by_ratio: bool = False
) -> list[Comparison]:
    """Results that stand in both reports, matched by model, runtime and threads; ``models`` limits them to names.

    ``by_ratio`` compares what each model takes of the time of its own measurement's float reference, instead of
    milliseconds. Raises :class:`InputError` when there are none in common, or when one of those compared is invalid.
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


def _compare(before: Result, after: Result, reports: tuple[Report, Report] | None) -> Comparison:
    rounds = before.round_p50_ms, after.round_p50_ms
    values, unit = (before.latency_ms.p50, after.latency_ms.p50), "ms"
    if reports:
        rounds = _round_ratios(before, reports[0]), _round_ratios(after, reports[1])
        values, unit = (before.ratio_to_float or 0.0, after.ratio_to_float or 0.0), "x float"
    ratio, interval = unpaired_ratio(rounds[1], rounds[0])
    change, p_value = _accuracy_change(before, after)
    return Comparison(
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
    reference = next((one for one in report.results if one.name == result.reference), None)
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


def compare_main(options: argparse.Namespace) -> int:
    """Run the comparison that ``options`` ask for; returns the exit code."""
    if "rich" in missing_packages("bench"):
        raise MissingDependencyError.for_extra("rich", "bench")
    before, after = read_report(options.before), read_report(options.after)
    _check_machines(before, after, options.other_machine)
    pipelines = compare_pipelines(before, after, options.model)
    # Files of --end-to-end hold no other results.
    comparisons = (
        []
        if pipelines and not after.results
        else compare_reports(before, after, options.model, by_ratio=options.by_ratio)
    )
    if comparisons:
        _print(comparisons)
    if pipelines:
        _print_pipelines(pipelines)
    if options.json:
        content = {
            "comparisons": [asdict(one) | {"verdict": one.verdict} for one in comparisons],
            "end_to_end": [asdict(one) | {"verdict": one.verdict} for one in pipelines],
        }
        write_text(options.json, json.dumps(content, indent=1) + "\n")
    failures = _failures(comparisons, options.fail_if_slower, options.fail_if_less_accurate)
    failures += _slower_pipelines(pipelines, options.fail_if_slower)
    if failures:
        raise CheckFailedError("; ".join(failures))
    return 0


def _failures(comparisons: Sequence[Comparison], slower_percent: float | None, points: float | None) -> list[str]:
    failures = []
    for one in comparisons:
        if slower_percent is not None and one.is_slower and one.ratio > 1 + slower_percent / 100:
            failures.append(f"{one.model} on {one.backend} is {one.verdict} (limit {slower_percent:g} %)")
        lost = -(one.accuracy_change_points or 0.0)
        if points is not None and lost > points:
            failures.append(f"{one.model} on {one.backend} lost {lost:.2f} points of accuracy (limit {points:g})")
    return failures


def _slower_pipelines(pipelines: Sequence[PipelineComparison], slower_percent: float | None) -> list[str]:
    if slower_percent is None:
        return []
    return [
        f"{one.model} on {one.source}, end to end, is {one.verdict} (limit {slower_percent:g} %)"
        for one in pipelines
        if one.is_slower and one.ratio > 1 + slower_percent / 100
    ]


def _check_machines(before: Report, after: Report, allowed: bool) -> None:
    first, second = (f"{r.machine.board or r.machine.cpu_model}, {r.machine.n_cpus} CPUs" for r in (before, after))
    if first != second and not allowed:
        raise InputError(f"different machines: {first} and {second}; --other-machine compares them all the same")


def _table(title: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("model", no_wrap=True)
    table.add_column("on", no_wrap=True)
    return table


def _print_pipelines(pipelines: Sequence[PipelineComparison]) -> None:
    from fer_bench.report.terminal import console

    table = _table("B against A, end to end: time per frame, range over the repeats")
    for heading in ("frames/s", "B/A time (range)", "peak MiB"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("difference", no_wrap=True)
    for one in pipelines:
        low, high = one.ratio_range
        memory = ["-" if mib is None else f"{mib:.0f}" for mib in (one.before_peak_rss_mib, one.after_peak_rss_mib)]
        table.add_row(
            one.model,
            f"{one.backend}, {one.detector}",
            f"{one.before_fps:.1f} -> {one.after_fps:.1f}",
            f"{one.ratio:.3f} ({low:.3f}-{high:.3f})",
            " -> ".join(memory),
            one.verdict,
        )
    console().print(table)


def _print(comparisons: Sequence[Comparison]) -> None:
    from fer_bench.report.terminal import console

    table = _table("B against A; points of accuracy")
    unit = "p50 ms" if comparisons[0].unit == "ms" else comparisons[0].unit
    for heading in (f"A {unit}", f"B {unit}", "B/A (95 %)", "points (p)"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("difference", no_wrap=True)
    table.add_column("file")
    for one in comparisons:
        low, high = one.ratio_ci95
        accuracy = "-"
        if one.accuracy_change_points is not None:
            accuracy = f"{one.accuracy_change_points:+.2f} ({one.accuracy_p_value:.2f})"
        table.add_row(
            one.model,
            one.backend if one.threads == 1 else f"{one.backend} x{one.threads}",
            f"{one.before:.3f}",
            f"{one.after:.3f}",
            f"{one.ratio:.3f} ({low:.3f}-{high:.3f})",
            accuracy,
            one.verdict,
            "same" if one.same_file else "changed",
        )
    console().print(table)
