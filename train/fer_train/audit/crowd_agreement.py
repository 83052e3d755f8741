"""A data set's labels against the votes of FER+'s annotators."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fer_edge.labels import EMOTIONS, NUM_EMOTIONS
from fer_train.data.crowd_votes import OTHER_COLUMNS, load_vote_counts
from fer_train.data.dataset import Split

SURE: Final[float] = 0.8
"""Share of the votes from which the crowd counts as sure."""


@dataclass(frozen=True)
class VoteAudit:
    """How far labels and crowd agree."""

    n_images: int
    n_with_votes: int
    n_compared: int
    """Images whose most frequent answer is one of the seven emotions."""
    agreement: float
    """Share of the compared images on which label and majority are the same."""
    agreement_of_voted: float
    """The same share of all images with votes: contempt, unknown and not-a-face never agree with a label."""
    agreement_per_class: dict[str, float]
    confusion: npt.NDArray[np.int64]
    """``(7, 10)`` counts, rows are labels, columns the crowd's answer: seven emotions, contempt, unknown, NF."""
    not_a_face: int
    """Images that most annotators called not a face, or that FER+ dropped."""
    disputed: npt.NDArray[np.int64]
    """Images, counted through all splits, of which the crowd is sure that they show another emotion."""
    disputed_notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "n_images": self.n_images,
            "n_with_votes": self.n_with_votes,
            "n_compared": self.n_compared,
            "agreement": self.agreement,
            "agreement_of_voted": self.agreement_of_voted,
            "agreement_per_class": self.agreement_per_class,
            "answers": [*EMOTIONS, *OTHER_COLUMNS],
            "confusion": {name: row.tolist() for name, row in zip(EMOTIONS, self.confusion, strict=True)},
            "not_a_face_or_dropped": self.not_a_face,
            "n_disputed": len(self.disputed),
        }


def audit_votes(votes_csv: str | os.PathLike[str], splits: Sequence[Split]) -> VoteAudit:
    """Compare the labels of all splits with the most frequent answer of the crowd.

    Raises :class:`DataError` for a table that cannot be read or knows none of the images.
    """
    names = [name for split in splits for name in split.names]
    labels = np.concatenate([split.labels for split in splits])
    votes = load_vote_counts(votes_csv, names)
    answers = np.concatenate([votes.emotions, votes.others], axis=1)
    totals = answers.sum(axis=1)
    voted = votes.known & (totals > 0)
    answer = answers.argmax(axis=1)
    confusion = np.zeros((NUM_EMOTIONS, answers.shape[1]), dtype=np.int64)
    np.add.at(confusion, (labels[voted], answer[voted]), 1)
    emotions = confusion[:, :NUM_EMOTIONS]
    compared = int(emotions.sum())
    share = answers.max(axis=1) / np.maximum(totals, 1)
    disputed = np.flatnonzero(voted & (answer < NUM_EMOTIONS) & (answer != labels) & (share >= SURE))
    disputed = disputed[np.argsort(-share[disputed], kind="stable")]
    notes = tuple(f"crowd: {EMOTIONS[int(answer[i])]} {share[i]:.0%}" for i in disputed)
    per_class = {
        name: float(emotions[k, k] / emotions[k].sum()) if emotions[k].sum() else float("nan")
        for k, name in enumerate(EMOTIONS)
    }
    return VoteAudit(
        n_images=len(labels),
        n_with_votes=int(voted.sum()),
        n_compared=compared,
        agreement=float(np.trace(emotions) / compared) if compared else float("nan"),
        agreement_of_voted=float(np.trace(emotions) / max(1, int(voted.sum()))),
        agreement_per_class=per_class,
        confusion=confusion,
        not_a_face=int((~votes.known).sum() + (voted & (answer == NUM_EMOTIONS + 2)).sum()),
        disputed=disputed.astype(np.int64),
        disputed_notes=notes,
    )
