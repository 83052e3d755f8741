"""What each epoch gave: rows for ``metrics.csv``, for TensorBoard and for the plots."""

from __future__ import annotations

import csv
import dataclasses
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fer_edge.files import write_text


@dataclass(frozen=True)
class EpochMetrics:
    """One epoch of one stage. Accuracies are fractions in [0, 1]; losses are mean cross-entropies in nats.

    ``accuracy`` and ``loss`` are of the augmented training images against the (smoothed, blended) targets that were
    trained on, ``val_*`` of the plain validation images against their labels. ``val_accuracy_int8`` is of the
    converted model (QAT stage only).
    """

    stage: str
    phase: str
    epoch: int
    loss: float | None
    accuracy: float | None
    val_loss: float
    val_accuracy: float
    val_accuracy_int8: float | None
    learning_rate: float
    seconds: float


def write_metrics(path: Path, history: list[EpochMetrics]) -> None:
    """Write ``metrics.csv`` whole, atomically."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in dataclasses.fields(EpochMetrics)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(dataclasses.asdict(row) for row in history)
    write_text(path, text.getvalue())


def rows_from_json(rows: list[dict[str, Any]]) -> list[EpochMetrics]:
    """The history that a checkpoint's record holds."""
    return [EpochMetrics(**row) for row in rows]


class TensorBoardLog:
    """Writes each epoch as scalars, by stage."""

    def __init__(self, folder: Path, stage: str) -> None:
        import tensorflow as tf

        self._tf = tf
        self._writer = tf.summary.create_file_writer(str(folder / stage))

    def add(self, row: EpochMetrics) -> None:
        """Add one epoch, and flush it to disk."""
        with self._writer.as_default():
            for name, value in dataclasses.asdict(row).items():
                if isinstance(value, float):
                    self._tf.summary.scalar(name, value, step=row.epoch)
        self._writer.flush()

    def close(self) -> None:
        """Close the event file."""
        self._writer.close()
