"""Disturbed faces in training and, always the same ones, in its validation.

The formulas are those of the benchmark (:mod:`fer_train.disturbances`), but never the kinds that it holds out of
training. They are computed on the images of the data set, before these are enlarged to the network's input, in the
threads that prepare batches. Kinds, strengths and random numbers follow from the seed, the epoch and the batch's number
alone: a resumed run sees the same faces.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fer_edge.arrays import Image
from fer_edge.preprocess import DETAIL_SIDE, resize_gray
from fer_train.arrays import Labels
from fer_train.disturbances import FOR_TRAINING, HELD_OUT, KINDS, STRENGTHS, disturb, generator
from fer_train.inputs.training_data import TrainingData
from fer_train.runs.recipe import Recipe

__all__ = ["DisturbedFaces", "Disturbing", "disturbed_validation"]

_SEED = 0
"""Of the validation's random numbers, whatever the run's seed is, so that runs can be compared."""


@dataclass(frozen=True)
class Disturbing:
    """Which faces of a batch are disturbed, how, and whether the clean ones are given, too."""

    probability: float = 0.0
    """Of each face, 0 to 1; 0 is off."""
    weakest: float = 1.0
    """Strengths are drawn evenly from here."""
    strongest: float = 3.0
    """The greatest strength."""
    kinds: tuple[str, ...] = FOR_TRAINING
    """Each face gets one of these."""
    with_clean: bool = False
    """Whether every face comes twice: as it may have been disturbed, and as it was."""

    def __bool__(self) -> bool:
        return self.probability > 0

    @classmethod
    def of(cls, recipe: Recipe, *, with_clean: bool) -> Disturbing:
        """What a recipe says.

        Args:
            recipe: the recipe of the run.
            with_clean: whether a teacher or the loss asks for the clean face.

        Returns:
            The parameters.
        """
        kinds = recipe.disturb_kinds or FOR_TRAINING
        return cls(recipe.disturb, recipe.disturb_weakest, recipe.disturb_strongest, kinds, with_clean)

    def faces(self, images: Sequence[Image], size: int, rng: np.random.Generator) -> Image:
        """Faces of a batch, disturbed as chance has it.

        Args:
            images: B grey images ``(H, W)`` uint8.
            size: S, side of the network's input in pixels.
            rng: where all chance comes from.

        Returns:
            ``(B, S, S)`` uint8; with clean ones ``(B, 2, S, S)``, first what the student sees, then the clean face.
        """
        count = len(images)
        chosen = rng.random(count) < self.probability
        kinds = rng.integers(0, len(self.kinds), count)
        strengths = rng.uniform(self.weakest, self.strongest, count)
        seen = [
            resize_gray(disturb(_small(image), KINDS[self.kinds[kind]], float(strength), rng) if on else image, size)
            for image, on, kind, strength in zip(images, chosen, kinds, strengths, strict=True)
        ]
        if not self.with_clean:
            return np.stack(seen)
        clean = [resize_gray(image, size) if on else face for image, on, face in zip(images, chosen, seen, strict=True)]
        return np.stack([np.stack(seen), np.stack(clean)], axis=1)


@dataclass(frozen=True)
class DisturbedFaces:
    """Some faces of the validation split, each disturbed in one way: every kind and strength in turn."""

    trained: Image
    """``(n, S, S)`` uint8, by kinds that training may use."""
    held_out: Image
    """``(n, S, S)`` uint8, by kinds that training never uses."""
    labels: Labels
    """``(n,)`` class of each face, of both."""


def disturbed_validation(recipe: Recipe, data: TrainingData) -> DisturbedFaces | None:
    """The faces that tell after each epoch what training on disturbed faces came to.

    Args:
        recipe: the recipe of the run.
        data: of which the validation split is taken.

    Returns:
        Faces that depend on the split and their number alone; None where training does not disturb.
    """
    if not recipe.disturb:
        return None
    count = len(data.validation_labels)
    rows = np.unique(np.linspace(0, count - 1, min(count, recipe.disturbed_images)).astype(np.int64))
    images = [_small(data.validation_images[row]) for row in rows]
    trained, held_out = (_in_turn(images, rows, kinds) for kinds in (FOR_TRAINING, HELD_OUT))
    return DisturbedFaces(trained, held_out, data.validation_labels[rows])


def _in_turn(images: Sequence[Image], rows: npt.NDArray[np.int64], kinds: Sequence[str]) -> Image:
    cases = [(kind, strength) for strength in STRENGTHS for kind in kinds]
    faces = []
    for place, (image, row) in enumerate(zip(images, rows, strict=True)):
        kind, strength = cases[place % len(cases)]
        rng = generator(seed=_SEED, kind=kind, strength=strength, index=int(row))
        faces.append(disturb(image, KINDS[kind], strength, rng))
    return np.stack(faces)


def _small(image: Image) -> Image:
    """An image of the size that the disturbances are for, where it is larger."""
    return resize_gray(image, DETAIL_SIDE) if min(image.shape) > DETAIL_SIDE else image
