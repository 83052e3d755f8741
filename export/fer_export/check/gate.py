"""May these models be written? Paired comparison with the float model, limits, and every failure at once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fer_edge.labels import EMOTIONS
from fer_train.evaluation.evaluate import Evaluation
from fer_train.evaluation.paired_interval import Interval, paired_drop
from fer_train.training.outlook import MAX_DROP, MAX_RECALL_LOSS, MIN_AGREEMENT

__all__ = [
    "MAX_HALF_WIDTH",
    "Comparison",
    "Limits",
    "Verdict",
    "accepting_options",
    "check_quantized",
    "check_same_network",
    "merge",
]

MAX_HALF_WIDTH: Final[float] = 1.0
"""Points; a 95 % interval of the drop that is wider to either side is called too few images."""


@dataclass(frozen=True)
class Comparison:
    """Two models over the same images: what the other loses against the reference."""

    reference: Evaluation
    """What the other is compared with, usually the float model."""
    other: Evaluation
    """The model that is judged, on the same images."""

    @property
    def agreement(self) -> float:
        """Fraction of images decided alike, in [0, 1]."""
        return self.reference.agreement(self.other)

    @property
    def drop(self) -> Interval:
        """Accuracy lost, in points, with its paired 95 % interval."""
        return paired_drop(self._right(self.reference), self._right(self.other))

    @property
    def recall_loss(self) -> dict[str, Interval]:
        """Recall lost per class that has images, in points, with its paired 95 % interval."""
        right, other = self._right(self.reference), self._right(self.other)
        losses = {}
        for i, name in enumerate(EMOTIONS):
            mask = self.reference.labels == i
            if mask.any():
                losses[name] = paired_drop(right[mask], other[mask])
        return losses

    @property
    def largest_recall_loss(self) -> tuple[str, Interval]:
        """The class that loses most, and how much."""
        return max(self.recall_loss.items(), key=lambda item: item[1].value)

    @property
    def mean_probability_difference(self) -> float:
        """Mean absolute difference of probabilities over images and classes."""
        return float(np.abs(self.reference.probabilities - self.other.probabilities).mean())

    @staticmethod
    def _right(evaluation: Evaluation) -> npt.NDArray[np.bool_]:
        return np.asarray(evaluation.decisions == evaluation.labels)

    def as_dict(self) -> dict[str, Any]:
        """The figures as plain JSON values; differences in percentage points.

        Returns:
            As the manifest holds them.
        """
        name, loss = self.largest_recall_loss
        return {
            "agreement": self.agreement,
            "drop_points": self.drop.value,
            "drop_interval_points": [self.drop.low, self.drop.high],
            "largest_recall_loss_points": {name: loss.value},
            "mean_probability_difference": self.mean_probability_difference,
        }


@dataclass(frozen=True)
class Limits:
    """What the gate demands. Points are percentage points, fractions lie in [0, 1]."""

    max_drop: float = MAX_DROP
    """Largest accuracy drop of a quantised model against the float model, in points."""
    min_agreement: float = MIN_AGREEMENT
    """Smallest fraction of labelled images that a quantised model decides like the float model. QAT goes on training,
    so a better network may decide many images otherwise: without ``strict_agreement`` this fails only models that are
    less accurate than float as well."""
    strict_agreement: bool = False
    """Whether too little agreement fails a model that is more accurate than float, too."""
    min_agreement_synthetic: float = 0.75
    """The same over synthetic faces, where no accuracy is to be had and networks are unsure."""
    min_agreement_arithmetic: float = 0.993
    """The same between XNNPACK and TFLite's reference kernels on labelled images; less is a remark."""
    max_recall_loss: float = MAX_RECALL_LOSS
    """Largest loss of one class's recall, in points; counts when it is more than chance (the interval excludes 0)."""
    max_drop_same: float = 0.2
    """Largest accuracy difference between two files that hold the same network, in points, either way."""
    min_agreement_same: float = 0.992
    """Smallest agreement of two files that hold the same network."""
    max_difference_same: float = 0.003
    """Largest mean absolute probability difference of two files that hold the same network."""


@dataclass(frozen=True)
class Verdict:
    """All failures and remarks of a gate, each a line."""

    failures: tuple[str, ...]
    """What forbids writing the files."""
    remarks: tuple[str, ...]
    """What is worth knowing all the same."""

    @property
    def passed(self) -> bool:
        """Whether nothing failed."""
        return not self.failures


