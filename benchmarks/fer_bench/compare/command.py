"""``fer-bench compare A.json B.json``: the tables, the limits, the exit code."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from fer_bench.compare.models import ModelComparison, compare_reports
from fer_bench.compare.pipelines import PipelineComparison, compare_pipelines
from fer_bench.progress import require_rich
from fer_bench.report_file import read_report
from fer_bench.request import CompareRequest
from fer_bench.schema import Report
from fer_edge.errors import CheckFailedError, InputError
from fer_edge.files import write_text

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["compare_main"]


def compare_main(request: CompareRequest) -> int:
    """Compare two files, print the tables, write the JSON file.

    Args:
        request: what to compare.

    Returns:
        The exit code.

    Raises:
        CheckFailedError: a limit of the request is exceeded.
        InputError: a file that cannot be read, an invalid measurement, different machines, or nothing in common.
        MissingDependencyError: Rich is not installed.
    """
    before, after = read_report(request.before), read_report(request.after)
    _check_machines(before, after, request.other_machine)
    pipelines = compare_pipelines(before, after, request.models)
    # Files of --end-to-end hold no other results.
    comparisons = (
        []
        if pipelines and not after.results
        else compare_reports(before, after, request.models, by_ratio=request.by_ratio)
    )
    require_rich()
    if comparisons:
        _print(comparisons)
    if pipelines:
        _print_pipelines(pipelines)
    if request.json:
        content = {
            "comparisons": [asdict(comparison) | {"verdict": comparison.verdict} for comparison in comparisons],
            "end_to_end": [asdict(comparison) | {"verdict": comparison.verdict} for comparison in pipelines],
        }
        write_text(request.json, json.dumps(content, indent=1) + "\n")
    failures = _failures(comparisons, request.fail_if_slower, request.fail_if_less_accurate)
    failures += _slower_pipelines(pipelines, request.fail_if_slower)
    if failures:
        raise CheckFailedError("; ".join(failures))
    return 0


def _failures(comparisons: Sequence[ModelComparison], slower_percent: float | None, points: float | None) -> list[str]:
    failures = []
    for comparison in comparisons:
        name = f"{comparison.model} on {comparison.backend}"
        if slower_percent is not None and comparison.is_slower and comparison.ratio > 1 + slower_percent / 100:
            failures.append(f"{name} is {comparison.verdict} (limit {slower_percent:g} %)")
        lost = -(comparison.accuracy_change_points or 0.0)
        if points is not None and lost > points:
            failures.append(f"{name} lost {lost:.2f} points of accuracy (limit {points:g})")
    return failures


def _slower_pipelines(pipelines: Sequence[PipelineComparison], slower_percent: float | None) -> list[str]:
    if slower_percent is None:
        return []
    return [
        f"{comparison.model} on {comparison.source}, end to end, is {comparison.verdict} (limit {slower_percent:g} %)"
        for comparison in pipelines
        if comparison.is_slower and comparison.ratio > 1 + slower_percent / 100
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
    for comparison in pipelines:
        low, high = comparison.ratio_range
        peaks = (comparison.before_peak_rss_mib, comparison.after_peak_rss_mib)
        memory = ["-" if mib is None else f"{mib:.0f}" for mib in peaks]
        table.add_row(
            comparison.model,
            f"{comparison.backend}, {comparison.detector}{_engines(comparison)}",
            f"{comparison.before_fps:.1f} -> {comparison.after_fps:.1f}",
            f"{comparison.ratio:.3f} ({low:.3f}-{high:.3f})",
            " -> ".join(memory),
            comparison.verdict,
        )
    console().print(table)


def _engines(comparison: PipelineComparison) -> str:
    """`` (litert)``, or both where they differ; empty where neither file names one."""
    if comparison.before_engine == comparison.after_engine:
        return f" ({comparison.after_engine})" if comparison.after_engine else ""
    return f" ({comparison.before_engine or 'unknown'} -> {comparison.after_engine or 'unknown'})"


def _print(comparisons: Sequence[ModelComparison]) -> None:
    from fer_bench.report.terminal import console

    table = _table("B against A; points of accuracy")
    unit = "p50 ms" if comparisons[0].unit == "ms" else comparisons[0].unit
    for heading in (f"A {unit}", f"B {unit}", "B/A (95 %)", "points (p)"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("difference", no_wrap=True)
    table.add_column("file")
    for comparison in comparisons:
        low, high = comparison.ratio_ci95
        accuracy = "-"
        if comparison.accuracy_change_points is not None:
            accuracy = f"{comparison.accuracy_change_points:+.2f} ({comparison.accuracy_p_value:.2f})"
        table.add_row(
            comparison.model,
            comparison.backend if comparison.threads == 1 else f"{comparison.backend} x{comparison.threads}",
            f"{comparison.before:.3f}",
            f"{comparison.after:.3f}",
            f"{comparison.ratio:.3f} ({low:.3f}-{high:.3f})",
            accuracy,
            comparison.verdict,
            "same" if comparison.same_file else "changed",
        )
    console().print(table)
