"""Types for ``argparse`` that all command lines share; an error says what was expected and what came.

``argparse`` reports an ``ArgumentTypeError`` in its own words, and for any other error only the function's name.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

__all__ = ["gigabytes", "number", "percent", "whole"]


def whole(least: int | None = 0, most: int | None = None) -> Callable[[str], int]:
    """A type for argparse: a whole number from ``least`` to ``most``, where these are given.

    Args:
        least: smallest value; None sets no limit.
        most: greatest value; None sets no limit.

    Returns:
        What turns text into the number; it raises :class:`argparse.ArgumentTypeError`.
    """

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"expected a whole number, got {text!r}") from None
        if (least is not None and value < least) or (most is not None and value > most):
            raise argparse.ArgumentTypeError(f"expected a number{_limits(least, most)}, got {value}")
        return value

    return parse


def number(
    least: float | None = None, most: float | None = None, *, above: float | None = None
) -> Callable[[str], float]:
    """A type for argparse: a finite number from ``least`` to ``most``, and greater than ``above``.

    Args:
        least: smallest value; None sets no limit.
        most: greatest value; None sets no limit.
        above: the value has to be greater than this; None sets no limit.

    Returns:
        What turns text into the number; it raises :class:`argparse.ArgumentTypeError`.
    """

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"expected a number, got {text!r}") from None
        outside = (least is not None and value < least) or (most is not None and value > most)
        if outside or not math.isfinite(value) or (above is not None and value <= above):
            raise argparse.ArgumentTypeError(f"expected a number{_limits(least, most, above)}, got {text}")
        return value

    return parse


def percent(text: str) -> float:
    """A type for argparse: ``5%`` or ``5`` as 5.0.

    Args:
        text: as typed.

    Returns:
        The percentage, 0 or more.

    Raises:
        argparse.ArgumentTypeError: anything else.
    """
    try:
        value = float(text.strip().removesuffix("%"))
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"expected a percentage of at least 0, such as 5%, got {text!r}")
    return value


def gigabytes(text: str) -> int:
    """A type for argparse: a size in GB (10^9 bytes), as bytes.

    Args:
        text: as typed.

    Returns:
        Number of bytes.

    Raises:
        argparse.ArgumentTypeError: not a number above 0 and below a million.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"expected a size in GB, got {text!r}")
    return int(value * 1e9)


def _limits(least: float | None, most: float | None, above: float | None = None) -> str:
    if above is not None:
        return f" above {above:g}" if most is None else f" above {above:g} and at most {most:g}"
    if least is None:
        return "" if most is None else f" of at most {most:g}"
    return f" of at least {least:g}" if most is None else f" from {least:.10g} to {most:.10g}"
