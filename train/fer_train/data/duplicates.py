"""Exact duplicates of images, found by their pixels."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

__all__ = ["group_duplicates", "members_of_groups", "pixel_digests"]


def pixel_digests(images: Iterable[npt.NDArray[np.uint8]]) -> list[bytes]:
    """A 16-byte digest of the shape and pixels of each image; equal for exact duplicates only."""
    digests = []
    for image in images:
        shape = f"{image.shape}".encode()[:16]  # blake2b takes 16 bytes of personalisation
        digests.append(hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16, person=shape).digest())
    return digests


def group_duplicates(*splits: Iterable[npt.NDArray[np.uint8]]) -> list[npt.NDArray[np.int64]]:
    """For each split an ``(N,)`` array of group numbers; two images are exact duplicates iff theirs are equal."""
    number_of: dict[bytes, int] = {}
    return [
        np.array([number_of.setdefault(digest, len(number_of)) for digest in pixel_digests(split)], dtype=np.int64)
        for split in splits
    ]


def members_of_groups(groups: npt.NDArray[np.int64], at_least: int = 2) -> list[npt.NDArray[np.int64]]:
    """Indices of each group's members, ascending, for groups of ``at_least`` members, ordered by first member."""
    if len(groups) == 0:
        return []
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order])) + 1
    parts = [part.astype(np.int64) for part in np.split(order, starts) if len(part) >= at_least]
    return sorted(parts, key=lambda part: int(part[0]))
