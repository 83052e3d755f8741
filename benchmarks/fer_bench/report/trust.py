"""Whether timings are to be trusted, stated once and in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

__all__ = ["PLAIN_WORDS", "plain_sentence", "untrusted_sentence"]

PLAIN_WORDS: Final[dict[str, str]] = {
    "busy neighbour": "other programs used the processor",
    "busy host": "the hypervisor took processor time away",
    "too noisy": "they varied too much",
    "drift": "they changed from start to end",
    "interrupted": "the measurement was interrupted",
    "warm-up did not settle": "they had not settled after the warm-up",
    "too short": "too few were taken",
    "throttled": "the processor was throttled",
    "Raspberry Pi firmware reports": "the Raspberry Pi was short of power or too hot",
}
"""Kinds of reason as :mod:`fer_bench.measure.validity` begins them, for readers who do not measure for a living."""


def untrusted_sentence(named_reasons: Sequence[tuple[str, Sequence[str]]]) -> str:
    """Why timings are not to be trusted, in one sentence.

    Args:
        named_reasons: Name and reasons of each measurement; no reasons where it is valid.

    Returns:
        The sentence; empty where every measurement is valid. Reasons of one kind (their words before the colon) are
        given once, with the figures of the first.
    """
    kinds = _kinds(named_reasons)
    if not kinds:
        return ""
    names = [name for name, reasons in named_reasons if reasons]
    who = "these times" if len(names) == len(named_reasons) else f"the times of {', '.join(names)}"
    return f"Do not rely on {who}: {'; '.join(kinds.values())}."


def plain_sentence(named_reasons: Sequence[tuple[str, Sequence[str]]]) -> str:
    """As :func:`untrusted_sentence`, without names and figures.

    Args:
        named_reasons: name and reasons of each measurement; no reasons where it is valid.

    Returns:
        The sentence; empty where every measurement is valid.
    """
    reasons = list(dict.fromkeys(PLAIN_WORDS.get(kind, kind) for kind in _kinds(named_reasons)))
    return f"These times are rough: {', '.join(reasons)}." if reasons else ""


def _kinds(named_reasons: Sequence[tuple[str, Sequence[str]]]) -> dict[str, str]:
    """The first reason of each kind, by its words before the colon."""
    kinds: dict[str, str] = {}
    for _, reasons in named_reasons:
        for reason in reasons:
            kinds.setdefault(reason.partition(":")[0], reason)
    return kinds
