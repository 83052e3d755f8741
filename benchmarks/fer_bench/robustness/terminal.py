"""The tables of ``fer-bench robustness`` on the terminal, within 100 columns."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fer_bench.robustness.schema import (
    Answer,
    Difference,
    KindEntry,
    Mean,
    MeanDifference,
    ModelEntry,
    PairEntry,
    RobustnessReport,
)

__all__ = ["STRENGTH_HEADINGS", "print_robustness"]

STRENGTH_HEADINGS = ("mild", "clear", "strong")


def print_robustness(report: RobustnessReport, out: Console) -> None:
    """One table per model, then one per later model against the first.

    Args:
        report: to print.
        out: where to.
    """
    for model in report.models:
        title = f"{model.name}: accuracy in % (±95 %) on {report.data}, {report.split}, n = {report.n_images:,}"
        out.print(Text(title, style="bold"), soft_wrap=True)
        out.print(_model_table(report, model))
        out.print(Text("\n".join(_model_lines(report, model)) + "\n"), soft_wrap=True)
    for pair in report.pairs:
        title = f"{pair.second} against {pair.first}: points of accuracy gained (±95 %, paired)"
        out.print(Text(title, style="bold"), soft_wrap=True)
        out.print(_pair_table(report, pair))
        out.print(Text("\n".join(_pair_lines(pair)) + "\n"), soft_wrap=True)


def _model_table(report: RobustnessReport, model: ModelEntry) -> Table:
    table = _table()
    for heading in (*STRENGTH_HEADINGS, "mean"):
        table.add_column(heading, justify="right", no_wrap=True)
    has_error = model.clean.expected_calibration_error is not None
    if has_error:
        table.add_column("ECE", justify="right", no_wrap=True)
    table.add_row("clean", "", _percent(model.clean), "", "", "", *([_error([model.clean])] if has_error else []))
    for kind in report.kinds:
        answers = [answer for answer in model.answers if answer.kind == kind.name]
        mean = sum(answer.accuracy for answer in answers) / len(answers)
        table.add_row(
            *_kind(kind), *map(_percent, answers), f"{100 * mean:.1f}", *([_error(answers)] if has_error else [])
        )
    return table


def _model_lines(report: RobustnessReport, model: ModelEntry) -> list[str]:
    lines = [f"mean of all: {_mean(model.mean)}"]
    if model.mean_held_out:
        lines.append(f"* held out of training: {_mean(model.mean_held_out)}")
    if model.mean_held_out and model.mean_others:
        lines.append(f"the others: {_mean(model.mean_others)}")
    title = next(kind.title for kind in report.kinds if kind.name == model.worst.kind)
    lines.append(f"worst: {title}, {STRENGTH_HEADINGS[model.worst.strength - 1]}: {_percent(model.worst)} %")
    if model.clean.expected_calibration_error is not None:
        lines.append(
            f"expected calibration error (ECE, 15 bins): {_ece(model.clean.expected_calibration_error)} clean, "
            f"{_ece(model.mean.expected_calibration_error)} disturbed (mean of the cases)"
        )
    return lines


def _pair_table(report: RobustnessReport, pair: PairEntry) -> Table:
    table = _table()
    for heading in (*STRENGTH_HEADINGS, "mean"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("agree %", justify="right", no_wrap=True)
    table.add_row("clean", "", _points(pair.clean), "", "", "", f"{100 * pair.clean.agreement:.1f}")
    for kind in report.kinds:
        differences = [difference for difference in pair.differences if difference.kind == kind.name]
        mean = sum(difference.difference_points for difference in differences) / len(differences)
        agreement = sum(difference.agreement for difference in differences) / len(differences)
        table.add_row(*_kind(kind), *map(_points, differences), f"{mean:+.1f}", f"{100 * agreement:.1f}")
    return table


def _pair_lines(pair: PairEntry) -> list[str]:
    lines = [f"mean of all: {_mean_points(pair.mean)}; they agree on {100 * pair.mean.agreement:.1f} %"]
    if pair.mean_held_out:
        lines.append(f"* held out of training: {_mean_points(pair.mean_held_out)}")
    if pair.mean_held_out and pair.mean_others:
        lines.append(f"the others: {_mean_points(pair.mean_others)}")
    return lines


def _table() -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), collapse_padding=True, pad_edge=False)
    table.add_column("disturbance", no_wrap=True)
    table.add_column("strengths", no_wrap=True)
    return table


def _kind(kind: KindEntry) -> tuple[str, str]:
    amounts = "/".join(f"{amount:g}" for amount in kind.amounts)
    return f"{kind.title}{' *' if kind.held_out else ''}", f"{amounts} {kind.unit}"


def _percent(answer: Answer) -> str:
    low, high = answer.accuracy_ci95
    return f"{100 * answer.accuracy:.1f} ±{50 * (high - low):.1f}"


def _points(difference: Difference) -> str:
    low, high = difference.difference_ci95_points
    return f"{difference.difference_points:+.1f} ±{(high - low) / 2:.1f}"


def _mean(mean: Mean) -> str:
    low, high = mean.accuracy_ci95
    return f"{100 * mean.accuracy:.1f} ±{50 * (high - low):.1f} %, {100 * mean.relative_to_clean:.0f} % of clean"


def _mean_points(mean: MeanDifference) -> str:
    low, high = mean.difference_ci95_points
    return f"{mean.difference_points:+.2f} points ({low:+.2f} to {high:+.2f})"


def _error(answers: Sequence[Answer]) -> str:
    errors = [answer.expected_calibration_error for answer in answers if answer.expected_calibration_error is not None]
    return _ece(sum(errors) / len(errors) if errors else None)


def _ece(error: float | None) -> str:
    return "-" if error is None else f"{error:.3f}"
