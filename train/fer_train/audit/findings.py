"""What an audit finds: one :class:`Finding` per kind of problem, all of them in an :class:`Audit`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from fer_edge.labels import EMOTIONS
from fer_train.audit.crowd_agreement import VoteAudit
from fer_train.data.cleaning import CleanReport
from fer_train.data.dataset import Dataset, Split
from fer_train.wording import singular

__all__ = ["Audit", "Finding", "figure_text", "in_words"]


@dataclass(frozen=True)
class Finding:
    """One kind of problem: what it is, how much of it there is, and which images show it."""

    key: str
    """Its name in the JSON record."""
    title: str
    """Its name for people."""
    meaning: str
    """What it says of the data set, in a sentence or two."""
    figures: dict[str, float]
    """Counts and shares by name."""
    groups: list[npt.NDArray[np.int64]] = field(default_factory=list)
    """Indices of images that belong together, counted through all splits; worst or most telling first."""
    notes: tuple[str, ...] = ()
    """A line for each group, or none."""


@dataclass(frozen=True)
class Audit:
    """Everything that an audit found."""

    dataset: Dataset
    """What was audited."""
    splits: tuple[Split, ...]
    """Its splits, in the order in which images are counted."""
    findings: tuple[Finding, ...]
    """One per kind of problem."""
    clean: CleanReport | None
    """What cleaning would remove from train; None without a train split."""
    votes: VoteAudit | None
    """Agreement with the crowd; None without a vote table."""
    seconds: float
    """How long it took."""

    @property
    def n_images(self) -> int:
        """Images in all splits."""
        return sum(len(split) for split in self.splits)

    def finding(self, key: str) -> Finding:
        """The finding of that name.

        Args:
            key: its name, as in the JSON record.

        Returns:
            The finding.
        """
        return next(finding for finding in self.findings if finding.key == key)

    def locate(self, index: int) -> tuple[Split, int]:
        """Where an image is that was counted through all splits.

        Args:
            index: counted from 0 through all splits.

        Returns:
            The split, and the position in it.
        """
        for split in self.splits:
            if index < len(split):
                return split, index
            index -= len(split)
        raise IndexError(index)

    def describe(self, index: int) -> dict[str, str]:
        """Name, split and label of an image counted through all splits.

        Args:
            index: counted from 0 through all splits.

        Returns:
            ``name``, ``split`` and ``label``.
        """
        split, i = self.locate(index)
        return {"name": split.names[i], "split": split.name, "label": EMOTIONS[int(split.labels[i])]}

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values, all affected images by name.

        Returns:
            What ``fer-data audit --json`` writes.
        """
        return {
            "format": 1,
            "source": str(self.dataset.source),
            "fingerprint": self.dataset.fingerprint,
            "n_images": self.n_images,
            "side": self.dataset.side,
            "original_sizes": self.dataset.sizes,
            "splits": {split.name: {"n_images": len(split), "classes": split.counts} for split in self.splits},
            "skipped": [{"name": name, "reason": reason} for name, reason in self.dataset.skipped],
            "findings": {
                finding.key: {
                    "title": finding.title,
                    **finding.figures,
                    "images": [[self.describe(int(i)) for i in group] for group in finding.groups],
                }
                for finding in self.findings
            },
            "clean_train": self.clean.as_dict() if self.clean else None,
            "ferplus": self.votes.as_dict() if self.votes else None,
            "seconds": round(self.seconds, 2),
        }


def in_words(key: str) -> str:
    """A key of the JSON as people read it; the keys themselves stay as they are.

    Args:
        key: such as ``images_with_near_copies``.

    Returns:
        Such as ``images with near-duplicates``.
    """
    return key.replace("near_", "near-").replace("_", " ").replace("copies", "duplicates")


def figure_text(finding: Finding) -> str:
    """The figures of a finding in words: ``1,532 extra duplicates, 1,273 groups, 4.7%``.

    Args:
        finding: the finding.

    Returns:
        One line.
    """
    words = []
    for name, value in finding.figures.items():
        if name == "share":
            words.append(f"{value:.1%}")
            continue
        shown = (
            f"{value:.1%}" if name in ("share", "model_accuracy") else f"{value:,.1f}" if value % 1 else f"{value:,.0f}"
        )
        what = in_words(name)
        words.append(f"{shown} {singular(what) if value == 1 else what}")
    return ", ".join(words)
