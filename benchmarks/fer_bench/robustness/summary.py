"""From the decisions of models over disturbed faces to figures with intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from fer_bench.intervals import wilson_interval
from fer_bench.robustness.schema import Answer, Difference, Mean, MeanDifference, ModelEntry, PairEntry
from fer_train.disturbances import HELD_OUT
from fer_train.evaluation.evaluate import Evaluation
from fer_train.evaluation.paired_interval import Z_95, paired_drop

__all__ = ["CLEAN", "Case", "Judged", "model_entry", "pair_entry"]

CLEAN = "clean"
_M = TypeVar("_M", Mean, MeanDifference)


@dataclass(frozen=True)
class Case:
    """A way of disturbing all images."""

    kind: str = CLEAN
    """Name of a disturbance; :data:`CLEAN` for none."""
    strength: int = 0
    """1, 2 or 3; 0 for none."""


@dataclass(frozen=True)
class Judged:
    """A model's evaluations: of the clean faces first, then one per case."""

    name: str
    """As it was asked for."""
    sha256: str | None
    """Of the file; None for a model that is not one file."""
    runtime: str
    """What computes it, with its version."""
    cases: Sequence[Case]
    """The clean one first."""
    evaluations: Sequence[Evaluation]
    """One per case, of the same images in the same order."""
    has_probabilities: bool = True
    """Whether the probabilities mean anything; otherwise they are 1 for the class decided."""

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        """``(cases, N)``: which answers are right."""
        return np.stack([evaluation.decisions == evaluation.labels for evaluation in self.evaluations])


def model_entry(judged: Judged) -> ModelEntry:
    """The figures of one model.

    Args:
        judged: its evaluations.

    Returns:
        Accuracy and calibration error of every case, and their means.
    """
    answers = [_answer(judged, place) for place in range(len(judged.cases))]
    clean, disturbed = answers[0], answers[1:]
    right = judged.right

    def mean(places: Sequence[int]) -> Mean:
        accuracy, interval = _mean_over_images(right[list(places)].mean(axis=0))
        errors = [answers[place].expected_calibration_error for place in places]
        return Mean(
            accuracy=accuracy,
            accuracy_ci95=[max(0.0, interval[0]), min(1.0, interval[1])],
            relative_to_clean=accuracy / clean.accuracy if clean.accuracy else 0.0,
            expected_calibration_error=float(np.mean([error for error in errors if error is not None]))
            if judged.has_probabilities
            else None,
        )

    return ModelEntry(
        name=judged.name,
        sha256=judged.sha256,
        runtime=judged.runtime,
        clean=clean,
        answers=disturbed,
        worst=min(disturbed, key=lambda answer: answer.accuracy),
        **_means(judged.cases, mean),
    )


def pair_entry(first: Judged, second: Judged) -> PairEntry:
    """What the second model does better or worse than the first, on the same images.

    Args:
        first: the reference.
        second: with the same cases and images.

    Returns:
        Differences with paired intervals, and agreement.
    """
    right_first, right_second = first.right, second.right
    alike = np.stack([a.decisions == b.decisions for a, b in zip(first.evaluations, second.evaluations, strict=True)])
    differences = []
    for place, case in enumerate(first.cases):
        drop = paired_drop(right_second[place], right_first[place])  # of the first against the second
        differences.append(
            Difference(case.kind, case.strength, drop.value, [drop.low, drop.high], float(alike[place].mean()))
        )

    def mean(places: Sequence[int]) -> MeanDifference:
        change = right_second[list(places)].mean(axis=0) - right_first[list(places)].mean(axis=0)
        points, interval = _mean_over_images(100.0 * change)
        return MeanDifference(points, interval, float(alike[list(places)].mean()))

    return PairEntry(
        first=first.name,
        second=second.name,
        clean=differences[0],
        differences=differences[1:],
        **_means(first.cases, mean),
    )


def _answer(judged: Judged, place: int) -> Answer:
    case, evaluation = judged.cases[place], judged.evaluations[place]
    right = int(np.count_nonzero(evaluation.decisions == evaluation.labels))
    return Answer(
        kind=case.kind,
        strength=case.strength,
        n_right=right,
        accuracy=right / evaluation.n_images,
        accuracy_ci95=list(wilson_interval(right, evaluation.n_images)),
        expected_calibration_error=evaluation.ece if judged.has_probabilities else None,
    )


def _means(cases: Sequence[Case], mean: Callable[[Sequence[int]], _M]) -> dict[str, Any]:
    """The means over all kinds, over those held out of training, and over the others."""
    disturbed = range(1, len(cases))
    held_out = [place for place in disturbed if cases[place].kind in HELD_OUT]
    others = [place for place in disturbed if cases[place].kind not in HELD_OUT]
    return {
        "mean": mean(disturbed),
        "mean_held_out": mean(held_out) if held_out else None,
        "mean_others": mean(others) if others else None,
    }


def _mean_over_images(values: npt.NDArray[np.float64]) -> tuple[float, list[float]]:
    """Mean of one value per image, and its 95 % interval: the disturbed versions of an image are not independent."""
    mean = float(values.mean())
    half = Z_95 * float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return mean, [mean - half, mean + half]
