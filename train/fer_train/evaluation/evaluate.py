"""Any classifier over a labelled split: accuracy, per-class recall, confusion, ECE. Needs no TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from fer_edge.errors import DataError, ModelError
from fer_edge.labels import EMOTIONS, NUM_EMOTIONS
from fer_edge.preprocess import resize_gray

__all__ = [
    "ECE_BINS",
    "EVALUATION_BATCH",
    "Evaluation",
    "confusion_matrix",
    "cross_entropy",
    "evaluate_classifier",
    "expected_calibration_error",
]

ECE_BINS = 15  # as in Guo et al. 2017, "On Calibration of Modern Neural Networks"


class _Predictor(Protocol):
    @property
    def input_size(self) -> int: ...

    def predict(self, faces: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]: ...


@dataclass(frozen=True)
class Evaluation:
    """Probabilities of one model over one split, and the figures that follow from them."""

    split: str
    """Name of the split."""
    probabilities: npt.NDArray[np.float32]
    """``(N, 7)``, rows in the order of the split."""
    labels: npt.NDArray[np.int64]
    """``(N,)``, 0..6 in the order of :data:`fer_edge.labels.EMOTIONS`."""

    @property
    def n_images(self) -> int:
        """Number of images."""
        return len(self.labels)

    @property
    def decisions(self) -> npt.NDArray[np.int64]:
        """``(N,)`` index of the most probable class."""
        return np.asarray(np.argmax(self.probabilities, axis=1), dtype=np.int64)

    @property
    def accuracy(self) -> float:
        """Fraction of images decided as labelled, in [0, 1]."""
        return float(np.mean(self.decisions == self.labels))

    @property
    def confusion(self) -> npt.NDArray[np.int64]:
        """``(7, 7)`` counts, rows are labels, columns are decisions."""
        return confusion_matrix(self.labels, self.decisions)

    @property
    def recall(self) -> dict[str, float]:
        """Per class, the fraction of its images that were found; NaN for a class without images."""
        matrix = self.confusion
        totals = matrix.sum(axis=1)
        return {name: float(matrix[i, i] / totals[i]) if totals[i] else float("nan") for i, name in enumerate(EMOTIONS)}

    @property
    def ece(self) -> float:
        """Expected calibration error over 15 equal bins (Guo et al. 2017), in [0, 1]."""
        return expected_calibration_error(self.probabilities, self.labels)

    def agreement(self, other: Evaluation) -> float:
        """Fraction of images on which two models decide alike; both must have seen the same images in order.

        Args:
            other: of another model.

        Returns:
            A fraction, 0 to 1.

        Raises:
            DataError: the two did not see the same images.
        """
        if not np.array_equal(self.labels, other.labels):
            raise DataError("agreement needs two evaluations of the same images in the same order")
        return float(np.mean(self.decisions == other.decisions))

    def as_dict(self) -> dict[str, Any]:
        """The figures as plain JSON values.

        Returns:
            What ``summary.json`` holds for a model.
        """
        return {
            "split": self.split,
            "n_images": self.n_images,
            "accuracy": self.accuracy,
            "recall": self.recall,
            "confusion": self.confusion.tolist(),
            "expected_calibration_error": self.ece,
        }


def confusion_matrix(labels: npt.NDArray[np.int64], decisions: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """How often each label was decided as each class.

    Args:
        labels: ``(N,)`` class of each image, 0..6 in the order of :data:`fer_edge.labels.EMOTIONS`.
        decisions: ``(N,)`` class that was decided.

    Returns:
        ``(7, 7)`` int64 counts, rows are labels, columns are decisions.
    """
    flat = np.bincount(labels * NUM_EMOTIONS + decisions, minlength=NUM_EMOTIONS**2)
    return flat.reshape(NUM_EMOTIONS, NUM_EMOTIONS).astype(np.int64)


def expected_calibration_error(
    probabilities: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], bins: int = ECE_BINS
) -> float:
    """Mean gap between confidence and accuracy, weighted by bin size, over equal bins of the top probability.

    Guo et al. 2017, equation 3.

    Args:
        probabilities: ``(N, 7)`` float32.
        labels: ``(N,)`` class of each image, 0..6 in the order of :data:`fer_edge.labels.EMOTIONS`.
        bins: number of equal bins of the top probability.

    Returns:
        The error, 0 to 1; NaN without images.
    """
    if len(labels) == 0:
        return float("nan")
    confidence = probabilities.max(axis=1).astype(np.float64)
    correct = probabilities.argmax(axis=1) == labels
    index = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gap = np.abs(
        np.bincount(index, weights=correct, minlength=bins) - np.bincount(index, weights=confidence, minlength=bins)
    )
    return float(gap.sum() / len(labels))


def evaluate_classifier(
    classifier: _Predictor,
    images: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.int64],
    split: str,
    *,
    batch: int = 64,
    on_progress: Callable[[int], None] | None = None,
) -> Evaluation:
    """Run a classifier over a labelled split.

    A network that gives values which are not numbers is an error: a training that has run away must not be kept as the
    best so far because NaN happens to decide like some class.

    Args:
        classifier: has ``input_size`` and ``predict``, as :class:`fer_edge.inference.Classifier` does.
        images: ``(N, H, W)`` uint8, grey, of any size.
        labels: ``(N,)`` class of each image, 0..6 in the order of :data:`fer_edge.labels.EMOTIONS`.
        split: name of the split, for messages and records.
        batch: how many images are predicted at once.
        on_progress: called with the number of images done.

    Returns:
        Probabilities and labels of the split.

    Raises:
        DataError: there are no images.
        ModelError: the network gives values that are not numbers.
    """
    if len(images) == 0:
        raise DataError(f"split {split} has no images to evaluate on")
    parts = []
    for start in range(0, len(images), batch):
        faces = np.stack([resize_gray(image, classifier.input_size) for image in images[start : start + batch]])
        parts.append(classifier.predict(faces))
        if on_progress:
            on_progress(start + len(faces))
    probabilities = np.concatenate(parts)
    if not np.isfinite(probabilities).all():
        raise ModelError(
            f"on split {split} the network gives values that are not numbers: are the weights damaged? If a training "
            "came to this, its last checkpoint and best weights are kept; try a lower learning rate"
        )
    return Evaluation(split, probabilities, np.asarray(labels, dtype=np.int64))


EVALUATION_BATCH = 128


def cross_entropy(evaluation: Evaluation) -> float:
    """Mean negative log-likelihood of the labels in nats.

    Args:
        evaluation: a network over a split.

    Returns:
        The mean, in nats.
    """
    chosen = evaluation.probabilities[np.arange(evaluation.n_images), evaluation.labels]
    return float(-np.log(np.maximum(chosen, 1e-7)).mean())
