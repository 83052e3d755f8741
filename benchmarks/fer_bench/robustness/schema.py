"""The JSON of ``fer-bench robustness``: fractions in [0, 1]; keys with ``points`` are percentage points."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Final

from fer_bench.schema import Bounds

__all__ = [
    "SCHEMA",
    "Answer",
    "Difference",
    "KindEntry",
    "Mean",
    "MeanDifference",
    "ModelEntry",
    "PairEntry",
    "RobustnessReport",
]

SCHEMA: Final[str] = "fer-bench-robustness/1"


@dataclass(frozen=True)
class KindEntry:
    """A kind of disturbance as it was applied."""

    name: str
    """Key of the kind in :data:`fer_train.disturbances.KINDS`."""
    title: str
    """For people, in a few words."""
    amounts: list[float]
    """Of strengths 1, 2 and 3."""
    unit: str
    """What the amounts are."""
    held_out: bool
    """Never used in training."""


@dataclass(frozen=True)
class Answer:
    """One model on all images, disturbed in one way."""

    kind: str
    """``clean`` for the images as they are."""
    strength: int
    """1, 2 or 3; 0 for ``clean``."""
    n_right: int
    """Images decided as their label says."""
    accuracy: float
    """Fraction of the images that are right."""
    accuracy_ci95: Bounds
    """Wilson's interval."""
    expected_calibration_error: float | None
    """15 bins; None for a model that gives decisions alone."""


@dataclass(frozen=True)
class Mean:
    """Mean over several kinds and all strengths."""

    accuracy: float
    """Fraction in [0, 1]."""
    accuracy_ci95: Bounds
    """Over images: each image's share of right answers is one independent value."""
    relative_to_clean: float
    """Accuracy over that on clean faces."""
    expected_calibration_error: float | None
    """Mean of those of the answers."""


@dataclass(frozen=True)
class ModelEntry:
    """One model."""

    name: str
    """As it was asked for."""
    sha256: str | None
    """Of the file; None for a model that is not one file."""
    runtime: str
    """What computed it, with its version."""
    clean: Answer
    """On the images as they are."""
    answers: list[Answer]
    """By kind, then by strength."""
    mean: Mean
    """Over all kinds."""
    mean_held_out: Mean | None
    """Over the kinds that training must not use; None where none was asked for."""
    mean_others: Mean | None
    """Over the other kinds."""
    worst: Answer
    """That of least accuracy."""


@dataclass(frozen=True)
class Difference:
    """Two models on the same images, disturbed in one way."""

    kind: str
    """As in :class:`Answer`."""
    strength: int
    """As in :class:`Answer`."""
    difference_points: float
    """Accuracy of the second model minus that of the first."""
    difference_ci95_points: Bounds
    """Bonett and Price's paired interval."""
    agreement: float
    """Share of images that both decide alike."""


@dataclass(frozen=True)
class MeanDifference:
    """Mean over several kinds and all strengths."""

    difference_points: float
    """Accuracy of the second model minus that of the first."""
    difference_ci95_points: Bounds
    """Over images, as :attr:`Mean.accuracy_ci95`."""
    agreement: float
    """Share of answers that both decide alike."""


@dataclass(frozen=True)
class PairEntry:
    """A later model against the first."""

    first: str
    """Name of the reference."""
    second: str
    """Name of the model that is compared to it."""
    clean: Difference
    """On the images as they are."""
    differences: list[Difference]
    """By kind, then by strength."""
    mean: MeanDifference
    """Over all kinds."""
    mean_held_out: MeanDifference | None
    """Over the kinds that training must not use; None where none was asked for."""
    mean_others: MeanDifference | None
    """Over the other kinds."""


@dataclass(frozen=True)
class RobustnessReport:
    """All that one run measured. The same options give the same numbers, whatever the machine's number of CPUs."""

    created_utc: str
    """ISO 8601, to the second."""
    command: list[str]
    """The command line."""
    data: str
    """Name of the data set's file or folder; ``synthetic`` for synthetic faces."""
    split: str
    """Name of the split."""
    n_images: int
    """Number of images per case."""
    seed: int
    """Of the random numbers of the disturbances."""
    kinds: list[KindEntry]
    """The kinds that were applied, in the order of the table."""
    models: list[ModelEntry]
    """In the order asked for."""
    pairs: list[PairEntry]
    """Each later model against the first."""
    packages: dict[str, str]
    """Versions that decide the numbers."""
    schema: str = field(default=SCHEMA)
    """Name and version of this form."""

    def as_json(self) -> str:
        """The text of the JSON file.

        Returns:
            Indented JSON with a final newline; no NaN in it.
        """
        content = dataclasses.asdict(self)
        return json.dumps({"schema": content.pop("schema")} | content, indent=1, allow_nan=False) + "\n"
