"""How good a network is after an epoch: on the validation split, and on disturbed faces of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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

    @property
    def score(self) -> float:
        """What the best epoch is chosen by: accuracy, or the mean of clean and disturbed, held-out kinds left out."""
        if self.disturbed is None:
            return self.clean.accuracy
        return 0.5 * (self.clean.accuracy + self.disturbed.accuracy)

    @property
    def accuracies(self) -> dict[str, float | None]:
        """The disturbed accuracies, by their names in :class:`fer_train.runs.history.EpochMetrics`."""
        return {
            "val_accuracy_disturbed": None if self.disturbed is None else self.disturbed.accuracy,
            "val_accuracy_held_out": None if self.held_out is None else self.held_out.accuracy,
        }

    @property
    def words(self) -> str:
        """The disturbed accuracies for a line of the log; empty without any."""
        if self.disturbed is None or self.held_out is None:
            return ""
        return f", disturbed {self.disturbed.accuracy:.2%} (held-out kinds {self.held_out.accuracy:.2%})"

    def as_dict(self) -> dict[str, Any]:
        """The disturbed figures as plain JSON values.

        Returns:
            What ``summary.json`` also holds for a model, below ``disturbed``; empty without any.
        """
        if self.disturbed is None or self.held_out is None:
            return {}
        figures = {
            "n_images": self.disturbed.n_images,
            "accuracy": self.disturbed.accuracy,
            "accuracy_held_out_kinds": self.held_out.accuracy,
            "expected_calibration_error": self.disturbed.ece,
        }
        return {"disturbed": figures}


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
