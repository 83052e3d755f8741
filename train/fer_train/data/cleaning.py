"""What "clean" means in this toolkit, once: which train images are left out. Evaluation splits always stay whole."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fer_edge.labels import EMOTIONS, NUM_EMOTIONS
from fer_train.data.dataset import Dataset
from fer_train.data.duplicates import group_duplicates
from fer_train.data.memory_map import one_by_one

__all__ = ["CleanReport", "clean_groups", "clean_train", "conflicting_mask"]


@dataclass(frozen=True)
class CleanReport:
    """How many train images were removed and why; an image counts under the first reason that holds."""

    n_train: int
    """Train images before."""
    n_kept: int
    """Train images that stay."""
    in_evaluation: int
    """Train images with an exact duplicate in an evaluation split."""
    conflicting: int
    """Train images with duplicates in train under other labels: all are removed, nobody knows which is right."""
    extra_copies: int
    """Further exact duplicates of a train image, with the same label: one stays."""
    kept_per_class: dict[str, int]
    """Of those that stay, by class."""

    @property
    def n_removed(self) -> int:
        """Number of images removed in all."""
        return self.n_train - self.n_kept

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values.

        Returns:
            The fields by name.
        """
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"kept {self.n_kept} of {self.n_train} train images; removed {self.in_evaluation} that also appear in an "
            f"evaluation split, {self.conflicting} with conflicting labels, {self.extra_copies} extra duplicates"
        )


def clean_train(dataset: Dataset) -> tuple[npt.NDArray[np.int64], CleanReport]:
    """What "clean" keeps of the train split.

    Removed are: every train image that has an exact duplicate (equal pixels) in an evaluation split of ``dataset``;
    all duplicates in train that carry different labels; of other exact duplicates all but the first.

    Args:
        dataset: with a train split.

    Returns:
        ``(kept, report)``: ``(K,)`` int64 indices of the train images to keep, ascending, and what was removed.

    Raises:
        DataError: there is no train split.
    """
    train = dataset.split("train")
    others = [split for name, split in dataset.splits.items() if name != "train"]
    groups, *other_groups = group_duplicates(*(one_by_one(split.images) for split in (train, *others)))
    evaluated = np.concatenate(other_groups) if other_groups else np.empty(0, dtype=np.int64)
    return clean_groups(groups, train.labels, evaluated)


def clean_groups(
    groups: npt.NDArray[np.int64], labels: npt.NDArray[np.int64], evaluated: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], CleanReport]:
    """The rule of :func:`clean_train` on group numbers.

    Images are exact duplicates of each other iff their group numbers are equal.

    Args:
        groups: ``(N,)`` group number of each train image.
        labels: ``(N,)`` class of each image, 0..6 in the order of :data:`fer_edge.labels.EMOTIONS`.
        evaluated: ``(M,)`` group numbers of the images of all other splits.

    Returns:
        ``(kept, report)`` as of :func:`clean_train`.
    """
    leaked = np.isin(groups, evaluated)
    conflicting = conflicting_mask(groups, labels)
    first = np.zeros(len(groups), dtype=bool)
    first[np.unique(groups, return_index=True)[1]] = True
    kept = np.flatnonzero(first & ~leaked & ~conflicting).astype(np.int64)
    per_class = np.bincount(labels[kept], minlength=NUM_EMOTIONS)
    report = CleanReport(
        n_train=len(groups),
        n_kept=len(kept),
        in_evaluation=int(leaked.sum()),
        conflicting=int((conflicting & ~leaked).sum()),
        extra_copies=int((~first & ~leaked & ~conflicting).sum()),
        kept_per_class={name: int(count) for name, count in zip(EMOTIONS, per_class, strict=True)},
    )
    return kept, report


def conflicting_mask(groups: npt.NDArray[np.int64], labels: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which images belong to a group of duplicates that do not all carry the same label.

    Args:
        groups: ``(N,)`` group number of each image, from 0.
        labels: ``(N,)`` class of each image, 0..6 in the order of :data:`fer_edge.labels.EMOTIONS`.

    Returns:
        ``(N,)`` mask.
    """
    if len(groups) == 0:
        return np.zeros(0, dtype=bool)
    n = int(groups.max()) + 1
    lowest = np.full(n, NUM_EMOTIONS, dtype=np.int64)
    highest = np.full(n, -1, dtype=np.int64)
    np.minimum.at(lowest, groups, labels)
    np.maximum.at(highest, groups, labels)
    mask: npt.NDArray[np.bool_] = (lowest != highest)[groups]
    return mask
