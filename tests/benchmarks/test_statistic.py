"""Quantiles and intervals against known distributions."""

from __future__ import annotations

import numpy as np
import pytest

from fer_bench.intervals import (
    hierarchical_resamples,
    paired_ratio,
    quantile_intervals,
    relative_spread,
    unpaired_ratio,
    wilson_interval,
)


def test_resamples_draw_whole_processes() -> None:
    for index in hierarchical_resamples([3, 5], np.random.default_rng(0), 50):
        first, second = int(np.sum(index < 3)), int(np.sum(index >= 3))
        assert (first, second) in {(6, 0), (3, 5), (0, 10)}
        assert index.max() < 8


@pytest.mark.slow
def test_interval_covers_the_true_median_as_often_as_it_says() -> None:
    """Independent rounds in one process: the 95 % interval must hold the truth in 95 % of 200 trials."""
    rng = np.random.default_rng(1)
    hits = 0
    for trial in range(200):
        processes = [[rng.lognormal(0.0, 0.2, 5) for _ in range(30)]]
        ((low, high),) = quantile_intervals(processes, [0.5], seed=trial, resamples=150)
        hits += low <= 1.0 <= high
    assert 178 <= hits <= 199  # binomial(200, 0.95) lies within 178..199 in all but 0.02 % of cases


def test_processes_that_differ_widen_the_interval() -> None:
    rng = np.random.default_rng(2)
    noise = [[1.0 + 0.01 * rng.standard_normal(10) for _ in range(20)] for _ in range(3)]
    shifted = [[samples + 0.1 * number for samples in process] for number, process in enumerate(noise)]
    ((low, high),) = quantile_intervals(noise, [0.5])
    ((wide_low, wide_high),) = quantile_intervals(shifted, [0.5])
    assert high - low < 0.01
    assert wide_high - wide_low > 0.1


def test_paired_ratio_is_untouched_by_what_hits_both() -> None:
    """The machine is up to three times slower in some rounds; both models feel it, their ratio does not."""
    rng = np.random.default_rng(3)
    slow = [1.0 + 2.0 * rng.random(30) for _ in range(3)]
    ratio, (low, high) = paired_ratio([list(0.5 * s) for s in slow], [list(s) for s in slow])
    assert ratio == pytest.approx(0.5)
    assert high - low < 1e-9
    _, (unpaired_low, unpaired_high) = unpaired_ratio([list(0.5 * s) for s in slow], [list(s) for s in slow])
    assert unpaired_high - unpaired_low > 0.05


def test_wilson_interval() -> None:
    assert wilson_interval(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson_interval(10, 10) == pytest.approx((0.7225, 1.0), abs=1e-4)
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)  # Newcombe 1998, table I


def test_relative_spread() -> None:
    assert relative_spread(np.array([9.0, 10.0, 10.0, 10.0, 11.0])) == 0.0
    assert relative_spread(np.array([8.0, 9.0, 10.0, 11.0, 12.0])) == pytest.approx(0.2)
