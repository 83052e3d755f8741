"""Likely label errors by confident learning (Northcutt et al. 2021): cleanlab on out-of-fold predictions.

The predictions come from a small classifier of its own: gradient histograms, random Fourier features (Rahimi and Recht
2007), ridge regression. So no trained network is needed, and none is flattered by having seen an image: duplicates and
near-duplicates of an image are always in the same fold.

All parts are those of scikit-learn and SciPy, but for the sums of ridge regression: its 4,000 features per image are
made and summed up block by block, because scikit-learn's ``Ridge`` wants all of them in memory, 16 kB per image.
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
from fer_train.on_progress import OnProgress

FOLDS: Final[int] = 5
_SIDE: Final[int] = 48
_COMPONENTS: Final[int] = 256
_FEATURES: Final[int] = 4000
_WIDTH: Final[float] = 0.3
"""Inverse width of the Gaussian kernel, in units of the features' total variance; chosen on FER-2013's PublicTest."""
_RIDGE: Final[float] = 0.3
_BLOCK: Final[int] = 2048


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
    splits: Sequence[Split], groups: npt.NDArray[np.int64], on_progress: OnProgress | None = None
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
    ranked = issues.find_label_issues(labels, probabilities, return_indices_ranked_by="normalized_margin", n_jobs=1)
    suspects = np.asarray(ranked, dtype=np.int64)
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
    on_progress: OnProgress | None = None,
) -> npt.NDArray[np.float64]:
    """``(N, 7)`` probabilities of each image by a classifier that has seen neither it nor anything in its group."""
    folds = _import("sklearn.model_selection", "scikit-learn").StratifiedGroupKFold(
        FOLDS, shuffle=True, random_state=seed
    )
    decomposition = _import("sklearn.decomposition", "scikit-learn")
    # Labels play no part in the components, so they may be learned on all images at once.
    components = min(_COMPONENTS, *features.shape)
    features = decomposition.PCA(components, random_state=seed).fit_transform(features).astype(np.float32)
    scores = np.zeros((len(labels), NUM_EMOTIONS))
    for done, (train, held_out) in enumerate(folds.split(features, labels, groups)):
        scores[held_out] = _KernelRidge(features[train], labels[train], seed).scores(features[held_out])
        if on_progress:
            on_progress(done + 1, FOLDS)
    return _calibrated(scores, labels)


class _KernelRidge:
    """Least squares on one-hot labels over random Fourier features."""

    def __init__(self, features: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], seed: int) -> None:
        approximation = _import("sklearn.kernel_approximation", "scikit-learn")
        width = min(_FEATURES, 4 * len(features))  # more would only cost time
        gamma = _WIDTH / max(float(features.var(axis=0).sum()), 1e-12)
        self._sampler = approximation.RBFSampler(gamma=gamma, n_components=width, random_state=seed).fit(features)
        gram = np.zeros((width, width), dtype=np.float32)
        right = np.zeros((width, NUM_EMOTIONS), dtype=np.float32)
        targets = np.eye(NUM_EMOTIONS, dtype=np.float32)[labels]
        self._prior = targets.mean(axis=0)
        for part, mapped in self._mapped(features):
            gram += mapped.T @ mapped
            right += mapped.T @ (targets[part] - self._prior)
        gram[np.diag_indices(width)] += _RIDGE
        self._weights = _import("scipy.linalg", "scipy").solve(gram, right, assume_a="pos", overwrite_a=True)

    def _mapped(self, features: npt.NDArray[np.float32]) -> Iterator[tuple[slice, npt.NDArray[np.float32]]]:
        for start in range(0, len(features), _BLOCK):
            part = slice(start, start + _BLOCK)
            yield part, np.asarray(self._sampler.transform(features[part]), dtype=np.float32)

    def scores(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """``(N, 7)``, about 1 for the right class and 0 for the others."""
        return np.concatenate([mapped @ self._weights + self._prior for _, mapped in self._mapped(features)])


def _calibrated(scores: npt.NDArray[np.float64], labels: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Softmax of the scores at the one temperature under which the labels are likeliest."""
    special, optimize = _import("scipy.special", "scipy"), _import("scipy.optimize", "scipy")
    rows = np.arange(len(labels))

    def loss(sharpness: float) -> float:
        return -float(special.log_softmax(np.exp(sharpness) * scores, axis=1)[rows, labels].mean())

    best = optimize.minimize_scalar(loss, bounds=np.log([0.5, 50.0]), method="bounded")
    return np.asarray(special.softmax(np.exp(best.x) * scores, axis=1), dtype=np.float64)


def _import(module: str, package: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingDependencyError.for_extra(package, "audit") from error
