"""Exact duplicates of images, found by their pixels."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

__all__ = ["group_duplicates", "members_of_groups", "pixel_digests"]


def pixel_digests(images: Iterable[npt.NDArray[np.uint8]]) -> list[bytes]:
    """Digests of the shape and pixels of images; equal for exact duplicates only.

    Args:
        images: uint8 arrays of any shape.

    Returns:
        One digest of 16 bytes (BLAKE2b) per image.
    """
    digests = []
    for image in images:
        shape = f"{image.shape}".encode()[:16]  # blake2b takes 16 bytes of personalisation
        digests.append(hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16, person=shape).digest())
    return digests


def group_duplicates(*splits: Iterable[npt.NDArray[np.uint8]]) -> list[npt.NDArray[np.int64]]:
    """Number images so that two are exact duplicates iff their numbers are equal.

    Args:
        *splits: images of each split, uint8.

    Returns:
        For each split ``(N,)`` int64 group numbers, from 0 through all splits.
    """
    number_of: dict[bytes, int] = {}
    return [
        np.array([number_of.setdefault(digest, len(number_of)) for digest in pixel_digests(split)], dtype=np.int64)
        for split in splits
    ]


def members_of_groups(groups: npt.NDArray[np.int64], at_least: int = 2) -> list[npt.NDArray[np.int64]]:
    """Indices of each group's members, ascending, ordered by first member.

    Args:
        groups: ``(N,)`` group number of each image.
        at_least: how many members a group must have.

    Returns:
        One ``(M,)`` int64 array of indices per group.
    """
    if len(groups) == 0:
        return []
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order])) + 1
    parts = [part.astype(np.int64) for part in np.split(order, starts) if len(part) >= at_least]
    return sorted(parts, key=lambda part: int(part[0]))
