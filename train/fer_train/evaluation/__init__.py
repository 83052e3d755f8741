"""Accuracy, expected calibration error (ECE), temperatures and confidence intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fer_edge.lazy import lazy_names

if TYPE_CHECKING:
    from fer_train.evaluation.evaluate import (
        Evaluation,
        confusion_matrix,
        cross_entropy,
        evaluate_classifier,
        expected_calibration_error,
    )
    from fer_train.evaluation.paired_interval import Interval, paired_drop
    from fer_train.evaluation.temperature import Temperatures, fit_temperature, fold, load_temperatures, temper

__all__ = [
    "Evaluation",
    "Interval",
    "Temperatures",
    "confusion_matrix",
    "cross_entropy",
    "evaluate_classifier",
    "expected_calibration_error",
    "fit_temperature",
    "fold",
    "load_temperatures",
    "paired_drop",
    "temper",
]

_HOMES: Final[dict[str, str]] = {
    "Evaluation": "fer_train.evaluation.evaluate",
    "confusion_matrix": "fer_train.evaluation.evaluate",
    "cross_entropy": "fer_train.evaluation.evaluate",
    "evaluate_classifier": "fer_train.evaluation.evaluate",
    "expected_calibration_error": "fer_train.evaluation.evaluate",
    "Interval": "fer_train.evaluation.paired_interval",
    "paired_drop": "fer_train.evaluation.paired_interval",
    "Temperatures": "fer_train.evaluation.temperature",
    "fit_temperature": "fer_train.evaluation.temperature",
    "fold": "fer_train.evaluation.temperature",
    "load_temperatures": "fer_train.evaluation.temperature",
    "temper": "fer_train.evaluation.temperature",
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
