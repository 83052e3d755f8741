"""What is wrong with a data set: duplicates, leaks, conflicting labels, blank images, class balance.

:func:`audit` looks and counts, and changes nothing. Its result is written as JSON by :meth:`Audit.as_dict`, as a page
with pictures by :mod:`fer_train.audit.html_report`, and summed up on the terminal by ``fer-data audit``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fer_edge.labels import EMOTIONS
from fer_train.audit.crowd_agreement import VoteAudit, audit_votes
from fer_train.audit.findings import Audit, Finding
from fer_train.audit.image_facts import ImageFacts, collect_facts, groups_of_duplicates
from fer_train.audit.near_duplicates import MIN_CORRELATION, FaceSpace, join_pairs, near_pairs, unit_rows
from fer_train.data.cleaning import CleanReport, clean_groups, conflicting_mask
from fer_train.data.dataset import Dataset, Split
from fer_train.data.duplicates import members_of_groups
from fer_train.on_progress import OnProgress

__all__ = ["BLANK_CONTRAST", "BRIGHT", "DARK", "LOW_CONTRAST", "LOW_DETAIL", "UNLIKE_SCORE", "audit", "strangeness"]

BLANK_CONTRAST: Final[float] = 4.0
LOW_CONTRAST: Final[float] = 20.0
DARK: Final[float] = 40.0
BRIGHT: Final[float] = 215.0
LOW_DETAIL: Final[float] = 0.12
UNLIKE_SCORE: Final[float] = 15.0
"""Sum of three robust z-scores; see :func:`strangeness`."""


def audit(
    dataset: Dataset,
    *,
    votes: str | os.PathLike[str] | None = None,
    label_errors: bool = False,
    on_progress: OnProgress | None = None,
) -> Audit:
    """Audit all splits of a data set.

    Time grows nearly linearly with the number of images, memory by about 600 bytes per image.

    Args:
        dataset: the data set.
        votes: a FER+ table of votes, to compare the labels with.
        label_errors: add likely label errors by confident learning (Northcutt et al. 2021), which needs the extra
            ``audit`` and minutes.
        on_progress: called with ``(done, total)`` along the way.

    Returns:
        All findings, those without any images included.

    Raises:
        DataError: the vote table does not fit.
    """
    start = time.perf_counter()
    splits = tuple(dataset.splits.values())
    vote_audit = audit_votes(votes, splits) if votes is not None else None
    facts = collect_facts(splits, on_progress)
    duplicates = groups_of_duplicates(facts.digests)
    labels = np.concatenate([split.labels for split in splits])
    split_of = np.repeat(np.arange(len(splits)), [len(split) for split in splits])
    first = np.zeros(len(duplicates), dtype=bool)
    first[np.unique(duplicates, return_index=True)[1]] = True
    near_groups, near_best = _near_groups(facts, first, duplicates)
    findings = [
        _exact(duplicates, len(duplicates)),
        _conflicts(duplicates, labels),
        *_leaks(splits, split_of, duplicates, near_groups),
        _near(near_groups, near_best, duplicates, labels),
        *_pictures(facts),
        _balance(splits),
    ]
    if vote_audit is not None:
        findings.append(_crowd(vote_audit))
    if label_errors:
        from fer_train.audit.label_errors import find_label_errors

        findings.append(_label_errors(find_label_errors(splits, near_groups, on_progress)))
    return Audit(dataset, splits, tuple(findings), _clean(splits, duplicates), vote_audit, time.perf_counter() - start)


def _exact(duplicates: npt.NDArray[np.int64], n: int) -> Finding:
    groups = sorted(members_of_groups(duplicates), key=len, reverse=True)
    extra = sum(len(group) - 1 for group in groups)
    return Finding(
        "exact_copies",
        "Exact duplicates",
        "Images with equal pixels. Further duplicates add weight without adding knowledge.",
        {"extra_copies": extra, "groups": len(groups), "share": extra / n},
        groups,
    )


def _conflicts(duplicates: npt.NDArray[np.int64], labels: npt.NDArray[np.int64]) -> Finding:
    conflicting = conflicting_mask(duplicates, labels)
    groups = [group for group in members_of_groups(duplicates) if conflicting[group[0]]]
    return Finding(
        "conflicting_labels",
        "Conflicting labels",
        "Exact duplicates of one image under different labels: at least one label is wrong.",
        {"groups": len(groups), "images": int(conflicting.sum())},
        sorted(groups, key=len, reverse=True),
    )


def _leaks(
    splits: Sequence[Split],
    split_of: npt.NDArray[np.int64],
    duplicates: npt.NDArray[np.int64],
    near_groups: npt.NDArray[np.int64],
) -> Iterable[Finding]:
    """For each pair of splits, images of the later one that also appear in the earlier one."""
    for a, earlier in enumerate(splits):
        for b in range(a + 1, len(splits)):
            later = splits[b]
            here, there = split_of == b, split_of == a
            exact = here & np.isin(duplicates, duplicates[there])
            near = here & np.isin(near_groups, near_groups[there])
            order = np.flatnonzero(exact)
            partner = {int(group): int(i) for i, group in reversed([*enumerate(duplicates)]) if there[i]}
            yield Finding(
                f"leak_{later.name}_in_{earlier.name}",
                f"{later.name.capitalize()} images that also appear in {earlier.name}",
                f"A model that has seen {earlier.name} knows the answer; accuracy on {later.name} is too high.",
                {
                    "images": int(exact.sum()),
                    "share": float(exact.sum() / max(1, here.sum())),
                    "images_with_near_copies": int((near & ~exact).sum()),
                },
                [np.array([i, partner[int(duplicates[i])]], dtype=np.int64) for i in order],
            )


def _near_groups(
    facts: ImageFacts, first: npt.NDArray[np.bool_], duplicates: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], dict[int, float]]:
    """``(N,)`` groups of near and exact duplicates, and the lowest correlation in each group of near-duplicates."""
    pairs, correlations = near_pairs(facts.thumbnails, first & (facts.contrast >= BLANK_CONTRAST))
    roots = join_pairs(pairs, len(facts))
    weakest: dict[int, float] = {}
    for (i, _), correlation in zip(pairs.tolist(), correlations.tolist(), strict=True):
        root = int(roots[i])
        weakest[root] = min(weakest.get(root, 1.0), correlation)
    # An exact copy belongs where the first of its kind does.
    first_of = np.zeros(int(duplicates.max()) + 1 if len(duplicates) else 0, dtype=np.int64)
    first_of[duplicates[first]] = np.flatnonzero(first)
    return roots[first_of[duplicates]], weakest


def _near(
    near_groups: npt.NDArray[np.int64],
    weakest: dict[int, float],
    duplicates: npt.NDArray[np.int64],
    labels: npt.NDArray[np.int64],
) -> Finding:
    groups, notes = [], []
    images = conflicting = 0
    for group in members_of_groups(near_groups):
        root = int(near_groups[group[0]])
        if root not in weakest:
            continue  # exact copies only
        singles = group[np.unique(duplicates[group], return_index=True)[1]]
        images += len(singles)
        conflicting += len(set(labels[singles].tolist())) > 1
        groups.append(np.sort(singles))
        notes.append(f"correlation from {weakest[root]:.3f}")
    order = sorted(range(len(groups)), key=lambda k: -len(groups[k]))
    return Finding(
        "near_copies",
        "Near-duplicates",
        f"The same photograph recompressed, watermarked or cropped (thumbnails correlate by {MIN_CORRELATION}).",
        {"groups": len(groups), "images": images, "groups_with_different_labels": conflicting},
        [groups[k] for k in order],
        tuple(notes[k] for k in order),
    )


def strangeness(facts: ImageFacts) -> npt.NDArray[np.float64]:
    """``(N,)`` score of how little an image resembles the photographed faces of its own set.

    The sum of three robust z-scores (median and median absolute deviation): how flat the picture is, how little it
    correlates with the mean face, and how much of it the leading principal components of the set leave unexplained.
    On FER-2013 (train and PublicTest) 41 of the 50 highest were marked "not a face" or dropped by FER+'s annotators;
    the rest are drawings.

    Args:
        facts: of all images.

    Returns:
        ``(N,)`` float64; the higher, the less alike.
    """
    space = FaceSpace.of(facts.thumbnails[facts.contrast >= BLANK_CONTRAST], components=32)
    length = np.sqrt(float((space.mean * space.mean).sum())) or 1.0
    unlike = np.empty(len(facts))
    unexplained = np.empty(len(facts))
    for start in range(0, len(facts), 8192):
        part = slice(start, start + 8192)
        rows = unit_rows(facts.thumbnails[part])
        centred = rows - space.mean
        inside = centred @ space.components.T
        unlike[part] = -(rows @ (space.mean / np.float32(length)))
        unexplained[part] = (centred * centred).sum(axis=1) - (inside * inside).sum(axis=1)
    return sum((_robust_z(x) for x in (facts.flatness, unlike, unexplained)), np.zeros(len(facts)))


def _robust_z(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    centre = np.median(values)
    spread = 1.4826 * np.median(np.abs(values - centre))  # equals the standard deviation of a normal distribution
    return np.asarray((values - centre) / max(float(spread), 1e-9), dtype=np.float64)


def _pictures(facts: ImageFacts) -> Iterable[Finding]:
    blank = facts.contrast < BLANK_CONTRAST
    score = strangeness(facts) if (~blank).sum() > 1 else np.zeros(len(facts))

    def single(key: str, title: str, meaning: str, mask: npt.NDArray[np.bool_], order: npt.NDArray[Any]) -> Finding:
        images = np.flatnonzero(mask)
        images = images[np.argsort(order[images], kind="stable")]
        shown = [np.array([i], dtype=np.int64) for i in images]
        return Finding(key, title, meaning, {"images": len(images), "share": len(images) / max(1, len(facts))}, shown)

    rest = ~blank
    yield single("blank", "Blank images", "Nearly one grey level: nothing to learn.", blank, facts.contrast)
    yield single(
        "unlike_faces",
        "Unlike a photographed face",
        "Placeholders, text, drawings: least like the set's own faces. A score to look through, not a verdict.",
        rest & (score > UNLIKE_SCORE),
        -score,
    )
    yield single("dark", "Very dark", f"Mean below {DARK:g}.", rest & (facts.brightness < DARK), facts.brightness)
    yield single(
        "bright", "Very bright", f"Mean above {BRIGHT:g}.", rest & (facts.brightness > BRIGHT), -facts.brightness
    )
    yield single(
        "low_contrast",
        "Low contrast",
        f"Standard deviation of grey levels below {LOW_CONTRAST:g}.",
        rest & (facts.contrast < LOW_CONTRAST),
        facts.contrast,
    )
    yield single(
        "blurred",
        "Blurred or enlarged",
        f"Halving the resolution loses less than {LOW_DETAIL:.0%} of the contrast: the picture was smaller once.",
        rest & (facts.detail < LOW_DETAIL),
        facts.detail,
    )


def _balance(splits: Sequence[Split]) -> Finding:
    train = splits[0]
    counts = np.bincount(train.labels, minlength=len(EMOTIONS))
    low, high = int(counts.argmin()), int(counts.argmax())
    meaning = f"In {train.name}, {EMOTIONS[high]} is the most frequent class and {EMOTIONS[low]} the rarest."
    if counts[low] == counts[high]:
        meaning = f"In {train.name}, all classes have the same number of images."
    return Finding(
        "class_balance",
        "Class balance",
        meaning,
        {"most": int(counts[high]), "least": int(counts[low]), "ratio": float(counts[high] / max(1, counts[low]))},
    )


def _crowd(votes: VoteAudit) -> Finding:
    return Finding(
        "crowd_disagrees",
        "The crowd is sure of another label",
        "At least 8 in 10 FER+ annotators chose one other emotion than the label.",
        {"images": len(votes.disputed)},
        [np.array([i], dtype=np.int64) for i in votes.disputed],
        votes.disputed_notes,
    )


def _label_errors(issues: Any) -> Finding:
    return Finding(
        "likely_label_errors",
        "Likely label errors",
        f"Confident learning (cleanlab) on out-of-fold predictions of {issues.model}, which are right for "
        f"{issues.accuracy:.1%} of {issues.n_images} images. Suspicions, the strongest first.",
        {
            "images": len(issues.indices),
            "share": len(issues.indices) / issues.n_images,
            "model_accuracy": issues.accuracy,
        },
        [np.array([i], dtype=np.int64) for i in issues.indices],
        issues.notes,
    )


def _clean(splits: Sequence[Split], duplicates: npt.NDArray[np.int64]) -> CleanReport | None:
    if splits[0].name != "train":
        return None
    n = len(splits[0])
    return clean_groups(duplicates[:n], splits[0].labels, duplicates[n:])[1]
