"""End-to-end results and soaks, on the terminal and on the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fer_bench.measure.end_to_end import soak_findings
from fer_bench.report.charts import lines
from fer_bench.report.terminal import is_mixed
from fer_bench.report.trust import untrusted_sentence
from fer_bench.schema import EndToEnd
from fer_edge.html import render

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["end_to_end_section", "print_end_to_end", "soak_lines"]


def print_end_to_end(results: Sequence[EndToEnd], out: Console) -> None:
    """A table of rates, stages, ages; then what the soaks show, then why what is invalid.

    Args:
        results: at least one, of one source.
        out: the terminal.
    """
    first = results[0]
    stages = _table(f"End to end on {first.source}, faces by {first.faces_by}", "stages: ms per frame, side by side")
    waits = _table("Waiting", "age: capture to result at the source's own pace; first: from starting Python")
    mixed = is_mixed([result.valid for result in results])
    for table, headings in (
        (stages, ("frames/s", *first.stage_ms)),
        (waits, ("age p50 ms", "p99 ms", "dropped", "first ms", "peak MiB")),
    ):
        for heading in headings:
            table.add_column(heading, justify="right", no_wrap=True)
        if mixed:
            table.add_column("valid", no_wrap=True)
    for result in results:
        valid = ["yes" if result.valid else "no"] if mixed else []
        style = "" if result.valid else "dim"
        rates = (f"{result.throughput_fps:.1f}", *(f"{ms:.2f}" for ms in result.stage_ms.values()))
        stages.add_row(result.model, result.backend, *rates, *valid, style=style)
        age = result.age_ms
        waits.add_row(
            result.model,
            result.backend,
            "-" if age is None else f"{age.p50:.1f}",
            "-" if age is None else f"{age.p99:.1f}",
            "-" if result.n_dropped is None else str(result.n_dropped),
            f"{result.first_result_ms:.0f}",
            "-" if result.peak_rss_mib is None else f"{result.peak_rss_mib:.0f}",
            *valid,
            style=style,
        )
    out.print(stages)
    out.print(waits)
    for result in results:
        for line in soak_lines(result):
            out.print(line)
    sentence = untrusted_sentence([(result.model, result.invalid_reasons) for result in results])
    if sentence:
        out.print(Text(sentence, style="yellow"), soft_wrap=True)


def _table(title: str, caption: str) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.caption, table.caption_justify = caption, "left"
    table.add_column("model", no_wrap=True)
    table.add_column("on", no_wrap=True)
    return table


def soak_lines(result: EndToEnd) -> list[str]:
    """What a soak shows, in words.

    Args:
        result: with samples or without.

    Returns:
        Lines; none without a soak.
    """
    if not result.samples:
        return []
    changes = soak_findings(result)
    minutes = result.samples[-1].t_s / 60
    parts = [
        f"{label} {value:+.1f} {unit}"
        for label, value, unit in (
            ("throughput", changes["throughput_change_percent"], "%"),
            ("memory", changes["rss_growth_mib"], "MiB"),
            ("temperature", changes["temperature_rise_c"], "°C"),
        )
        if value is not None
    ]
    return [f"soak of {minutes:.1f} min, {result.model}: last third against first: {', '.join(parts) or 'too short'}"]


def end_to_end_section(results: Sequence[EndToEnd]) -> Markup:
    """HTML: a table, and the curves of each soak.

    Args:
        results: at least one, of one source.

    Returns:
        The section.
    """
    first = results[0]
    stages = [f"{name} ms" for name in first.stage_ms]
    head = ("model", "on", "frames/s", *stages, "age p50 ms", "age p99 ms", "dropped", "first ms", "peak MiB")
    return render(
        __package__ or "",
        "end_to_end.html",
        source=first.source,
        detector=first.faces_by,
        head=head,
        rows=[_row(result) for result in results],
        soaks=[_soak(result) for result in results if result.samples],
    )


def _row(result: EndToEnd) -> dict[str, Any]:
    age = result.age_ms
    cells = [f"{result.throughput_fps:.0f}", *(f"{ms:.2f}" for ms in result.stage_ms.values())]
    cells += ["–", "–"] if age is None else [f"{age.p50:.1f}", f"{age.p99:.1f}"]
    cells += ["–" if result.n_dropped is None else str(result.n_dropped), f"{result.first_result_ms:.0f}"]
    cells += ["–" if result.peak_rss_mib is None else f"{result.peak_rss_mib:.0f}"]
    return {
        "kind": "" if result.valid else "invalid",
        "name": result.model,
        "on": result.backend,
        "valid": result.valid,
        "why": "" if result.valid else result.invalid_reasons[0],
        "cells": [(cell, "speed") for cell in cells],
    }


def _soak(result: EndToEnd) -> dict[str, Any]:
    minutes = [sample.t_s / 60 for sample in result.samples]

    def known(key: str) -> tuple[list[float], list[float]]:
        pairs = [
            (m, getattr(s, key)) for m, s in zip(minutes, result.samples, strict=True) if getattr(s, key) is not None
        ]
        return [m for m, _ in pairs], [value for _, value in pairs]

    def picture(keys: Sequence[tuple[str, str]], label: str, from_zero: bool) -> tuple[str, str]:
        curves = [(name, *known(key)) for name, key in keys]
        curves = [curve for curve in curves if curve[1]]
        return label, lines(curves, "minutes", label, from_zero=from_zero) if curves else ""

    return {
        "model": result.model,
        "backend": result.backend,
        "lines": soak_lines(result),
        "pictures": [
            picture([("detect", "detect_ms"), ("classify", "classify_ms")], "ms per frame", True),
            picture([("frames/s", "throughput_fps")], "frames per second", True),
            picture([("resident", "rss_mib")], "memory, MiB", True),
            picture([("temperature", "temperature_c")], "temperature, °C", False),
        ],
    }
