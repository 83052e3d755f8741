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
    title: str
    amounts: list[float]
    """Of strengths 1, 2 and 3."""
    unit: str
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
    accuracy: float
    accuracy_ci95: Bounds
    """Wilson's interval."""
    expected_calibration_error: float | None
    """15 bins; None for a model that gives decisions alone."""


@dataclass(frozen=True)
class Mean:
    """Mean over several kinds and all strengths."""

    accuracy: float
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
    sha256: str | None
    runtime: str
    clean: Answer
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
    strength: int
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
    difference_ci95_points: Bounds
    """Over images, as :attr:`Mean.accuracy_ci95`."""
    agreement: float


@dataclass(frozen=True)
class PairEntry:
    """A later model against the first."""

    first: str
    second: str
    clean: Difference
    differences: list[Difference]
    mean: MeanDifference
    mean_held_out: MeanDifference | None
    mean_others: MeanDifference | None


@dataclass(frozen=True)
class RobustnessReport:
    """All that one run measured. The same options give the same numbers, whatever the machine's number of CPUs."""

    created_utc: str
    command: list[str]
    data: str
    """Name of the data set's file or folder; ``synthetic`` for drawn faces."""
    split: str
    n_images: int
    seed: int
    kinds: list[KindEntry]
    models: list[ModelEntry]
    pairs: list[PairEntry]
    packages: dict[str, str]
    """Versions that decide the numbers."""
    schema: str = field(default=SCHEMA)

    def as_json(self) -> str:
        """The text of the JSON file.

        Returns:
            Indented JSON with a final newline; no NaN in it.
        """
        content = dataclasses.asdict(self)
        return json.dumps({"schema": content.pop("schema")} | content, indent=1, allow_nan=False) + "\n"
