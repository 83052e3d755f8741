"""Quantiles and their uncertainty, for timings that come in rounds and processes and are not independent.

Timings that follow each other are alike (same clock frequency, same neighbours), and a fresh process may be faster or
slower as a whole (memory layout). An interval from the usual formulas would be far too narrow, so the bootstrap here
draws whole processes, then whole rounds within them (the hierarchical bootstrap, Davison and Hinkley 1997, section
3.8; why processes: Kalibera and Jones 2013, "Rigorous benchmarking in reasonable time").
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from fer_train.evaluation.paired_interval import Z_95

__all__ = [
    "CONFIDENCE",
    "RESAMPLES",
    "SEED",
    "Samples",
    "hierarchical_resamples",
    "paired_ratio",
    "quantile_intervals",
    "relative_spread",
    "unpaired_ratio",
    "wilson_interval",
]

Samples = npt.NDArray[np.float64]
RESAMPLES: Final[int] = 500
CONFIDENCE: Final[float] = 0.95
SEED: Final[int] = 20130620


def hierarchical_resamples(
    group_sizes: Sequence[int], rng: np.random.Generator, resamples: int = RESAMPLES
) -> list[npt.NDArray[np.int64]]:
    """Indices of rounds, numbered through all processes, for each resample.

    Each resample draws as many processes as there are, then as many rounds of each drawn process as it has, both with
    replacement (Davison and Hinkley 1997, section 3.8).

    Args:
        group_sizes: number of rounds of each process.
        rng: source of randomness.
        resamples: how many.

    Returns:
        ``resamples`` arrays of int64.
    """
    starts = np.concatenate([[0], np.cumsum(group_sizes)])[:-1]
    resampled = []
    for _ in range(resamples):
        processes = rng.integers(0, len(group_sizes), len(group_sizes))
        parts = [starts[p] + rng.integers(0, group_sizes[p], group_sizes[p]) for p in processes]
        resampled.append(np.concatenate(parts))
    return resampled


def quantile_intervals(
    processes: Sequence[Sequence[Samples]], quantiles: Sequence[float], seed: int = SEED, resamples: int = RESAMPLES
) -> list[tuple[float, float]]:
    """95 % intervals of quantiles of all samples.

    Args:
        processes: ``processes[i][j]`` holds the samples of round ``j`` of process ``i``, in any unit.
        quantiles: each in [0, 1].
        seed: of the resampling.
        resamples: how many.

    Returns:
        ``(low, high)`` for each of ``quantiles``, in the unit of the samples.
    """
    rounds = [samples for process in processes for samples in process]
    rng = np.random.default_rng(seed)
    values = np.empty((resamples, len(quantiles)))
    for row, index in enumerate(hierarchical_resamples([len(process) for process in processes], rng, resamples)):
        values[row] = np.quantile(np.concatenate([rounds[i] for i in index]), quantiles)
    return [_interval(values[:, column]) for column in range(len(quantiles))]


def paired_ratio(
    numerator: Sequence[Sequence[float]], denominator: Sequence[Sequence[float]], seed: int = SEED
) -> tuple[float, tuple[float, float]]:
    """Median over rounds of the ratio of two models' round medians, with its 95 % interval.

    Both were measured in the same rounds, one right after the other, so a slow moment of the machine hits both and
    cancels.

    Args:
        numerator: ``numerator[i][j]`` is the median of round ``j`` of process ``i``.
        denominator: the same of the other model, in the same unit.
        seed: of the resampling.

    Returns:
        The ratio, and ``(low, high)``.
    """
    pairs = [list(zip(a, b, strict=False)) for a, b in zip(numerator, denominator, strict=False)]
    flat = np.array([a / b for process in pairs for a, b in process])
    rng = np.random.default_rng(seed)
    draws = hierarchical_resamples([len(process) for process in pairs], rng)
    return float(np.median(flat)), _interval(np.array([np.median(flat[index]) for index in draws]))


def unpaired_ratio(
    numerator: Sequence[Sequence[float]], denominator: Sequence[Sequence[float]], seed: int = SEED
) -> tuple[float, tuple[float, float]]:
    """Ratio of the medians of two separate measurements' round medians, with its 95 % interval.

    Args:
        numerator: as for :func:`paired_ratio`.
        denominator: the same of the other measurement; it may have other numbers of processes and rounds.
        seed: of the resampling.

    Returns:
        The ratio, and ``(low, high)``.
    """
    rng = np.random.default_rng(seed)

    def resampled(processes: Sequence[Sequence[float]]) -> tuple[float, Samples]:
        flat = np.array([value for process in processes for value in process])
        draws = hierarchical_resamples([len(process) for process in processes], rng)
        return float(np.median(flat)), np.array([np.median(flat[index]) for index in draws])

    above, above_draws = resampled(numerator)
    below, below_draws = resampled(denominator)
    return above / below, _interval(above_draws / below_draws)


def wilson_interval(successes: int, n: int) -> tuple[float, float]:
    """95 % interval of a fraction (Wilson 1927); also sound near 0 and 1.

    Args:
        successes: in ``[0, n]``.
        n: how many there were, at least 1.

    Returns:
        ``(low, high)``, in [0, 1].
    """
    z = Z_95
    p = successes / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def relative_spread(values: Samples, of: Callable[[Samples], float] = lambda v: float(np.median(v))) -> float:
    """Interquartile range over the median: 0.1 means that half of the values lie within about +-5 %.

    Args:
        values: any number of them.
        of: what the range is divided by, computed from the values.

    Returns:
        The ratio.
    """
    low, high = np.quantile(values, [0.25, 0.75])
    return float((high - low) / of(values))


def _interval(draws: Samples) -> tuple[float, float]:
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(low), float(high)
