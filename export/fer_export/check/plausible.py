"""Has the network learned the seven emotions, and are its inputs and outputs read as it was trained?

A gate that only compares exported files with the float model passes a network that knows nothing, or that is fed in a
range it was not trained on: all files agree. So the float model itself is judged, and where it fails the likely cause
is looked for: another input range, another order of classes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from fer_edge.arrays import FloatArray
from fer_edge.labels import EMOTIONS, NUM_EMOTIONS
from fer_export.convert.class_order import ORDERS, OWN_ORDER
from fer_train.evaluation.evaluate import Evaluation
from fer_train.evaluation.paired_interval import Z_95, Interval, paired_drop

__all__ = [
    "DULL_SPREAD",
    "LIVELY_SPREAD",
    "MIN_GAIN_POINTS",
    "MIN_SPREAD",
    "ONE_CLASS_SHARE",
    "Reading",
    "best_order",
    "better_reading",
    "chance_accuracy",
    "ignores_its_input",
    "knows_nothing",
    "range_that_wakes",
]

ONE_CLASS_SHARE: Final[float] = 0.95
"""Above this share of all answers for one class a network is called stuck, unless the labels are as uneven."""
MIN_SPREAD: Final[float] = 1e-3
"""On faces without labels: below this standard deviation of every probability the network ignores its input."""
MIN_GAIN_POINTS: Final[float] = 10.0
"""Another reading of inputs or outputs must be better by this many points, beyond chance, to be proposed."""


DULL_SPREAD: Final[float] = 0.02
"""Below this standard deviation of every probability over different faces a network hardly looks at them ..."""
LIVELY_SPREAD: Final[float] = 0.1
"""... and above this one, with another input range, it clearly does."""


@dataclass(frozen=True)
class Reading:
    """One way to feed a network and to read its outputs, and how well the labels fit then."""

    input_range: str
    """Key of :data:`fer_export.convert.keras_model.INPUT_RANGES`."""
    order: tuple[int, ...]
    """``order[i]`` is the emotion (0..6, our order) that output ``i`` stands for."""
    accuracy: float
    """Fraction of the sample decided as labelled."""
    gain: Interval
    """Accuracy above the reading that was asked for, in points."""

    @property
    def is_clearly_better(self) -> bool:
        """Whether it beats the reading that was asked for by :data:`MIN_GAIN_POINTS` and by more than luck."""
        return self.gain.value >= MIN_GAIN_POINTS and self.gain.low > 0.0


def chance_accuracy(evaluation: Evaluation) -> float:
    """Accuracy expected of answers that have the same frequencies but nothing to do with the images (Cohen 1960).

    Never less than 1/7: whoever answers rare classes most of the time is beaten by a die.

    Args:
        evaluation: on labelled images.

    Returns:
        A fraction.
    """
    answers = np.bincount(evaluation.decisions, minlength=NUM_EMOTIONS) / evaluation.n_images
    labels = np.bincount(evaluation.labels, minlength=NUM_EMOTIONS) / evaluation.n_images
    return max(float(answers @ labels), 1.0 / NUM_EMOTIONS)


def knows_nothing(evaluation: Evaluation) -> str | None:
    """Why a labelled evaluation is no better than chance.

    Args:
        evaluation: on labelled images.

    Returns:
        One line; None when it is better.
    """
    n = evaluation.n_images
    counts = np.bincount(evaluation.decisions, minlength=NUM_EMOTIONS)
    share, labelled = counts.max() / n, np.bincount(evaluation.labels, minlength=NUM_EMOTIONS).max() / n
    if share >= ONE_CLASS_SHARE > labelled:
        return f"it answers {EMOTIONS[int(counts.argmax())]} for {share:.0%} of the images"
    chance = chance_accuracy(evaluation)
    margin = Z_95 * float(np.sqrt(max(chance * (1.0 - chance), 1e-12) / n))
    if evaluation.accuracy <= chance + margin:
        return f"{evaluation.accuracy:.1%} of {n} images is no better than chance ({chance:.1%})"
    return None


def ignores_its_input(probabilities: FloatArray) -> bool:
    """Whether the answers to different faces are all the same, which needs no labels to be wrong.

    Args:
        probabilities: ``(N, 7)`` float32.

    Returns:
        True when they are.
    """
    return len(probabilities) > 1 and float(probabilities.std(axis=0).max()) < MIN_SPREAD


def range_that_wakes(probabilities: Mapping[str, npt.NDArray[np.float32]], chosen: str) -> str | None:
    """The input range with which a network looks at faces that it ignores as asked, which needs no labels to be seen.

    Args:
        probabilities: ``(N, 7)`` of the same different faces for each input range.
        chosen: the range that was asked for.

    Returns:
        The range with the largest spread of probabilities; None where the network looks at the faces as asked, gives
        more than one answer, or looks at them with no range.
    """
    spread = {name: float(rows.std(axis=0).max()) for name, rows in probabilities.items()}
    answers = np.bincount(probabilities[chosen].argmax(axis=1), minlength=NUM_EMOTIONS)
    stuck = answers.max() >= ONE_CLASS_SHARE * answers.sum() and spread[chosen] < DULL_SPREAD
    best = max(spread, key=lambda name: spread[name])
    return best if stuck and spread[best] >= LIVELY_SPREAD else None


def best_order(
    probabilities: FloatArray, labels: npt.NDArray[np.int64], asked: tuple[int, ...] = ORDERS[OWN_ORDER]
) -> tuple[tuple[int, ...], npt.NDArray[np.bool_]]:
    """The order of classes under which most answers are right.

    All 5,040 orders are counted from the confusion of outputs and labels. A known order (:data:`ORDERS`) wins over an
    unknown one that is not better by more than two points: seven classes leave room for coincidences.

    Args:
        probabilities: ``(N, 7)`` float32.
        labels: ``(N,)`` int64, 0..6.
        asked: the order that the outputs were read in to get ``probabilities``.

    Returns:
        The emotion (0..6) that each column stands for, and which answers are right then, ``(N,)`` bool.
    """
    decided = probabilities.argmax(axis=1)
    counts = np.zeros((NUM_EMOTIONS, NUM_EMOTIONS), np.int64)
    np.add.at(counts, (decided, labels), 1)
    every = np.array(list(itertools.permutations(range(NUM_EMOTIONS))))
    sums = counts[np.arange(NUM_EMOTIONS), every].sum(axis=1)
    order = tuple(int(i) for i in every[int(sums.argmax())])
    # Output k became column asked[k]; where it stands for emotion o[k], so does that column.
    columns = [tuple(o[asked.index(column)] for column in range(NUM_EMOTIONS)) for o in ORDERS.values()]
    known = max(columns, key=lambda o: int(counts[np.arange(NUM_EMOTIONS), list(o)].sum()))
    if counts[np.arange(NUM_EMOTIONS), list(known)].sum() >= sums.max() - 0.02 * len(labels):
        order = known
    return order, np.asarray(order)[decided] == labels


def better_reading(
    predict: Callable[[str], FloatArray],
    labels: npt.NDArray[np.int64],
    chosen: str,
    ranges: Mapping[str, object],
    asked: tuple[int, ...] = ORDERS[OWN_ORDER],
) -> Reading | None:
    """The input range and class order that fit labelled faces best, when clearly better than what was asked for.

    Args:
        predict: gives ``(N, 7)`` probabilities of the same faces with the input range of that name, outputs in the
            order that was asked for.
        labels: ``(N,)``, 0..6.
        chosen: the input range that was asked for.
        ranges: names of all input ranges.
        asked: the order of classes that was asked for.

    Returns:
        The best reading that is clearly better and itself better than chance, or None.
    """
    as_asked = predict(chosen).argmax(axis=1) == labels
    identity = tuple(range(NUM_EMOTIONS))
    readings: list[Reading] = []
    for name in ranges:
        probabilities = predict(name)
        plain = probabilities.argmax(axis=1) == labels
        for order, right in ((identity, plain), best_order(probabilities, labels, asked)):
            outputs = tuple(order[column] for column in asked)
            readings.append(Reading(name, outputs, float(right.mean()), paired_drop(right, as_asked)))
    # The fewer changes the better: a reading must beat a simpler one by two points.
    readings.sort(key=lambda r: (r.input_range != chosen) + (r.order != asked))
    best = readings[0]
    for reading in readings[1:]:
        if reading.accuracy > best.accuracy + 0.02:
            best = reading
    if not best.is_clearly_better or best.accuracy <= 1.0 / NUM_EMOTIONS + 0.05:
        return None
    return best
