"""Pictures of a training run: curves of both stages, and confusion matrices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fer_edge.files import atomic_path
from fer_edge.labels import EMOTIONS
from fer_train.evaluation.evaluate import Evaluation
from fer_train.runs.history import EpochMetrics

__all__ = ["draw_confusion", "draw_curves"]

_TRAIN, _VALIDATION, _INT8 = "#7a8ca8", "#c2410c", "#0f766e"
_DISTURBED, _HELD_OUT = "#7c3aed", "#c4a5f7"
_VALIDATED = ("val_accuracy", "val_accuracy_int8", "val_accuracy_disturbed", "val_accuracy_held_out")


def _save(figure: Any, path: Path) -> None:
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=130, facecolor="white")


def _figure(width: float, height: float, columns: int = 1) -> tuple[Any, Any]:
    """A figure that needs no display and leaves pyplot's global state alone."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(1, columns, squeeze=False)[0]


def draw_curves(history: list[EpochMetrics], folder: Path) -> None:
    """``accuracy.png`` and ``loss.png``: per epoch, float stage then QAT stage; a line marks where stages change.

    Args:
        history: one row per epoch.
        folder: where the pictures go.
    """
    for quantity in ("accuracy", "loss"):
        figure, (axes,) = _figure(8.5, 4.6)
        _draw_quantity(axes, history, quantity)
        _save(figure, folder / f"{quantity}.png")
    figure, both = _figure(13.0, 4.6, columns=2)
    for axes, quantity in zip(both, ("accuracy", "loss"), strict=True):
        _draw_quantity(axes, history, quantity)
    _save(figure, folder / "curves.png")


def _draw_quantity(axes: Any, history: list[EpochMetrics], quantity: str) -> None:
    percent = 100.0 if quantity == "accuracy" else 1.0
    position = np.arange(1, len(history) + 1)

    def line(key: str, colour: str, label: str, marker: str = "o") -> None:
        values = [getattr(row, key) for row in history]
        there = [value is not None for value in values]
        if any(there):
            y = [percent * value for value in values if value is not None]
            axes.plot(position[there], y, marker + "-", color=colour, markersize=4, linewidth=1.6, label=label)

    line(quantity, _TRAIN, "train (augmented images)")
    line(f"val_{quantity}", _VALIDATION, "validation")
    if quantity == "accuracy":
        line("val_accuracy_int8", _INT8, "validation, converted to INT8", "D")
        line("val_accuracy_disturbed", _DISTURBED, "validation, disturbed (QAT: INT8)", "s")
        line("val_accuracy_held_out", _HELD_OUT, "the same, kinds held out of training", "s")
        key = "val_accuracy_int8" if any(row.val_accuracy_int8 is not None for row in history) else "val_accuracy"
        scored = [(getattr(row, key), i) for i, row in enumerate(history) if getattr(row, key) is not None]
        best, index = max(scored)
        note = f"{100 * best:.2f} %"
        near_the_end = index + 1 > 0.95 * len(history)
        side = "right" if near_the_end and index else "center"
        # Above the last epochs there is training's curve, so it stands below all that is drawn there.
        there = [getattr(history[index], name) for name in _VALIDATED]
        low = min(value for value in there if value is not None)
        height, beside = (low, (0, -18)) if near_the_end else (best, (0, 9))
        colour = _INT8 if key == "val_accuracy_int8" else _VALIDATION
        place = (index + 1, 100 * height)
        axes.annotate(note, place, beside, textcoords="offset points", ha=side, fontsize=9, color=colour)
    _mark_stages(axes, history)
    axes.set_xticks(position[:: max(1, len(position) // 16)])
    labels = [str(row.epoch) for row in history]
    axes.set_xticklabels(labels[:: max(1, len(position) // 16)])
    axes.set_xlim(0.5, len(history) + 0.5)
    axes.set_xlabel("epoch of the stage")
    axes.set_ylabel("accuracy, %" if quantity == "accuracy" else "cross-entropy, nats")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right" if quantity == "accuracy" else "upper right", fontsize=9)


def _mark_stages(axes: Any, history: list[EpochMetrics]) -> None:
    """A line where the stage or its phase changes, names above the axes; a name near the last takes a second row."""
    names = [row.phase if row.stage == "float" else "QAT" for row in history]
    starts = [i for i, name in enumerate(names) if i == 0 or name != names[i - 1]]
    row, last = 0, -len(history)
    for i in starts:
        row = 1 - row if i - last < 0.14 * len(history) else 0
        last = i
        if i:
            axes.axvline(i + 0.5, color="#9ca3af", linewidth=0.8, linestyle=":")
        place = {"xycoords": axes.get_xaxis_transform(), "textcoords": "offset points", "annotation_clip": False}
        side = "right" if i > 0.9 * len(history) else "left"
        axes.annotate(names[i], (i + 0.5, 1.0), (0, 3 + 10 * row), fontsize=8, color="#6b7280", ha=side, **place)


def draw_confusion(evaluation: Evaluation, path: Path, title: str) -> None:
    """Confusion matrix as a picture: rows are labels and sum to 100 %, counts in small print.

    Args:
        evaluation: a network over a split.
        path: the PNG file; an older one is replaced.
        title: shown above the matrix.
    """
    figure, (axes,) = _figure(6.6, 6.0)
    counts = evaluation.confusion
    totals = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    shares = counts / totals
    axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0)
    for i, j in np.ndindex(*counts.shape):
        colour = "white" if shares[i, j] > 0.55 else "#1f2937"
        axes.text(j, i - 0.08, f"{100 * shares[i, j]:.0f}", ha="center", va="center", color=colour, fontsize=11)
        axes.text(j, i + 0.28, f"{counts[i, j]}", ha="center", va="center", color=colour, fontsize=6.5)
    axes.set_xticks(range(len(EMOTIONS)), EMOTIONS, rotation=35, ha="right")
    axes.set_yticks(
        range(len(EMOTIONS)), [f"{name} ({total})" for name, total in zip(EMOTIONS, counts.sum(1), strict=True)]
    )
    axes.set_xlabel("predicted")
    axes.set_ylabel("label (images)")
    axes.spines[:].set_visible(False)
    axes.set_title(
        f"{title}: {100 * evaluation.accuracy:.2f} % of {evaluation.n_images} {evaluation.split} images", fontsize=11
    )
    _save(figure, path)
