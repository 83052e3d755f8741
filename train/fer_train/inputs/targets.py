"""What the network is asked to answer for each training image, and how much each image counts."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fer_edge.arrays import FloatArray
from fer_edge.labels import NUM_EMOTIONS

__all__ = ["blend", "class_weights", "hard_targets"]


def hard_targets(labels: npt.NDArray[np.int64], smoothing: float) -> FloatArray:
    """One-hot targets with label smoothing (Szegedy et al. 2016, equation 8): ``(1 - s) * onehot + s / 7``.

    Args:
        labels: ``(N,)`` class of each image, 0..6 in the order of :data:`fer_edge.labels.EMOTIONS`.
        smoothing: share of the target that is spread over all classes, 0 to 1.

    Returns:
        ``(N, 7)`` float32.
    """
    onehot = np.eye(NUM_EMOTIONS, dtype=np.float32)[labels]
    return np.asarray((1.0 - smoothing) * onehot + smoothing / NUM_EMOTIONS, dtype=np.float32)


def blend(targets: FloatArray, other: FloatArray, weight: float, known: npt.NDArray[np.bool_]) -> FloatArray:
    """``(1 - weight) * targets + weight * other`` in the rows that are known.

    Args:
        targets: ``(N, 7)`` float32.
        other: ``(N, 7)`` float32.
        weight: share of the other, 0 to 1.
        known: ``(N,)`` bool, the rows that are blended.

    Returns:
        ``(N, 7)`` float32.
    """
    mixed = (1.0 - weight) * targets + weight * other
    return np.where(known[:, None], mixed, targets).astype(np.float32)


def class_weights(labels: npt.NDArray[np.int64], power: float) -> FloatArray:
    """Weight of each image: inverse class frequency to a power.

    Args:
        labels: ``(N,)`` class of each image, 0..6 in the order of :data:`fer_edge.labels.EMOTIONS`.
        power: 0 no weighting, 1 balanced.

    Returns:
        ``(N,)`` float32, mean 1.
    """
    counts = np.maximum(np.bincount(labels, minlength=NUM_EMOTIONS), 1)
    weights = (len(labels) / (NUM_EMOTIONS * counts.astype(np.float64))) ** power
    of_images = weights[labels]
    return np.asarray(of_images / of_images.mean(), dtype=np.float32)
