"""Accuracy and agreement of the same targets that are timed, in a run of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fer_bench.remote import Remote, Target
from fer_train.evaluate import Evaluation, evaluate

SYNTHETIC_SPLIT = "synthetic"
SYNTHETIC_PER_CLASS = 40


@dataclass(frozen=True)
class Faces:
    """Labelled grey faces."""

    images: npt.NDArray[np.uint8]
    """``(N, H, H)``"""
    labels: npt.NDArray[np.int64]
    """``(N,)``, 0..6"""
    split: str


def load_faces(data: Path | None, split: str, seed: int = 0) -> Faces:
    """A split of a data set; drawn faces, with ``synthetic`` as the name of the split, where there is no data set."""
    if data is None:
        from fer_train.synthetic import synthetic_split

        drawn = synthetic_split(SYNTHETIC_PER_CLASS, seed, name=SYNTHETIC_SPLIT)
        return Faces(drawn.images, drawn.labels, SYNTHETIC_SPLIT)
    from fer_train.dataset import load_dataset

    found = load_dataset(data, seed=seed).split(split)
    return Faces(found.images, found.labels, found.name)


def evaluate_targets(
    targets: Sequence[Target], faces: Faces, on_progress: Callable[[float, str], None] | None = None
) -> list[Evaluation]:
    """Every target over all faces, one after the other; ``on_progress`` gets the fraction done and the model."""
    evaluations = []
    for index, target in enumerate(targets):

        def progress(done: int, name: str = target.path.name, before: int = index) -> None:
            if on_progress:
                on_progress((before + done / len(faces.labels)) / len(targets), name)

        with Remote(target) as remote:
            evaluations.append(evaluate(remote, faces.images, faces.labels, faces.split, on_progress=progress))
    return evaluations
