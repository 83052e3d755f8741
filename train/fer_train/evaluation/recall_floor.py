"""Biases of single classes, so that none is found too rarely: what ``fer-train calibrate --least-recall`` fits.

A constant added to the logits of one class moves the threshold of that class alone, as a change of its prior would
(Saerens et al. 2002, "Adjusting the outputs of a classifier to new a priori probabilities"; Menon et al. 2021,
"Long-tail learning via logit adjustment", arXiv:2007.07314). A class that is often taken for another one is then found
more often, and the others less.
"""

from __future__ import annotations

import dataclasses
from typing import Final

import numpy as np

from fer_edge.errors import CheckFailedError
from fer_edge.labels import EMOTIONS
from fer_train.evaluation.evaluate import Evaluation
from fer_train.evaluation.temperature import shift

__all__ = ["LARGEST_BIAS", "fit_biases"]

_STEP: Final[float] = 0.01
"""Biases are multiples of it: a hundredth changes the odds by one percent."""
LARGEST_BIAS: Final[float] = 2.0
"""A class that needs more (odds times 7.4) was not learned."""


def fit_biases(evaluation: Evaluation, least: float) -> tuple[float, ...]:
    """The small biases with which every class has at least a given recall.

    The class with the lowest recall gets one step more until none lies below.

    Args:
        evaluation: after temperature scaling.
        least: the recall that each class with images must have, 0 to 1.

    Returns:
        What to add to the logits of each class, all 0 where nothing is missing.

    Raises:
        CheckFailedError: a class does not come so far at :data:`LARGEST_BIAS`.
    """
    steps = np.zeros(len(EMOTIONS), dtype=np.int64)
    while True:
        shifted = dataclasses.replace(evaluation, probabilities=shift(evaluation.probabilities, _STEP * steps))
        found = list(shifted.recall.values())
        worst = int(np.nanargmin(found))
        if found[worst] >= least:
            return tuple(round(_STEP * int(count), 2) for count in steps)
        if steps[worst] * _STEP >= LARGEST_BIAS:
            raise CheckFailedError(
                f"{EMOTIONS[worst]} is found in {found[worst]:.1%} of its images even with a bias of {LARGEST_BIAS:g}, "
                f"{least:.1%} wanted; ask for less with --least-recall, or train on more images of that class"
            )
        steps[worst] += 1
