"""Types for argparse: what they take, and that a mistake is told in words."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import pytest

from fer_edge.option_types import gigabytes, number, percent, whole


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (whole(), "0", 0),
        (whole(least=None), "-3", -3),
        (whole(1, 64), "64", 64),
        (number(), "-1e3", -1000.0),
        (number(0, 1), "1", 1.0),
        (number(above=0), "0.001", 0.001),
        (percent, "5%", 5.0),
        (percent, "5", 5.0),
        (gigabytes, "0.5", 500_000_000),
    ],
)
def test_values(kind: Callable[[str], Any], text: str, value: float) -> None:
    assert kind(text) == value


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        (whole(), "x", "expected a whole number, got 'x'"),
        (whole(), "1.5", "expected a whole number, got '1.5'"),
        (whole(), "-1", "expected a number of at least 0, got -1"),
        (whole(1, 64), "65", "expected a number from 1 to 64, got 65"),
        (number(), "x", "expected a number, got 'x'"),
        (number(), "nan", "expected a number, got nan"),
        (number(0), "inf", "expected a number of at least 0, got inf"),
        (number(most=1), "2", "expected a number of at most 1, got 2"),
        (number(above=0), "0", "expected a number above 0, got 0"),
        (percent, "five", "expected a percentage of at least 0, such as 5%, got 'five'"),
        (percent, "-1", "expected a percentage"),
        (percent, "nan", "expected a percentage"),
        (gigabytes, "0", "expected a size in GB, got '0'"),
        (gigabytes, "much", "expected a size in GB, got 'much'"),
    ],
)
def test_mistakes(kind: Callable[[str], Any], text: str, message: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError) as caught:
        kind(text)
    assert message in str(caught.value)
