"""The difference of two classifiers over the same images, with its interval."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["Z_95", "Interval", "paired_drop"]

Z_95: Final[float] = 1.959964
"""97.5 % quantile of the normal distribution."""


@dataclass(frozen=True)
class Interval:
    """A difference with its 95 % interval, in percentage points."""

    value: float
    """The difference."""
    low: float
    """Lower end of the interval."""
    high: float
    """Upper end of the interval."""

    @property
    def half_width(self) -> float:
        """Half the width of the interval, in points."""
        return (self.high - self.low) / 2.0


def paired_drop(reference_right: npt.NDArray[np.bool_], other_right: npt.NDArray[np.bool_]) -> Interval:
    """Accuracy of the reference minus that of the other, on the same images.

    Both see the same images, so only those count on which one is right and the other wrong. The interval is the
    adjusted Wald interval of Bonett and Price 2012 (doi:10.3102/1076998611411915), which adds one to each of those
    counts and stays sensible when they are small; the point estimate is the plain difference.

    Args:
        reference_right: ``(N,)`` bool, whether the reference decided each image as labelled.
        other_right: ``(N,)`` bool, the same of the other.

    Returns:
        The drop and its 95 % interval, in percentage points; NaN without images.
    """
    n = len(reference_right)
    lost = int(np.count_nonzero(reference_right & ~other_right))
    gained = int(np.count_nonzero(~reference_right & other_right))
    if n == 0:
        return Interval(math.nan, math.nan, math.nan)
    p_lost, p_gained = (lost + 1) / (n + 2), (gained + 1) / (n + 2)
    centre = p_lost - p_gained
    spread = Z_95 * math.sqrt((p_lost + p_gained - centre**2) / (n + 2))
    return Interval(100.0 * (lost - gained) / n, 100.0 * (centre - spread), 100.0 * (centre + spread))
