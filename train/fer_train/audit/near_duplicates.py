"""Near-duplicates: the same photograph again, recompressed, watermarked, cropped or lit a little differently.

Two images are near-duplicates when their 16x16 thumbnails correlate by at least :data:`MIN_CORRELATION`. On FER-2013
nearly all pairs from 0.95 upwards, looked at by eye, show the same photograph.

Comparing all pairs costs the square of the number of images. Instead the thumbnails are projected onto their leading
principal components, whitened so that every direction tells faces apart equally well, and cut by random hyperplanes
into keys (locality-sensitive hashing for angles: Charikar 2002). Only images that share a key in one of
:data:`TABLES` tables, and stand close to each other in a sorted bucket, are compared: at most
``TABLES * NEIGHBOURS`` an image. Perceptual-hash libraries hash one image at a time in Python and leave this search to
the user, so they would add a dependency and save nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

MIN_CORRELATION: Final[float] = 0.96
TABLES: Final[int] = 24
NEIGHBOURS: Final[int] = 16
COMPONENTS: Final[int] = 24
_SAMPLE: Final[int] = 8192
_BLOCK: Final[int] = 8192


@dataclass(frozen=True)
class FaceSpace:
    """Mean and leading principal components of a set's thumbnails after each is brought to mean 0 and length 1."""

    mean: npt.NDArray[np.float32]
    components: npt.NDArray[np.float32]
    """``(K, 256)``."""
    variances: npt.NDArray[np.float32]
    """``(K,)``, falling."""

    @classmethod
    def of(cls, thumbnails: npt.NDArray[np.uint8], components: int = COMPONENTS, seed: int = 0) -> FaceSpace:
        """Learn the space from at most 8,192 of the ``(N, D)`` thumbnails, chosen by ``seed``."""
        chosen = np.random.default_rng(seed).permutation(len(thumbnails))[:_SAMPLE]
        sample = unit_rows(thumbnails[chosen])
        mean = sample.mean(axis=0)
        centred = (sample - mean).astype(np.float64)
        variances, vectors = np.linalg.eigh(centred.T @ centred / max(1, len(sample) - 1))
        order = np.argsort(variances)[::-1][:components]
        return cls(
            mean.astype(np.float32),
            vectors[:, order].T.astype(np.float32),
            np.maximum(variances[order], 1e-9).astype(np.float32),
        )

    def project(self, thumbnails: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """``(N, D)`` thumbnails to ``(N, K)`` coordinates, not whitened."""
        out = np.empty((len(thumbnails), len(self.components)), dtype=np.float32)
        for start in range(0, len(thumbnails), _BLOCK):
            part = unit_rows(thumbnails[start : start + _BLOCK])
            out[start : start + _BLOCK] = (part - self.mean) @ self.components.T
        return out


def unit_rows(thumbnails: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """``(N, D)`` uint8 rows to float32 rows of mean 0 and length 1; a row of one value becomes 0."""
    rows = thumbnails.astype(np.float32)
    rows -= rows.mean(axis=1, keepdims=True)
    lengths = np.sqrt((rows * rows).sum(axis=1, keepdims=True))
    return np.asarray(rows / np.maximum(lengths, 1e-6), dtype=np.float32)


def near_pairs(
    thumbnails: npt.NDArray[np.uint8],
    eligible: npt.NDArray[np.bool_],
    *,
    min_correlation: float = MIN_CORRELATION,
    seed: int = 0,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Pairs ``(P, 2)`` of near-duplicates, ``i < j``, sorted, and their correlations ``(P,)``.

    ``thumbnails`` is ``(N, D)``; only rows where ``eligible`` is True are compared: leave out blank images and further
    exact duplicates, of which every one is near every other. Time grows as ``N log N``.
    """
    rows = np.flatnonzero(eligible)
    if len(rows) < 2:
        return np.empty((0, 2), dtype=np.int64), np.empty(0, dtype=np.float32)
    chosen = thumbnails[rows]
    space = FaceSpace.of(chosen, seed=seed)
    white = space.project(chosen) / np.sqrt(space.variances)
    rng = np.random.default_rng(seed)
    # Three bits more than the images need to be told apart keep the buckets small at any size of the set.
    bits = min(48, max(4, math.ceil(math.log2(len(rows))) + 3))
    distances: dict[int, float] = {}
    for _ in range(TABLES):
        projected = white @ rng.standard_normal((white.shape[1], bits), dtype=np.float32)
        keys = (projected > np.median(projected, axis=0)) @ (np.int64(1) << np.arange(bits, dtype=np.int64))
        order = np.lexsort((projected[:, 0], keys))
        sorted_keys = keys[order]
        for offset in range(1, NEIGHBOURS + 1):
            same = np.flatnonzero(sorted_keys[:-offset] == sorted_keys[offset:])
            if len(same) == 0:
                break
            left, right = order[same], order[same + offset]
            for start in range(0, len(left), _BLOCK):
                a, b = left[start : start + _BLOCK], right[start : start + _BLOCK]
                correlation = (unit_rows(chosen[a]) * unit_rows(chosen[b])).sum(axis=1)
                close = correlation >= min_correlation
                low, high = np.minimum(a[close], b[close]), np.maximum(a[close], b[close])
                codes = low.astype(np.int64) * len(rows) + high
                distances.update(zip(codes.tolist(), correlation[close].tolist(), strict=True))
    codes = np.array(sorted(distances), dtype=np.int64)
    correlations = np.array([distances[code] for code in codes.tolist()], dtype=np.float32)
    pairs = np.stack([rows[codes // len(rows)], rows[codes % len(rows)]], axis=1) if len(codes) else codes.reshape(0, 2)
    return pairs.astype(np.int64), correlations


def join_pairs(pairs: npt.NDArray[np.int64], n: int) -> npt.NDArray[np.int64]:
    """``(n,)`` group numbers of the connected parts that ``(P, 2)`` pairs form; the number is the lowest member.

    Union-find with path halving (Tarjan and van Leeuwen 1984). SciPy has ``connected_components``, but the audit runs
    without the extra that brings SciPy.
    """
    parent = list(range(n))

    def top(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for i, j in pairs.tolist():
        a, b = top(i), top(j)
        if a != b:
            parent[max(a, b)] = min(a, b)
    return np.array([top(i) for i in range(n)], dtype=np.int64)
