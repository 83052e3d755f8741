"""The signature of progress callbacks."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["OnProgress"]

OnProgress = Callable[[int, int], None]
"""Called with (done, total) while a data set is decoded; the unit is the source's."""
