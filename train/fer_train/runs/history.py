"""What each epoch gave: rows for ``metrics.csv``, for TensorBoard and for the plots."""

from __future__ import annotations

import csv
import dataclasses
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fer_edge.errors import ModelError
from fer_edge.files import write_text

__all__ = ["EpochMetrics", "read_metrics", "rows_from_json", "write_metrics"]


@dataclass(frozen=True)
class EpochMetrics:
    """One epoch of one stage. Accuracies are fractions in [0, 1]; losses are mean cross-entropies in nats.

    ``accuracy`` and ``loss`` are of the augmented training images against the (smoothed, blended) targets that were
    trained on, ``val_*`` of the plain validation images against their labels. ``val_accuracy_int8`` is of the
    converted model (QAT stage only).
    """

    stage: str
    """``float`` or ``qat``."""
    phase: str
    """Part of the stage, such as ``head``."""
    epoch: int
    """Counted from 1; 0 is the QAT network before any step."""
    loss: float | None
    """In training; None for epoch 0."""
    accuracy: float | None
    """In training; None for epoch 0."""
    val_loss: float
    """On validation."""
    val_accuracy: float
    """On validation."""
    val_accuracy_int8: float | None
    """Of the converted model, on validation."""
    learning_rate: float
    """At the end of the epoch."""
    seconds: float
    """How long the epoch took, evaluation included; of one that was interrupted, since it went on."""
    val_accuracy_disturbed: float | None = None
    """On disturbed validation images (of the converted model in the QAT stage), by kinds that training may use."""
    val_accuracy_held_out: float | None = None
    """The same by kinds that training never uses."""
    val_accuracy_int8_reference: float | None = None
    """Of the converted model on TFLite's reference kernels, on validation (QAT stage only)."""
    val_agreement_reference: float | None = None
    """Fraction of those images that the converted model decides alike on XNNPACK and on the reference kernels."""


def write_metrics(path: Path, history: list[EpochMetrics]) -> None:
    """Write ``metrics.csv`` whole, atomically.

    Args:
        path: the file.
        history: one row per epoch.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in dataclasses.fields(EpochMetrics)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(dataclasses.asdict(row) for row in history)
    write_text(path, text.getvalue())


def read_metrics(path: Path) -> list[EpochMetrics]:
    """What :func:`write_metrics` wrote.

    Args:
        path: the file.

    Returns:
        One row per epoch.

    Raises:
        ModelError: the file is of another kind.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [_row(record) for record in csv.DictReader(file)]
    except (OSError, UnicodeDecodeError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise ModelError(f"{path} is not a metrics.csv of fer-train ({error})") from error


def _row(record: dict[str, str]) -> EpochMetrics:
    def number(name: str) -> float | None:
        return float(record[name]) if record[name] else None

    def later(name: str) -> float | None:
        return number(name) if name in record else None  # a column that older tables do not have

    return EpochMetrics(
        stage=record["stage"],
        phase=record["phase"],
        epoch=int(record["epoch"]),
        loss=number("loss"),
        accuracy=number("accuracy"),
        val_loss=float(record["val_loss"]),
        val_accuracy=float(record["val_accuracy"]),
        val_accuracy_int8=number("val_accuracy_int8"),
        learning_rate=float(record["learning_rate"]),
        seconds=float(record["seconds"]),
        val_accuracy_disturbed=later("val_accuracy_disturbed"),
        val_accuracy_held_out=later("val_accuracy_held_out"),
        val_accuracy_int8_reference=later("val_accuracy_int8_reference"),
        val_agreement_reference=later("val_agreement_reference"),
    )


def rows_from_json(rows: list[dict[str, Any]]) -> list[EpochMetrics]:
    """The history that a checkpoint's record holds.

    Args:
        rows: fields of each row by name.

    Returns:
        One row per epoch.
    """
    return [EpochMetrics(**row) for row in rows]
