"""A picture: example faces of every kind and strength, and beside them how often the models are right."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from fer_bench.report.charts import COLOURS
from fer_bench.robustness.schema import Answer, ModelEntry, RobustnessReport
from fer_edge.arrays import Image
from fer_edge.errors import MissingDependencyError
from fer_edge.files import atomic_path
from fer_edge.preprocess import to_gray
from fer_train.disturbances import KINDS, STRENGTHS, disturb, generator
from fer_train.synthetic.faces import numbered_face

__all__ = ["draw", "require_matplotlib"]

_ROW_INCHES: Final[float] = 0.5
_DPI: Final[int] = 100
"""With these, a pixel of a face is one of the picture."""
_EXAMPLES: Final[tuple[tuple[str, int], ...]] = (("sheet", 3), ("sheet", 6))
"""Split and number of the synthetic faces that are shown: no people, whatever was measured."""
_SIDE: Final[int] = 48
_GAP: Final[int] = 2
_SHADES: Final[tuple[float, ...]] = (0.35, 0.65, 1.0)
"""Opacity of the strengths."""


def require_matplotlib() -> None:
    """Fail before the work, not after it.

    Raises:
        MissingDependencyError: Matplotlib is not installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError.for_extra("matplotlib", "bench") from error


def draw(report: RobustnessReport, path: Path) -> None:
    """Draw the picture.

    Args:
        report: what was measured.
        path: of the ``.png`` file; written whole or not at all.

    Raises:
        MissingDependencyError: Matplotlib is not installed.
    """
    require_matplotlib()
    import PIL.Image  # Matplotlib needs it, too
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = 1 + len(report.kinds)
    columns = len(_EXAMPLES) * len(STRENGTHS)
    height, left, sheet, chart = _ROW_INCHES * rows, 1.75, _ROW_INCHES * columns, 6.2
    bottom, top = 0.6, 0.95
    width, whole = left + sheet + 0.15 + chart + 0.2, bottom + height + top
    figure = Figure(figsize=(width, whole), dpi=_DPI, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    faces = figure.add_axes((left / width, bottom / whole, sheet / width, height / whole))
    faces.imshow(
        _sheet(report),
        cmap="gray",
        vmin=0,
        vmax=255,
        extent=(0, columns, rows, 0),
        aspect="auto",
        interpolation="nearest",
    )
    names = [kind.title + (" *" if kind.held_out else "") for kind in report.kinds]
    faces.set_yticks(np.arange(rows) + 0.5, ["clean", *names], fontsize=9)
    strengths = ["mild", "clear", "strong"] * len(_EXAMPLES)
    faces.set_xticks(np.arange(columns) + 0.5, strengths, fontsize=8)
    faces.tick_params(length=0)
    faces.spines[:].set_visible(False)
    axes = figure.add_axes(((left + sheet + 0.15) / width, bottom / whole, chart / width, height / whole))
    _chart(axes, report)
    held_out = "; * held out of training" if any(kind.held_out for kind in report.kinds) else ""
    title = f"Accuracy on disturbed faces: {report.data}, {report.split}, n = {report.n_images:,}"
    figure.text(0.012, 1 - 0.28 / whole, title, fontsize=12, weight="bold", va="center")
    note = "Points with 95 % intervals, pale to dark: mild, clear, strong; lines: clean. Examples are synthetic faces"
    note += held_out
    figure.text(0.012, 1 - 0.53 / whole, note, fontsize=8.5, color="#444444", va="center")
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]
    with atomic_path(path) as temporary:
        # A palette halves the file: it holds greys and a few colours.
        PIL.Image.fromarray(pixels).quantize(256).save(temporary, optimize=True)


def _sheet(report: RobustnessReport) -> Image:
    """One row per kind, below one of clean faces; white gaps."""
    side, rows = _SIDE + _GAP, 1 + len(report.kinds)
    sheet = np.full((rows * side, len(_EXAMPLES) * len(STRENGTHS) * side), 255, np.uint8)

    def put(row: int, column: int, face: Image) -> None:
        y, x = row * side + _GAP // 2, column * side + _GAP // 2
        sheet[y : y + _SIDE, x : x + _SIDE] = face

    for number, (split, index) in enumerate(_EXAMPLES):
        face = to_gray(numbered_face(split, 0, index, _SIDE))
        for place, strength in enumerate(STRENGTHS):
            column = number * len(STRENGTHS) + place
            put(0, column, face)
            for row, kind in enumerate(report.kinds, start=1):
                rng = generator(seed=report.seed, kind=kind.name, strength=strength, index=index)
                put(row, column, disturb(face, KINDS[kind.name], strength, rng))
    return sheet


def _chart(axes: Any, report: RobustnessReport) -> None:
    rows = 1 + len(report.kinds)
    spread = 0.2 if len(report.models) > 1 else 0.0
    offsets = np.linspace(-spread, spread, len(report.models))
    order = {kind.name: row for row, kind in enumerate(report.kinds, start=1)}
    for index, (model, offset) in enumerate(zip(report.models, offsets, strict=True)):
        colour = COLOURS[index % len(COLOURS)]
        label = (
            f"{_label(model)}: {100 * model.clean.accuracy:.1f} % clean, {100 * model.mean.accuracy:.1f} % disturbed"
        )
        axes.axvline(100 * model.clean.accuracy, color=colour, linewidth=1.0, alpha=0.6, zorder=1)
        _points(axes, [model.clean], [0.5 + offset], colour, 1.0, label)
        for strength, shade in zip(STRENGTHS, _SHADES, strict=True):
            answers = [answer for answer in model.answers if answer.strength == strength]
            places = [order[answer.kind] + 0.5 + offset for answer in answers]
            _points(axes, answers, places, colour, shade, None)
    axes.set_ylim(rows, 0)
    axes.set_xlim(0, 100)
    axes.set_xticks(range(0, 101, 10))
    axes.set_yticks(np.arange(rows + 1), [""] * (rows + 1))
    axes.tick_params(axis="y", length=0)
    axes.grid(color="#e4e4e4", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_xlabel("accuracy, %")
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=8.5, ncols=1, borderpad=0.1)


def _points(
    axes: Any, answers: Sequence[Answer], places: Sequence[float], colour: str, shade: float, label: str | None
) -> None:
    values = [100 * answer.accuracy for answer in answers]
    below = [100 * (answer.accuracy - answer.accuracy_ci95[0]) for answer in answers]
    above = [100 * (answer.accuracy_ci95[1] - answer.accuracy) for answer in answers]
    style = {"fmt": "o", "markersize": 5.5, "elinewidth": 1.2, "color": colour, "alpha": shade}
    axes.errorbar(values, places, xerr=[below, above], label=label, **style)


def _label(model: ModelEntry) -> str:
    name = model.name if len(model.name) <= 40 else f"{model.name[:39]}…"
    return name.replace("$", r"\$")
