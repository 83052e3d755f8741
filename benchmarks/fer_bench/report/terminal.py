"""The tables on the terminal. An invalid measurement is marked in every table and has no ratio."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fer_bench.report.trust import untrusted_sentence
from fer_bench.schema import Conditions, Machine, Report, Result

__all__ = [
    "MIN_WIDTH",
    "accuracy_table",
    "console",
    "cost_table",
    "is_mixed",
    "print_invalid",
    "print_machine",
    "print_report",
    "scaling_table",
    "speed_table",
]

MIN_WIDTH = 110
"""Where the output is not a terminal, rich would squeeze everything into 80 columns."""


def console() -> Console:
    """Standard output, wide enough for the tables when it is a file or a pipe.

    Returns:
        Rich's console.
    """
    # Names of files may hold brackets, which Rich would take for colours.
    plain: dict[str, Any] = {"highlight": False, "markup": False, "force_jupyter": False}
    out = Console(**plain)
    return out if out.is_terminal else Console(**plain, width=max(MIN_WIDTH, out.width))


def print_report(report: Report, out: Console) -> None:
    """Machine and conditions, then the tables, then why what is invalid.

    Args:
        report: of models.
        out: the terminal.
    """
    print_machine(report.machine, report.conditions, out)
    out.print(speed_table(report.results))
    out.print(cost_table(report.results))
    out.print(accuracy_table(report.results))
    print_invalid(report.results, out)


def print_machine(machine: Machine, conditions: Conditions, out: Console) -> None:
    """Two lines: what was measured on, and in which state it was.

    Args:
        machine: the description.
        conditions: the state.
        out: the terminal.
    """
    place = machine.board or machine.cpu_model
    features = f" [{', '.join(machine.cpu_features[-3:])}]" if machine.cpu_features else ""
    virtual = ", virtual machine" if machine.virtual_machine else ""
    out.print(
        Text(f"{place}{features}, {machine.n_cpus} CPUs{virtual}, {machine.operating_system}, Python {machine.python}")
    )
    governor = conditions.governor or "unknown"
    out.print(
        Text(
            f"governor {governor}, temperature {_degrees(conditions.temperature_before_c)} -> "
            f"{_degrees(conditions.temperature_after_c)}, neighbours "
            f"{_or_unknown(conditions.neighbours_cpus, '{:.2f} CPUs')}, stolen "
            f"{_or_unknown(conditions.stolen_percent, '{:.1f} %')}",
            style="dim",
        )
    )


def speed_table(results: Sequence[Result]) -> Table:
    """Percentiles and ratios.

    Args:
        results: one row each, at least one.

    Returns:
        The table.
    """
    table = _table(f"Latency, {_threads(results)}", caption=_speed_caption(results))
    for heading in ("p50 ms (95 %)", "p90 ms", "p99 ms", "x float (95 %)", "x best"):
        table.add_column(heading, justify="right", no_wrap=True)
    mixed = _add_valid_column(table, results)
    for result in results:
        times, (low, high) = result.latency_ms, result.latency_ci95_ms.p50
        table.add_row(
            *_name(result, results),
            f"{times.p50:.3f} ±{(high - low) / 2:.3f}",
            f"{times.p90:.3f}",
            f"{times.p99:.3f}",
            _ratio(result),
            _or_dash(result.ratio_to_best, "{:.2f}"),
            *_valid(result, mixed),
            style="" if result.valid else "dim",
        )
    return table


def _speed_caption(results: Sequence[Result]) -> str:
    reference = next((result.reference for result in results if result.reference), None)
    if not reference:
        return ""
    caption = f"x float: p50 over that of {reference}, round by round"
    if any(result.ratio_to_float is not None and not result.valid for result in results):
        caption += "; valid where noise or drift alone spoil the milliseconds, since both models took turns"
    return caption


def _ratio(result: Result) -> Text:
    """Not dimmed with the row: it can be valid where the milliseconds are not."""
    if result.ratio_to_float is None:
        return Text("-")
    low, high = result.ratio_to_float_ci95 or [result.ratio_to_float] * 2
    return Text(f"{result.ratio_to_float:.3f} ±{(high - low) / 2:.3f}", style="not dim")


def cost_table(results: Sequence[Result]) -> Table:
    """Throughput, loading, memory.

    Args:
        results: one row each, at least one.

    Returns:
        The table.
    """
    table = _table(
        f"Throughput, start and memory, {_threads(results)}", caption="start: from starting Python to the first result"
    )
    for heading in ("per s", "load ms", "first ms", "start ms", "steady MiB", "peak"):
        table.add_column(heading, justify="right", no_wrap=True)
    mixed = _add_valid_column(table, results)
    for result in results:
        table.add_row(
            *_name(result, results),
            f"{result.throughput_fps:.0f}",
            f"{result.load_ms:.1f}",
            f"{result.first_inference_ms:.1f}",
            f"{result.start_to_first_result_ms:.0f}",
            _or_dash(result.steady_rss_mib, "{:.0f}"),
            _or_dash(result.peak_rss_mib, "{:.0f}"),
            *_valid(result, mixed),
            style="" if result.valid else "dim",
        )
    return table


def _table(title: str, caption: str = "") -> Table:
    table = Table(
        title=title,
        title_justify="left",
        caption=caption,
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1),
        pad_edge=False,
    )
    table.add_column("model", no_wrap=True)
    table.add_column("on", no_wrap=True)
    return table


def _threads(results: Sequence[Result]) -> str:
    counts = {result.threads for result in results}
    count = max(counts)
    return f"{count} thread{'s' if count > 1 else ''}" if len(counts) == 1 else "several thread counts"


def _name(result: Result, results: Sequence[Result]) -> tuple[str, str]:
    same = len({other.threads for other in results}) == 1
    return result.model, result.backend if same else f"{result.backend} x{result.threads}"


def _add_valid_column(table: Table, results: Sequence[Result]) -> bool:
    mixed = is_mixed([result.valid for result in results])
    if mixed:
        table.add_column("valid", no_wrap=True)
    return mixed


def _valid(result: Result, mixed: bool) -> list[Text]:
    return [Text("yes" if result.valid else "no")] if mixed else []


def accuracy_table(results: Sequence[Result]) -> Table:
    """File size, accuracy, agreement; these do not depend on whether the timing is valid.

    Args:
        results: one row each.

    Returns:
        The table.
    """
    table = _table("Size and accuracy", caption=_accuracy_caption(results))
    for heading in ("file MB", "accuracy (95 %)", "agrees"):
        table.add_column(heading, justify="right", no_wrap=True)
    for result in results:
        accuracy = "-"
        if result.accuracy is not None and result.accuracy_ci95:
            low, high = result.accuracy_ci95
            accuracy = f"{100 * result.accuracy:.2f} % ({100 * low:.1f}-{100 * high:.1f})"
        table.add_row(
            *_name(result, results),
            f"{result.file_bytes / 1e6:.2f}",
            accuracy,
            "-" if result.agreement_with_reference is None else f"{100 * result.agreement_with_reference:.1f} %",
        )
    return table


def _accuracy_caption(results: Sequence[Result]) -> str:
    splits = {(result.split, result.n_images) for result in results if result.accuracy is not None}
    caption = "; ".join(f"accuracy on split {split}, {n} images" for split, n in sorted(splits, key=str))
    reference = next((result.reference for result in results if result.agreement_with_reference is not None), None)
    return caption + (f"; agrees: same decision as {reference}" if reference else "")


def scaling_table(results: Sequence[Result]) -> Table:
    """Inferences per second by number of threads.

    Args:
        results: one row each.

    Returns:
        The table.
    """
    counts = sorted({int(count) for result in results for count in result.throughput_by_threads_fps})
    table = _table("Inferences per second by number of threads")
    for count in counts:
        table.add_column(str(count), justify="right")
    mixed = _add_valid_column(table, results)
    for result in results:
        cells = [_or_dash(result.throughput_by_threads_fps.get(str(count)), "{:.0f}") for count in counts]
        table.add_row(result.model, result.backend, *cells, *_valid(result, mixed), style="" if result.valid else "dim")
    return table


def print_invalid(results: Sequence[Result], out: Console) -> None:
    """One sentence where timings are not to be trusted; nothing where all are.

    Args:
        results: of one measurement.
        out: the terminal.
    """
    sentence = untrusted_sentence([(result.name, result.invalid_reasons) for result in results])
    if not sentence:
        return
    if any(result.ratio_to_float is not None and not result.valid for result in results):
        sentence += " The ratios to float that are shown hold all the same."
    out.print(Text(f"{sentence} Size and accuracy are not affected.", style="yellow"), soft_wrap=True)


def is_mixed(valid: Sequence[bool]) -> bool:
    """Whether some measurements are valid and some are not: only then has each row to say which it is.

    Args:
        valid: one value per measurement.

    Returns:
        True for a mixture.
    """
    return any(valid) and not all(valid)


def _degrees(value: float | None) -> str:
    return _or_unknown(value, "{:.0f} °C")


def _or_unknown(value: float | None, form: str) -> str:
    return "unknown" if value is None else form.format(value)


def _or_dash(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)
