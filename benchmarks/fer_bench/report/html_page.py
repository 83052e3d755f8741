"""The HTML page: one file, nothing loaded from elsewhere, invalid measurements marked wherever they appear."""

from __future__ import annotations

import html
import os
from collections.abc import Sequence

from fer_bench.report.charts import accuracy_against_latency, latency_distributions, latency_over_time
from fer_bench.report.html_tables import cost_table, latency_table
from fer_bench.schema import Report, Result
from fer_edge.files import write_text

_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.45 system-ui, sans-serif; color: #222; max-width: 1180px; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.5em; margin-bottom: .2em; } h2 { font-size: 1.1em; margin: 1.8em 0 .4em; }
.where, figcaption, .how { color: #555; } .how { font-size: .9em; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; width: 100%; font-size: .93em; }
th, td { padding: .3em .4em; text-align: right; border-bottom: 1px solid #e4e4e4; white-space: nowrap; }
th { font-weight: 600; vertical-align: bottom; } th:nth-child(-n+2), td:nth-child(-n+2) { text-align: left; }
tr.invalid td.speed { color: #999; text-decoration: line-through; } .bad { color: #b00020; font-weight: 600; }
.banner { background: #fdecee; border-left: 4px solid #b00020; padding: .6em 1em; margin: 1em 0; }
.best { font-weight: 700; }
.wide { overflow-x: auto; }
figure { margin: .6em 0; } svg { width: 100%; height: auto; font-family: system-ui, sans-serif; }
summary { cursor: pointer; } .best-of { font-size: 1.05em; }
"""


def write_page(report: Report, path: str | os.PathLike[str], sections: Sequence[str] = ()) -> None:
    """Write the page of ``report`` atomically; ``sections`` is further HTML to put at the end."""
    write_text(path, page(report, sections))


def page(report: Report, sections: Sequence[str] = ()) -> str:
    """The page of ``report`` as text."""
    machine, results = report.machine, report.results
    place = html.escape(machine.board or machine.cpu_model)
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
        f"<title>fer-bench: {place}</title><style>{_STYLE}</style></head><body>",
        f"<h1>Facial emotion recognition on {place}</h1>",
        f'<p class="where">{_where(report)}</p>',
        _banner(_reasons(report)),
        _summary(results),
    ]
    if any(result.accuracy is not None for result in results):
        parts.append(
            _section("Accuracy against latency", accuracy_against_latency(results), _accuracy_caption(results))
        )
    parts += _speed_sections(results) if results else []
    parts += [*sections, _how(report), "</body></html>"]
    return "\n".join(part for part in parts if part) + "\n"


def _speed_sections(results: Sequence[Result]) -> list[str]:
    return [
        "<h2>Latency and accuracy</h2>",
        f'<div class="wide">{latency_table(results)}</div>',
        '<p class="how">p50, p90, p99: half, nine tenths, 99 of 100 faces are done in that time; ± half of the 95 % '
        "interval. × float: time over that of the float reference, compared round by round; × best: over that of the "
        "fastest. agrees: images on which the model decides as the float reference does.</p>",
        "<h2>Throughput, start and memory</h2>",
        f'<div class="wide">{cost_table(results)}</div>',
        _section(
            "Latency distributions",
            latency_distributions(results),
            "How many of all timed runs were done within a time. Steep is steady; the tail to the right is what a "
            "camera notices.",
        ),
        _section(
            "Latency over time",
            latency_over_time(results),
            "Each point is the median of one turn of a model; grey lines part the processes. Flat is trustworthy, "
            "rising is a machine that heats up.",
        ),
    ]


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
    return html.escape(" · ".join(fact for fact in facts if fact))


def _temperature(before: float | None, after: float | None) -> str:
    if before is None or after is None:
        return "temperature unknown"
    return f"{before:.0f} °C before, {after:.0f} °C after"


def _reasons(report: Report) -> list[tuple[str, list[str]]]:
    """Everything that may be invalid, as its name and why; an empty list of reasons is valid."""
    found = [(result.name, result.invalid_reasons) for result in report.results]
    found += [(f"profile of {one.model} on {one.backend}", one.invalid_reasons) for one in report.profiles]
    return found + [(f"{one.model} end to end", one.invalid_reasons) for one in report.end_to_end]


def _banner(everything: Sequence[tuple[str, list[str]]]) -> str:
    """One line a kind of reason (its first words); the figures of each model behind it, to be unfolded."""
    kinds: dict[str, list[tuple[str, str]]] = {}
    for name, why in everything:
        for reason in why:
            kinds.setdefault(reason.partition(":")[0], []).append((reason, name))
    if not kinds:
        return ""
    items = []
    for found in kinds.values():
        first = html.escape(found[0][0])
        names = list(dict.fromkeys(name for _, name in found))
        more = len({reason for reason, _ in found}) > 1
        who = _who(names, len(everything))
        if not more:
            items.append(f"<li>{first} <i>({who})</i></li>")
            continue
        each = "".join(f"<li>{html.escape(name)}: {html.escape(reason)}</li>" for reason, name in found)
        text = f"{first} <i>and {len(found) - 1} more like it ({who})</i>"
        items.append(f"<li><details><summary>{text}</summary><ul>{each}</ul></details></li>")
    return (
        '<div class="banner"><span class="bad">Invalid timings.</span> Do not quote the struck-out figures; accuracy '
        f"is not affected.<ul>{''.join(items)}</ul></div>"
    )


def _who(names: Sequence[str], n_all: int) -> str:
    return "all" if len(names) == n_all else html.escape(", ".join(names))


def _summary(results: Sequence[Result]) -> str:
    """The fastest in a sentence, by its ratio where milliseconds are not valid; nothing where no timing is."""
    best = min((result for result in results if result.valid), key=lambda one: one.latency_ms.p50, default=None)
    if best is None:
        ratios = [(one.ratio_to_float, one) for one in results if one.ratio_to_float is not None]
        if not ratios:
            return ""
        ratio, best = min(ratios, key=lambda pair: pair[0])
        said = f"Milliseconds are invalid, but ratios are not: {best.name} takes {ratio:.2f} times as long as"
        return f'<p class="best-of">{html.escape(said)} {html.escape(best.reference or "")}.</p>'
    said = f"Fastest: {best.name}, {best.latency_ms.p50:.2f} ms a face"
    if best.ratio_to_float is not None and best.reference not in (None, best.name):
        said += f", {best.ratio_to_float:.2f} times the time of {best.reference}"
    if best.accuracy is not None:
        said += f"; accuracy {100 * best.accuracy:.1f} % on {best.n_images:,} images of split {best.split}"
    return f'<p class="best-of">{html.escape(said)}.</p>'


def _accuracy_caption(results: Sequence[Result]) -> str:
    shown = next(result for result in results if result.accuracy is not None)
    drawn = " Drawn faces: says nothing about real ones." if shown.split == "synthetic" else ""
    return f"Up and left is better. {shown.n_images} images of split {shown.split}; bars are 95 % intervals.{drawn}"


def _section(title: str, picture: str, caption: str) -> str:
    return f"<h2>{html.escape(title)}</h2><figure>{picture}<figcaption>{html.escape(caption)}</figcaption></figure>"


def _how(report: Report) -> str:
    settings, machine = report.settings, report.machine
    latency = (
        f"One inference at a time on {settings.threads} thread(s): copy in, compute, copy out. "
        f"{settings.n_processes} fresh processes a model, {settings.seconds_per_model:g} s timed each in all; the "
        f"models take turns of {settings.chunk_ms:g} ms in random order, after a warm-up until run times settle. "
        "Intervals are 95 %, by a bootstrap over processes and rounds. "
    )
    versions = ", ".join(f"{name} {version}" for name, version in machine.packages.items())
    every = [(one.model, one.sha256) for one in report.results]
    every += [(one.model, one.sha256 or "") for one in report.end_to_end]
    models = "; ".join(f"{model} {sha256[:12]}" for model, sha256 in dict.fromkeys(every) if sha256)
    text = (
        f"{latency if report.results else ''}"
        f"{versions}; commit {machine.commit or 'unknown'}. "
        f"Model sha256: {models}. Command: {' '.join(report.command)}"
    )
    return f'<h2>How it was measured</h2><p class="how">{html.escape(text)}</p>'
