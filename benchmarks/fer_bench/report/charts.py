"""The pictures of the page, as SVG: accuracy against latency, latency distributions, latency over time."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fer_bench.schema import Result
from fer_edge.errors import MissingDependencyError

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = [
    "COLOURS",
    "LABEL_LENGTH",
    "MARKERS",
    "accuracy_against_latency",
    "bars",
    "latency_distributions",
    "latency_over_time",
    "lines",
    "new_figure",
]

COLOURS: Final[tuple[str, ...]] = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
    "#7f6a00",
    "#444444",
)
"""Okabe and Ito's palette, which colour-blind people can tell apart."""
MARKERS: Final[str] = "osD^vPX*"
"""Colour and marker tell the models apart; they are the same in all pictures of a page."""
LABEL_LENGTH: Final[int] = 40


def accuracy_against_latency(results: Sequence[Result]) -> Markup:
    """One point per model: p50 on a logarithmic axis, accuracy with its interval; invalid timings are hollow.

    Args:
        results: those without an accuracy are left out.

    Returns:
        An ``<svg>`` element.

    Raises:
        MissingDependencyError: Matplotlib is not installed.
    """
    figure, axes = new_figure(9.6, 4.2)
    for index, result in enumerate(results):
        if result.accuracy is None or not result.accuracy_ci95:
            continue
        accuracy = 100 * result.accuracy
        low, high = result.latency_ci95_ms.p50
        p50 = result.latency_ms.p50
        colour = COLOURS[index % len(COLOURS)]
        axes.errorbar(
            p50,
            accuracy,
            xerr=[[p50 - low], [high - p50]],
            yerr=[[accuracy - 100 * result.accuracy_ci95[0]], [100 * result.accuracy_ci95[1] - accuracy]],
            fmt=MARKERS[index % len(MARKERS)],
            markersize=9,
            color=colour,
            ecolor=colour,
            elinewidth=1,
            capsize=0,
            markerfacecolor=colour if result.valid else "white",
            alpha=1.0 if result.valid else 0.6,
            label=_legend_text(result),
        )
    axes.set_xscale("log")
    shown = [result for result in results if result.accuracy is not None]
    _plain_log_axis(axes.xaxis, [result.latency_ms.p50 for result in shown])
    axes.set_xlabel("median latency of one face, ms (left is better)")
    axes.set_ylabel(f"accuracy on {shown[0].split}, %" if shown else "accuracy, %")
    _legend(figure, axes)
    return _svg(figure)


def _legend_text(result: Result) -> str:
    name = _label(result.name)
    return name if result.valid else f"{name} (invalid timing)"


def _label(text: str) -> str:
    """``text`` as a label: no longer than a legend bears, and no formula where a name holds dollar signs."""
    short = text if len(text) <= LABEL_LENGTH else f"{text[: LABEL_LENGTH - 1]}…"
    return short.replace("$", r"\$")