def check_quantized(name: str, comparison: Comparison, limits: Limits, *, labelled: bool) -> Verdict:
    """Judge a quantised model against the float model.

    Args:
        name: of the file, for messages.
        comparison: with the float model.
        limits: what is demanded.
        labelled: False for faces without a true label, where only agreement counts.

    Returns:
        Failures and remarks.
    """
    failures, remarks = [], []
    floor = limits.min_agreement if labelled else limits.min_agreement_synthetic
    if not comparison.agreement >= floor:
        line = f"{name}: agrees with float on {comparison.agreement:.1%} of images, at least {floor:.0%} required"
        if labelled and not limits.strict_agreement and comparison.drop.value < 0.0:
            remarks.append(f"{line}; it is the more accurate one, so QAT has learned what float had not")
        else:
            failures.append(line)
    if labelled:
        drop = comparison.drop
        interval = f"95 % interval {drop.low:+.2f} to {drop.high:+.2f}"
        if not drop.value <= limits.max_drop:
            failures.append(
                f"{name}: accuracy drops by {drop.value:.2f} points ({interval}), at most {limits.max_drop:.2f} allowed"
            )
        if drop.half_width > MAX_HALF_WIDTH:
            remarks.append(
                f"{name}: too few images, the drop of {drop.value:.2f} points is known to "
                f"+-{drop.half_width:.1f} only ({comparison.other.n_images} images)"
            )
        for emotion, loss in comparison.recall_loss.items():
            if loss.value > limits.max_recall_loss and loss.low > 0.0:
                failures.append(
                    f"{name}: recall of {emotion} drops by {loss.value:.1f} points, "
                    f"at most {limits.max_recall_loss:.1f} allowed"
                )
    return Verdict(tuple(failures), tuple(remarks))


def check_same_network(name: str, comparison: Comparison, limits: Limits, *, labelled: bool) -> Verdict:
    """Judge a file against another that must hold the same network, such as INT8 ONNX against INT8 TFLite.

    Args:
        name: of the file, for messages.
        comparison: with the other file.
        limits: what is demanded.
        labelled: False for faces without a true label, where only agreement counts.

    Returns:
        Failures.
    """
    failures = []
    if not comparison.agreement >= limits.min_agreement_same:
        failures.append(
            f"{name}: agrees with its TFLite twin on {comparison.agreement:.2%} of images, "
            f"at least {limits.min_agreement_same:.1%} required"
        )
    if labelled and not abs(comparison.drop.value) <= limits.max_drop_same:
        failures.append(
            f"{name}: accuracy differs from its TFLite twin's by {abs(comparison.drop.value):.2f} points, "
            f"at most {limits.max_drop_same} allowed"
        )
    if not comparison.mean_probability_difference <= limits.max_difference_same:
        failures.append(
            f"{name}: probabilities differ from its TFLite twin's by {comparison.mean_probability_difference:.4f} "
            f"on average, at most {limits.max_difference_same} allowed"
        )
    return Verdict(tuple(failures), ())


def accepting_options(quantized: Sequence[Comparison], limits: Limits, *, labelled: bool) -> str:
    """The options of ``fer-export`` with which quantised models would pass, such as ``--max-drop 3.2``.

    Args:
        quantized: comparisons of the quantised models with the float model.
        limits: what was demanded.
        labelled: False for faces without a true label.

    Returns:
        The options; empty where no limit that has an option was missed.
    """
    verdicts = [check_quantized("", comparison, limits, labelled=labelled) for comparison in quantized]
    failures = " ".join(line for verdict in verdicts for line in verdict.failures)
    options = []
    if "accuracy drops" in failures:
        options.append(f"--max-drop {_rounded_up(max(comparison.drop.value for comparison in quantized))}")
    if "agrees with float" in failures:
        options.append(
            f"--min-agreement {math.floor(100 * min(comparison.agreement for comparison in quantized)) / 100}"
        )
    if "recall of" in failures:
        losses = [loss.value for comparison in quantized for loss in comparison.recall_loss.values() if loss.low > 0.0]
        options.append(f"--max-recall-loss {_rounded_up(max(losses))}")
    return " ".join(options)


def _rounded_up(points: float) -> float:
    """To a tenth."""
    return math.ceil(10.0 * points) / 10.0


def merge(verdicts: Mapping[str, Verdict] | list[Verdict]) -> Verdict:
    """All failures and remarks of several verdicts, in order, without repetitions.

    Args:
        verdicts: any number of them; of a mapping only the values count.

    Returns:
        One verdict.
    """
    parts = list(verdicts.values()) if isinstance(verdicts, Mapping) else verdicts
    failures = dict.fromkeys(line for part in parts for line in part.failures)
    remarks = dict.fromkeys(line for part in parts for line in part.remarks)
    return Verdict(tuple(failures), tuple(remarks))
