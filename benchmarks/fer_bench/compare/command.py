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
            "comparisons": [asdict(one) | {"verdict": one.verdict} for one in comparisons],
            "end_to_end": [asdict(one) | {"verdict": one.verdict} for one in pipelines],
        }
        write_text(request.json, json.dumps(content, indent=1) + "\n")
    failures = _failures(comparisons, request.fail_if_slower, request.fail_if_less_accurate)
    failures += _slower_pipelines(pipelines, request.fail_if_slower)
    if failures:
        raise CheckFailedError("; ".join(failures))
    return 0


def _failures(comparisons: Sequence[ModelComparison], slower_percent: float | None, points: float | None) -> list[str]:
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
            f"{one.backend}, {one.detector}{_engines(one)}",
            f"{one.before_fps:.1f} -> {one.after_fps:.1f}",
            f"{one.ratio:.3f} ({low:.3f}-{high:.3f})",
            " -> ".join(memory),
            one.verdict,
        )
    console().print(table)


def _engines(one: PipelineComparison) -> str:
    """`` (litert)``, or both where they differ; empty where neither file names one."""
    if one.before_engine == one.after_engine:
        return f" ({one.after_engine})" if one.after_engine else ""
    return f" ({one.before_engine or 'unknown'} -> {one.after_engine or 'unknown'})"


def _print(comparisons: Sequence[ModelComparison]) -> None:
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