def _legend(figure: Any, axes: Any) -> None:
    """Beside the picture: names at the points themselves cover each other as soon as two models are alike."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", frameon=False, fontsize=9)


def latency_distributions(results: Sequence[Result]) -> Markup:
    """Fraction of runs that were done within a time, one curve per model.

    Args:
        results: at least one.

    Returns:
        An ``<svg>`` element.

    Raises:
        MissingDependencyError: Matplotlib is not installed.
    """
    figure, axes = new_figure(9.6, 3.8)
    share = np.linspace(0, 100, len(results[0].latency_quantiles_ms))
    for index, result in enumerate(results):
        axes.plot(
            result.latency_quantiles_ms,
            share,
            color=COLOURS[index % len(COLOURS)],
            linestyle="-" if result.valid else "--",
            alpha=1.0 if result.valid else 0.6,
            linewidth=1.8,
            label=_legend_text(result),
        )
    axes.set_xscale("log")
    left = min(result.latency_ms.min for result in results) * 0.95
    right = max(result.latency_ms.p99 for result in results) * 1.1
    _plain_log_axis(axes.xaxis, [left, right], margin=1.0)
    axes.set_yticks([0, 50, 90, 99])
    axes.set_xlabel("latency of one face, ms")
    axes.set_ylabel("runs done within, %")
    _legend(figure, axes)
    return _svg(figure)


def latency_over_time(results: Sequence[Result]) -> Markup:
    """Median of each round in the order of time; grey lines part the processes. A valid run is flat.

    Args:
        results: at least one.

    Returns:
        An ``<svg>`` element.

    Raises:
        MissingDependencyError: Matplotlib is not installed.
    """
    figure, axes = new_figure(9.6, 3.8)
    for index, result in enumerate(results):
        rounds = [value for process in result.round_p50_ms for value in process]
        # Here one looks for the cause, so the curves of invalid ones are as strong as the others.
        colour, name = COLOURS[index % len(COLOURS)], _legend_text(result)
        axes.plot(range(1, len(rounds) + 1), rounds, ".-", markersize=3, linewidth=0.8, color=colour, label=name)
    for border in np.cumsum([len(process) for process in results[0].round_p50_ms])[:-1]:
        axes.axvline(border + 0.5, color="#cccccc", linewidth=0.8)
    axes.set_yscale("log")
    every = [value for result in results for process in result.round_p50_ms for value in process]
    _plain_log_axis(axes.yaxis, every, margin=1.15)
    axes.set_xlabel("round")
    axes.set_ylabel("median of the round, ms")
    _legend(figure, axes)
    return _svg(figure)


def bars(
    labels: Sequence[str], values: Sequence[float], notes: Sequence[str], xlabel: str, *, valid: bool = True
) -> Markup:
    """Horizontal bars, first on top, with a note at the end of each; those of an invalid measurement are grey.

    Args:
        labels: of the bars.
        values: their lengths, in the unit that ``xlabel`` names.
        notes: text at the end of each.
        xlabel: text of the axis.
        valid: whether the measurement is.

    Returns:
        An ``<svg>`` element.

    Raises:
        MissingDependencyError: Matplotlib is not installed.
    """
    figure, axes = new_figure(9.6, 0.8 + 0.145 * len(labels))
    places = np.arange(len(labels))[::-1]
    axes.barh(places, values, color=COLOURS[0] if valid else "#bbbbbb", height=0.75)
    for place, value, note in zip(places, values, notes, strict=True):
        axes.annotate(note, (value, place), xytext=(4, -2.5), textcoords="offset points", fontsize=6.5, color="#444444")
    axes.set_yticks(places, [_label(label) for label in labels], fontsize=6.5)
    axes.set_xlim(0, max(values, default=1.0) * 1.2)
    axes.set_ylim(-0.8, len(labels) - 0.2)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(xlabel)
    return _svg(figure)


def lines(
    series: Sequence[tuple[str, Sequence[float], Sequence[float]]], xlabel: str, ylabel: str, *, from_zero: bool = False
) -> Markup:
    """Lines with their names at the end.

    Args:
        series: ``(name, x, y)`` of each line.
        xlabel: text of the x axis.
        ylabel: text of the y axis.
        from_zero: whether the y axis begins at 0.

    Returns:
        An ``<svg>`` element.

    Raises:
        MissingDependencyError: Matplotlib is not installed.
    """
    figure, axes = new_figure(9.6, 2.6)
    for index, (name, x, y) in enumerate(series):
        colour = COLOURS[index % len(COLOURS)]
        axes.plot(x, y, color=colour, linewidth=1.4)
        if len(x):
            axes.annotate(name, (x[-1], y[-1]), xytext=(5, 0), textcoords="offset points", fontsize=9, color=colour)
    if series and len(series[0][1]):
        axes.set_xlim(0, max(max(x) for _, x, _ in series) * 1.15)
    if from_zero:
        axes.set_ylim(0, None)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    return _svg(figure)


def _plain_log_axis(axis: Any, values: Sequence[float], margin: float = 1.5) -> None:
    """From below the least to above the greatest value; ticks at round numbers, written as plain ones."""
    low, high = min(values, default=1.0) / margin, max(values, default=1.0) * margin
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    steps = (1, 1.5, 2, 3, 5, 7) if high < 10 * low else (1, 2, 5)
    ticks = [tick for decade in decades for step in steps if low <= (tick := step * 10.0**decade) <= high]
    axis.set_view_interval(low, high, ignore=True)
    axis.set_ticks([], minor=True)
    axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])


def new_figure(width: float, height: float) -> tuple[Any, Any]:
    """An empty figure in the style of all pictures here.

    Args:
        width: in inches.
        height: in inches.

    Returns:
        Matplotlib's figure, and its axes.

    Raises:
        MissingDependencyError: Matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError.for_extra("matplotlib", "bench") from error
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.add_subplot()
    axes.grid(color="#e4e4e4", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure, axes


def _svg(figure: Any) -> Markup:
    """The figure as an ``<svg>`` element, its text in the page's own font."""
    import matplotlib as mpl
    from markupsafe import Markup

    buffer = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "fer-bench"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return Markup(text[text.index("<svg") :])  # matplotlib escapes the text in it
