"""FER+ votes translated into FER-2013's labels: what the data set's own labels would be, given ten people's answers.

The two labelings agree on two thirds of the images only, so votes as they are teach another task. The share of images
with given votes that FER-2013 calls sad, say, teaches the task itself: the expected target is the same as with the
labels (the mean of a mean), but with less noise in each image.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fer_edge.errors import DataError, MissingDependencyError
from fer_edge.labels import NUM_EMOTIONS
from fer_train.data.crowd_votes import Votes, load_vote_counts

__all__ = ["log_loss", "translated_votes"]

_FOLDS: Final[int] = 5
_FLOOR: Final[float] = 0.05
"""Added to a share before its logarithm is taken: half a vote of ten."""


def translated_votes(
    csv_path: Path, names: tuple[str, ...], labels: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Soft labels that predict the labels from the votes.

    A multinomial logistic regression from the shares of all ten answers to the labels, fitted on these very images in
    five folds: each image's row comes from a fit that did not see its label.

    Args:
        csv_path: the table of votes.
        names: names of the images, of which only the file name counts.
        labels: ``(N,)`` class of each image, 0..6 in the order of :data:`fer_edge.labels.EMOTIONS`.

    Returns:
        ``(soft, known)``: ``(N, 7)`` float32, rows that sum to 1, and ``(N,)`` bool, whether an image has votes.

    Raises:
        DataError: the file is not a vote table, or a class has fewer than five images with votes.
        MissingDependencyError: scikit-learn is not installed.
    """
    votes = load_vote_counts(csv_path, names)
    known = votes.known & (votes.emotions.sum(axis=1) + votes.others.sum(axis=1) > 0)
    fewest = np.bincount(labels[known], minlength=NUM_EMOTIONS).min()
    if fewest < _FOLDS:
        raise DataError(
            f"votes are translated with at least {_FOLDS} images of every class that have votes, got {fewest}; "
            "leave --translate-votes out"
        )
    soft = np.zeros((len(names), NUM_EMOTIONS), dtype=np.float32)
    soft[known] = _cross_fitted(_features(votes)[known], labels[known])
    return soft, known


def log_loss(soft: npt.NDArray[np.float32], labels: npt.NDArray[np.int64]) -> float:
    """Mean negative log-likelihood of labels under soft labels; shares below 0.001 count as 0.001.

    Args:
        soft: ``(N, 7)`` soft labels.
        labels: ``(N,)`` class of each image, 0..6 in the order of :data:`fer_edge.labels.EMOTIONS`.

    Returns:
        The mean, in nats.
    """
    return float(-np.log(np.maximum(soft[np.arange(len(labels)), labels], 1e-3)).mean())


def _features(votes: Votes) -> npt.NDArray[np.float64]:
    counts = np.concatenate([votes.emotions, votes.others], axis=1).astype(np.float64)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1.0)
    # Three scales of a share: a single dissenting vote tells more than one vote more or less in a majority.
    return np.concatenate([shares, np.sqrt(shares), np.log(shares + _FLOOR)], axis=1)


def _cross_fitted(features: npt.NDArray[np.float64], labels: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    try:
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import StratifiedKFold, cross_val_predict
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
    except ImportError as error:
        raise MissingDependencyError.for_extra(error.name or "sklearn", "audit") from error
    model: Any = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500, tol=1e-3))
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=0)
    probabilities: npt.NDArray[np.float64] = cross_val_predict(
        model, features, labels, cv=folds, method="predict_proba"
    )
    return probabilities
