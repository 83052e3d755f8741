"""What two measurements of time say of each other, in one place for models and for the whole pipeline."""

from __future__ import annotations

from fer_bench.schema import Bounds

__all__ = ["TimeDifference"]


class TimeDifference:
    """For whoever has a ``ratio`` of times, after over before, and says with ``range_of_ratio`` how sure it is."""

    ratio: float
    """Of times, after over before; above 1 is slower."""

    @property
    def range_of_ratio(self) -> Bounds:
        """Lower and upper end of what the ratio may be."""
        raise NotImplementedError

    @property
    def is_slower(self) -> bool:
        """Surely slower: the whole range lies above 1."""
        return self.range_of_ratio[0] > 1

    @property
    def is_faster(self) -> bool:
        """Surely faster: the whole range lies below 1."""
        return self.range_of_ratio[1] < 1

    @property
    def verdict(self) -> str:
        """In words."""
        if self.is_slower:
            return f"slower by {100 * (self.ratio - 1):.1f} %"
        if self.is_faster:
            return f"faster by {100 * (1 - self.ratio):.1f} %"
        return "none shown"
