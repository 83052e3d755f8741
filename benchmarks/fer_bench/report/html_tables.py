"""The two tables of the page; figures of an invalid measurement are struck out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from fer_bench.schema import Bounds, Result
from fer_edge.html import render

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["Cell", "cost_table", "latency_table"]

Cell = tuple[str, str]
"""Text and CSS class; ``speed`` is struck out where the row is invalid."""


def latency_table(results: Sequence[Result]) -> Markup:
    """Percentiles, ratios, size and accuracy.

    Args:
        results: one row each.

    Returns:
        A ``<table>`` element.
    """
    headings = ("p50 ms", "p90 ms", "p99 ms", "× float", "× best", "file MB", "accuracy", "agrees")
    best = min((result.latency_ms.p50 for result in results if result.valid), default=None)

    def cells(result: Result) -> list[Cell]:
        times, ranges = result.latency_ms, result.latency_ci95_ms
        # A ratio can be valid where the milliseconds are not.
        ratio = "" if result.ratio_to_float is not None else "speed"
        return [
            (_with_interval(times.p50, ranges.p50, 3), "speed"),
            (_with_interval(times.p90, ranges.p90, 3), "speed"),
            (_with_interval(times.p99, ranges.p99, 3), "speed"),
            (_with_interval(result.ratio_to_float, result.ratio_to_float_ci95, 3), ratio),
            (_or_dash(result.ratio_to_best, "{:.2f}"), "speed"),
            (f"{result.file_bytes / 1e6:.2f}", ""),
            (_with_interval(_hundredfold(result.accuracy), result.accuracy_ci95, 2, scale=100, unit=" %"), ""),
            (_or_dash(_hundredfold(result.agreement_with_reference), "{:.1f} %"), ""),
        ]

    return _table(results, headings, cells, best)


def cost_table(results: Sequence[Result]) -> Markup:
    """Throughput by number of threads, loading, memory.

    Args:
        results: one row each.

    Returns:
        A ``<table>`` element.
    """
    counts = sorted({int(count) for result in results for count in result.throughput_by_threads_fps})
    headings = (
        *(["faces/s"] if not counts else [f"faces/s, {count} thread{'s' if count > 1 else ''}" for count in counts]),
        "load ms", "first inference ms", "start to first result ms", "steady MiB", "peak MiB",
    )  # fmt: skip

    def cells(result: Result) -> list[Cell]:
        rates = [result.throughput_by_threads_fps.get(str(count)) for count in counts] or [result.throughput_fps]
        return [
            *((_or_dash(rate, "{:.0f}"), "speed") for rate in rates),
            (f"{result.load_ms:.0f}", "speed"),
            (f"{result.first_inference_ms:.1f}", "speed"),
            (f"{result.start_to_first_result_ms:.0f}", "speed"),
            (_or_dash(result.steady_rss_mib, "{:.0f}"), ""),
            (_or_dash(result.peak_rss_mib, "{:.0f}"), ""),
        ]

    return _table(results, headings, cells, None)


def _table(
    results: Sequence[Result],
    headings: Sequence[str],
    cells: Callable[[Result], list[Cell]],
    best_p50_ms: float | None,
) -> Markup:
    rows = []
    for result in results:
        is_best = result.valid and result.latency_ms.p50 == best_p50_ms
        kind = " ".join(filter(None, ["" if result.valid else "invalid", "best" if is_best else ""]))
        rows.append(
            {
                "kind": kind,
                "name": result.model,
                "on": f"{result.backend} ×{result.threads}" if result.threads != 1 else result.backend,
                "valid": result.valid,
                "why": "",
                "cells": cells(result),
            }
        )
    return render(__package__ or "", "html_table.html", head=("model", "on", *headings), rows=rows)


def _with_interval(
    value: float | None, interval: Bounds | None, digits: int, *, scale: float = 1.0, unit: str = ""
) -> str:
    """``0.642 ± 0.004``."""
    if value is None:
        return "–"
    half = f" ± {scale * (interval[1] - interval[0]) / 2:.{digits}f}" if interval else ""
    return f"{value:.{digits}f}{half}{unit}"


def _hundredfold(fraction: float | None) -> float | None:
    return None if fraction is None else 100 * fraction


def _or_dash(value: float | None, form: str) -> str:
    return "–" if value is None else form.format(value)
