"""Likely label errors by confident learning (Northcutt et al. 2021): cleanlab on out-of-fold predictions.

The predictions come from a small classifier of its own: gradient histograms, random Fourier features (Rahimi and Recht
2007), ridge regression in closed form. So no trained network is needed, and none is flattered by having seen an image:
copies and near copies of an image always stand in the same fold.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from fer_edge.errors import DataError, MissingDependencyError
from fer_edge.labels import EMOTIONS, NUM_EMOTIONS
from fer_edge.preprocess import resize_gray
from fer_train.data.dataset import Split
from fer_train.data.memory_map import chunks
from fer_train.on_progress import Progress

FOLDS: Final[int] = 5
_SIDE: Final[int] = 48
_COMPONENTS: Final[int] = 256
_FEATURES: Final[int] = 4000
_WIDTH: Final[float] = 0.3
"""Inverse width of the Gaussian kernel, in units of the features' total variance; chosen on FER-2013's PublicTest."""
_RIDGE: Final[float] = 0.3
_CHUNK: Final[int] = 2048


@dataclass(frozen=True)
class LabelErrors:
    """Images whose label is probably wrong."""

    model: str
    n_images: int
    accuracy: float
    """Share of images that the out-of-fold predictions get right by the labels as they are."""
    indices: npt.NDArray[np.int64]
    """Images counted through all splits, most suspicious first."""
    notes: tuple[str, ...]
    """For each, what the classifier takes it for."""


def find_label_errors(
    splits: Sequence[Split], groups: npt.NDArray[np.int64], on_progress: Progress | None = None
) -> LabelErrors:
    """Suspicious labels among the images of all splits; ``groups`` ``(N,)`` numbers images that must share a fold.

    Raises :class:`MissingDependencyError` without the extra ``audit``, :class:`DataError` for a set that is too small.
    """
    issues = _import("cleanlab.filter", "cleanlab")
    labels = np.concatenate([split.labels for split in splits])
    if np.bincount(labels, minlength=NUM_EMOTIONS).min() < 2 * FOLDS:
        raise DataError(f"finding label errors needs at least {2 * FOLDS} images of each class")
    features = np.concatenate([hog_features(chunk) for split in splits for chunk in chunks(split.images)])
    probabilities = out_of_fold(features, labels, groups, on_progress=on_progress)
    found = issues.find_label_issues(labels, probabilities, return_indices_ranked_by="normalized_margin", n_jobs=1)
    suspects = np.asarray(found, dtype=np.int64)
    guesses = probabilities.argmax(axis=1)
    notes = tuple(f"looks {EMOTIONS[int(guesses[i])]} ({probabilities[i].max():.0%})" for i in suspects)
    return LabelErrors(
        model="a small classifier of gradient histograms",
        n_images=len(labels),
        accuracy=float(np.mean(guesses == labels)),
        indices=suspects,
        notes=notes,
    )


def hog_features(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """``(N, 900)`` histograms of oriented gradients of ``(N, H, W)`` grey images, seen at 48x48."""
    descriptor = cv2.HOGDescriptor((_SIDE, _SIDE), (16, 16), (8, 8), (8, 8), 9)
    return np.stack([np.asarray(descriptor.compute(resize_gray(i, _SIDE)), dtype=np.float32).ravel() for i in images])


def out_of_fold(
    features: npt.NDArray[np.float32],
    labels: npt.NDArray[np.int64],
    groups: npt.NDArray[np.int64],
    *,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> npt.NDArray[np.float64]:
    """``(N, 7)`` probabilities of each image by a classifier that has seen neither it nor anything in its group."""
    folds = _import("sklearn.model_selection", "scikit-learn").StratifiedGroupKFold(
        FOLDS, shuffle=True, random_state=seed
    )
    features = _principal(features)
    scores = np.zeros((len(labels), NUM_EMOTIONS))
    for done, (train, held_out) in enumerate(folds.split(features, labels, groups)):
        model = _KernelRidge(features[train], labels[train], np.random.default_rng(seed))
        scores[held_out] = model.scores(features[held_out])
        if on_progress:
            on_progress(done + 1, FOLDS)
    return _calibrated(scores, labels)


def _principal(features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The leading principal components; labels play no part in them, so they may be learned on all images at once."""
    centred = features - features.mean(axis=0)
    variances, vectors = np.linalg.eigh((centred.T @ centred).astype(np.float64) / len(features))
    axes = vectors[:, np.argsort(variances)[::-1][:_COMPONENTS]].astype(np.float32)
    return np.asarray(centred @ axes, dtype=np.float32)


class _KernelRidge:
    """Least squares on one-hot labels over random Fourier features."""

    def __init__(
        self, features: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], rng: np.random.Generator
    ) -> None:
        spread = np.sqrt(2.0 * _WIDTH / max(float(features.var(axis=0).sum()), 1e-12))
        width = min(_FEATURES, 4 * len(features))  # more would only cost time
        self._waves = (rng.standard_normal((features.shape[1], width)) * spread).astype(np.float32)
        self._phases = rng.uniform(0.0, 2.0 * np.pi, width).astype(np.float32)
        gram = np.zeros((width, width), dtype=np.float32)
        right = np.zeros((width, NUM_EMOTIONS), dtype=np.float32)
        targets = np.eye(NUM_EMOTIONS, dtype=np.float32)[labels]
        self._prior = targets.mean(axis=0)
        for part, mapped in self._mapped(features):
            gram += mapped.T @ mapped
            right += mapped.T @ (targets[part] - self._prior)
        gram[np.diag_indices(width)] += _RIDGE
        self._weights = np.linalg.solve(gram, right)

    def _mapped(self, features: npt.NDArray[np.float32]) -> Iterator[tuple[slice, npt.NDArray[np.float32]]]:
        for start in range(0, len(features), _CHUNK):
            part = slice(start, start + _CHUNK)
            angles = features[part] @ self._waves + self._phases
            yield part, np.cos(angles, dtype=np.float32) * np.float32(np.sqrt(2.0 / len(self._phases)))

    def scores(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """``(N, 7)``, about 1 for the right class and 0 for the others."""
        return np.concatenate([mapped @ self._weights + self._prior for _, mapped in self._mapped(features)])


def _calibrated(scores: npt.NDArray[np.float64], labels: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Softmax of the scores at the one temperature under which the labels are likeliest."""

    def softmax(sharpness: float) -> npt.NDArray[np.float64]:
        powers = np.exp(sharpness * (scores - scores.max(axis=1, keepdims=True)))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True), dtype=np.float64)

    rows = np.arange(len(labels))
    candidates = np.geomspace(0.5, 50.0, 60)
    loss = [-np.log(np.maximum(softmax(float(k))[rows, labels], 1e-12)).mean() for k in candidates]
    return softmax(float(candidates[int(np.argmin(loss))]))


def _import(module: str, package: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingDependencyError.for_extra(package, "audit") from error
