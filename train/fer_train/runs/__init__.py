"""Run folders: recipe, history, plots and weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fer_edge.lazy import lazy_names

if TYPE_CHECKING:
    from fer_train.runs.average import average_runs
    from fer_train.runs.history import EpochMetrics, read_metrics, write_metrics
    from fer_train.runs.packing import pack
    from fer_train.runs.plots import draw_confusion, draw_curves
    from fer_train.runs.recipe import OPTIONS, Recipe, load_recipe
    from fer_train.runs.run_folder import RunFolder
    from fer_train.runs.trained import Trained, load_trained

__all__ = [
    "OPTIONS",
    "EpochMetrics",
    "Recipe",
    "RunFolder",
    "Trained",
    "average_runs",
    "draw_confusion",
    "draw_curves",
    "load_recipe",
    "load_trained",
    "pack",
    "read_metrics",
    "write_metrics",
]

_HOMES: Final[dict[str, str]] = {
    "average_runs": "fer_train.runs.average",
    "EpochMetrics": "fer_train.runs.history",
    "read_metrics": "fer_train.runs.history",
    "write_metrics": "fer_train.runs.history",
    "pack": "fer_train.runs.packing",
    "draw_confusion": "fer_train.runs.plots",
    "draw_curves": "fer_train.runs.plots",
    "OPTIONS": "fer_train.runs.recipe",
    "Recipe": "fer_train.runs.recipe",
    "load_recipe": "fer_train.runs.recipe",
    "RunFolder": "fer_train.runs.run_folder",
    "Trained": "fer_train.runs.trained",
    "load_trained": "fer_train.runs.trained",
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
