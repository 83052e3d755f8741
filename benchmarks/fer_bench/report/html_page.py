"""The HTML page: one file, nothing loaded from elsewhere, invalid measurements marked wherever they appear."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fer_bench.report.charts import accuracy_against_latency, latency_distributions, latency_over_time
from fer_bench.report.html_tables import cost_table, latency_table
from fer_bench.schema import Report, Result
from fer_edge.files import write_text
from fer_edge.html import render
from fer_train.wording import counted

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["page", "write_page"]


def write_page(report: Report, path: str | os.PathLike[str], sections: Sequence[Markup] = ()) -> None:
    """Write the page of a report atomically.

    Args:
        report: the measurement.
        path: of the file.
        sections: further HTML to put at the end.

    Raises:
        MissingDependencyError: Jinja2 or Matplotlib is not installed.
    """
    write_text(path, page(report, sections))


def page(report: Report, sections: Sequence[Markup] = ()) -> str:
    """The page of a report as text.

    Args:
        report: the measurement.
        sections: further HTML to put at the end.

    Returns:
        One HTML file without outside resources.

    Raises:
        MissingDependencyError: Jinja2 or Matplotlib is not installed.
    """
    machine, results = report.machine, report.results
    place = machine.board or machine.cpu_model
    has_accuracy = any(result.accuracy is not None for result in results)
    text = render(
        __package__ or "",
        "html_page.html",
        title=f"fer-bench: {place}",
        place=place,
        where=_where(report),
        reasons=_banner(_reasons(report)),
        summary=_summary(results),
        pareto={"svg": accuracy_against_latency(results), "caption": _accuracy_caption(results)}
        if has_accuracy
        else None,
        speed=_speed_sections(results) if results else None,
        sections=sections,
        how=_how(report),
    )
    return str(text)


def _speed_sections(results: Sequence[Result]) -> dict[str, Markup]:
    return {
        "latency_table": latency_table(results),
        "cost_table": cost_table(results),
        "distributions": latency_distributions(results),
        "over_time": latency_over_time(results),
    }


def _where(report: Report) -> str:
    machine, conditions = report.machine, report.conditions
    facts = [
        f"{machine.n_cpus} CPUs",
        ", ".join(machine.cpu_features) or None,
        "virtual machine" if machine.virtual_machine else None,
        machine.operating_system,
        f"Linux {machine.kernel}" if machine.kernel else None,
        f"Python {machine.python}",
        f"governor {conditions.governor or 'unknown'}",
        _temperature(conditions.temperature_before_c, conditions.temperature_after_c),
        report.created_utc,
    ]
    return " · ".join(fact for fact in facts if fact)


def _temperature(before: float | None, after: float | None) -> str:
    if before is None or after is None:
        return "temperature unknown"
    return f"{before:.0f} °C before, {after:.0f} °C after"


def _reasons(report: Report) -> list[tuple[str, list[str]]]:
    """Everything that may be invalid, as its name and why; an empty list of reasons is valid."""
    entries = [(result.name, result.invalid_reasons) for result in report.results]
    entries += [(f"profile of {entry.model} on {entry.backend}", entry.invalid_reasons) for entry in report.profiles]
    return entries + [(f"{entry.model} end to end", entry.invalid_reasons) for entry in report.end_to_end]


def _banner(everything: Sequence[tuple[str, list[str]]]) -> list[dict[str, Any]]:
    """One entry per kind of reason (its first words); with the figures of each model, to be unfolded."""
    kinds: dict[str, list[tuple[str, str]]] = {}
    for name, why in everything:
        for reason in why:
            kinds.setdefault(reason.partition(":")[0], []).append((reason, name))
    entries = []
    for operators in kinds.values():
        names = list(dict.fromkeys(name for _, name in operators))
        who = "all" if len(names) == len(everything) else ", ".join(names)
        alike = len({reason for reason, _ in operators}) == 1
        lines = [] if alike else [f"{name}: {reason}" for reason, name in operators]
        entries.append({"first": operators[0][0], "who": who, "each": lines})
    return entries


def _summary(results: Sequence[Result]) -> str:
    """The fastest in a sentence, by its ratio where milliseconds are not valid; nothing where no timing is."""
    best = min((result for result in results if result.valid), key=lambda result: result.latency_ms.p50, default=None)
    if best is None:
        ratios = [(result.ratio_to_float, result) for result in results if result.ratio_to_float is not None]
        if not ratios:
            return ""
        ratio, best = min(ratios, key=lambda pair: pair[0])
        sentence = f"Milliseconds are invalid, but ratios are not: {best.name} takes {ratio:.2f} times as long as"
        return f"{sentence} {best.reference or ''}."
    sentence = f"Fastest: {best.name}, {best.latency_ms.p50:.2f} ms per face"
    if best.ratio_to_float is not None and best.reference not in (None, best.name):
        sentence += f", {best.ratio_to_float:.2f} times the time of {best.reference}"
    if best.accuracy is not None:
        sentence += f"; accuracy {100 * best.accuracy:.1f} % on {best.n_images:,} images of split {best.split}"
    return f"{sentence}."


def _accuracy_caption(results: Sequence[Result]) -> str:
    shown = next(result for result in results if result.accuracy is not None)
    remark = " Synthetic faces: says nothing about real ones." if shown.split == "synthetic" else ""
    return f"Up and left is better. {shown.n_images} images of split {shown.split}; bars are 95 % intervals.{remark}"


def _how(report: Report) -> str:
    settings, machine = report.settings, report.machine
    latency = (
        f"One inference at a time on {counted(settings.threads, 'thread')}: copy in, compute, copy out. "
        f"{settings.n_processes} fresh processes per model, {settings.seconds_per_model:g} s timed in all; the "
        f"models take turns of {settings.chunk_ms:g} ms in random order, after a warm-up until run times settle. "
        "Intervals are 95 %, by a bootstrap over processes and rounds. "
    )
    versions = ", ".join(f"{name} {version}" for name, version in machine.packages.items())
    every = [(entry.model, entry.sha256) for entry in report.results]
    every += [(entry.model, entry.sha256 or "") for entry in report.end_to_end]
    models = "; ".join(f"{model} {sha256[:12]}" for model, sha256 in dict.fromkeys(every) if sha256)
    return (
        f"{latency if report.results else ''}"
        f"{versions}; commit {machine.commit or 'unknown'}. "
        f"Model sha256: {models}. Command: {' '.join(report.command)}"
    )
