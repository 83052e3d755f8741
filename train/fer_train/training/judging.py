"""How good a network is after an epoch: on the validation split, and on disturbed faces of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fer_train.evaluation.evaluate import EVALUATION_BATCH, Evaluation, evaluate_classifier
from fer_train.inputs.disturbing import DisturbedFaces
from fer_train.inputs.training_data import TrainingData

__all__ = ["Judged", "judge"]


@dataclass(frozen=True)
class Judged:
    """A network over the validation split."""

    clean: Evaluation
    """On the images as they are."""
    disturbed: Evaluation | None = None
    """On some of them, disturbed by kinds that training may use; None where training disturbs none."""
    held_out: Evaluation | None = None
    """On the same ones, disturbed by kinds that training never uses."""
    reference: Evaluation | None = None
    """An INT8 model on the images as they are, as TFLite's reference kernels compute it; None where none did."""

    @property
    def score(self) -> float:
        """What the best epoch is chosen by: accuracy, or the mean of clean and disturbed, held-out kinds left out.

        Clean accuracy is the mean over both arithmetics where there are two.
        """
        clean = self.clean.accuracy
        if self.reference is not None:
            clean = 0.5 * (clean + self.reference.accuracy)
        return clean if self.disturbed is None else 0.5 * (clean + self.disturbed.accuracy)

    def agreement(self, decisions: npt.NDArray[np.int64]) -> float:
        """How often another network decides alike: of both arithmetics the one that agrees less.

        Args:
            decisions: ``(N,)`` of the other network on the clean images.

        Returns:
            0 to 1.
        """
        evaluations = [self.clean] if self.reference is None else [self.clean, self.reference]
        return min(float((each.decisions == decisions).mean()) for each in evaluations)

    @property
    def accuracies(self) -> dict[str, float | None]:
        """The other figures, by their names in :class:`fer_train.runs.history.EpochMetrics`."""
        reference = self.reference
        alike = None if reference is None else float((reference.decisions == self.clean.decisions).mean())
        return {
            "val_accuracy_int8_reference": None if reference is None else reference.accuracy,
            "val_agreement_reference": alike,
            "val_accuracy_disturbed": None if self.disturbed is None else self.disturbed.accuracy,
            "val_accuracy_held_out": None if self.held_out is None else self.held_out.accuracy,
        }

    @property
    def words(self) -> str:
        """The other accuracies for a line of the log; empty without any."""
        words = "" if self.reference is None else f", on reference kernels {self.reference.accuracy:.2%}"
        if self.disturbed is None or self.held_out is None:
            return words
        return f"{words}, disturbed {self.disturbed.accuracy:.2%} (held-out kinds {self.held_out.accuracy:.2%})"

    def as_dict(self) -> dict[str, Any]:
        """The other figures as plain JSON values.

        Returns:
            What ``summary.json`` also holds for a model, below ``disturbed`` and ``reference_kernels``; empty without
            any.
        """
        record: dict[str, Any] = {}
        if self.reference is not None:
            alike = float((self.reference.decisions == self.clean.decisions).mean())
            record["reference_kernels"] = {
                "n_images": self.reference.n_images,
                "accuracy": self.reference.accuracy,
                "top1_agreement_with_xnnpack": alike,
            }
        if self.disturbed is not None and self.held_out is not None:
            record["disturbed"] = {
                "n_images": self.disturbed.n_images,
                "accuracy": self.disturbed.accuracy,
                "accuracy_held_out_kinds": self.held_out.accuracy,
                "expected_calibration_error": self.disturbed.ece,
            }
        return record


def judge(
    classifier: Any, data: TrainingData, disturbed: DisturbedFaces | None, batch: int = EVALUATION_BATCH
) -> Judged:
    """Ask a classifier about the validation split, and about the disturbed faces, if any.

    Args:
        classifier: has ``input_size`` and ``predict``.
        data: of which the validation split is taken.
        disturbed: faces of it.
        batch: how many images are predicted at once.

    Returns:
        Its answers.
    """
    clean = evaluate_classifier(classifier, data.validation_images, data.validation_labels, "validation", batch=batch)
    if disturbed is None:
        return Judged(clean)
    trained, held_out = (
        evaluate_classifier(classifier, faces, disturbed.labels, "validation, disturbed", batch=batch)
        for faces in (disturbed.trained, disturbed.held_out)
    )
    return Judged(clean, trained, held_out)
