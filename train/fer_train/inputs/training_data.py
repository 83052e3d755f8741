"""All that a training reads: images, labels and what teachers say of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fer_edge.arrays import FloatArray
from fer_train.data.dataset import Dataset
from fer_train.inputs.targets import blend, class_weights, hard_targets
from fer_train.logs import LOG
from fer_train.runs.recipe import Recipe

__all__ = ["TrainingData", "prepare_data", "share_of_each_class"]


@dataclass(frozen=True)
class TrainingData:
    """Images and targets to learn from, and the validation split to choose by."""

    images: npt.NDArray[np.uint8]
    """``(N, H, H)`` grey."""
    labels: npt.NDArray[np.int64]
    """``(N,)``, 0..6."""
    targets: FloatArray
    """``(N, 7)``, rows sum to 1."""
    weights: FloatArray
    """``(N,)``, mean 1."""
    validation_images: npt.NDArray[np.uint8]
    """``(M, H, H)`` grey."""
    validation_labels: npt.NDArray[np.int64]
    """``(M,)``, 0..6."""


def prepare_data(recipe: Recipe, dataset: Dataset) -> TrainingData:
    """What the recipe makes of a data set: cleaned, smoothed, with crowd labels and teachers.

    Args:
        recipe: the recipe of the run.
        dataset: the data set.

    Returns:
        Images, targets and weights.

    Raises:
        DataError: there is no train or no validation split, or votes do not fit.
        ModelError: a teacher cannot be used.
    """
    train, validation = dataset.split("train"), dataset.split("validation")
    images, labels, names = train.images, train.labels, train.names
    if recipe.clean:
        from fer_train.data.cleaning import clean_train

        kept, _ = clean_train(dataset)
        images, labels, names = images[kept], labels[kept], tuple(names[i] for i in kept)
        LOG.info(f"clean: {len(kept)} of {len(train)} train images kept")
    if recipe.train_images:
        kept = share_of_each_class(labels, recipe.train_images)
        images, labels, names = images[kept], labels[kept], tuple(names[i] for i in kept)
    targets = hard_targets(labels, recipe.label_smoothing)
    if recipe.soft_labels:
        votes, known = _crowd_labels(recipe, names, labels)
        targets = blend(targets, votes, recipe.soft_label_weight, known)
    if recipe.stored_teachers:
        from fer_train.inputs.stored_teachers import ensemble_targets

        paths = recipe.stored_teachers
        soft, known = ensemble_targets(paths, images, recipe.teacher_temperature)
        targets = blend(targets, soft, recipe.teacher_weight, known)
        LOG.info(
            f"{len(paths)} teacher{'s' * (len(paths) > 1)} for {int(known.sum())} of {len(labels)} "
            f"images, weight {recipe.teacher_weight}"
        )
    return TrainingData(
        images, labels, targets, class_weights(labels, recipe.class_weighting), validation.images, validation.labels
    )


def _crowd_labels(
    recipe: Recipe, names: tuple[str, ...], labels: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    from fer_train.data.crowd_votes import load_votes
    from fer_train.data.vote_translation import log_loss, translated_votes

    path = Path(str(recipe.soft_labels))
    votes, known = translated_votes(path, names, labels) if recipe.translate_votes else load_votes(path, names)
    LOG.info(
        f"crowd labels{' (translated)' * recipe.translate_votes} for {int(known.sum())} of {len(labels)} images, "
        f"weight {recipe.soft_label_weight}; log-loss of the labels under them "
        f"{log_loss(votes[known], labels[known]):.3f}"
    )
    return votes, known


def share_of_each_class(labels: npt.NDArray[np.int64], most: int) -> npt.NDArray[np.int64]:
    """A part of the images, every class by its share and with at least one image.

    Args:
        labels: ``(N,)`` class of each image, 0..6 in the order of :data:`fer_edge.labels.EMOTIONS`.
        most: about how many images.

    Returns:
        Indices, ascending, always the same ones.
    """
    rng = np.random.default_rng(0)
    parts = []
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        count = max(1, round(len(rows) * most / len(labels)))
        parts.append(rng.permutation(rows)[:count])
    return np.sort(np.concatenate(parts))
