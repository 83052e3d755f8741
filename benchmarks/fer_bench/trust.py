"""Whether timings are to be trusted, said once and in words."""

from __future__ import annotations

from collections.abc import Sequence


def untrusted_sentence(named_reasons: Sequence[tuple[str, Sequence[str]]]) -> str:
    """Why timings are not to be trusted, in one sentence.

    Args:
        named_reasons: Name and reasons of each measurement; no reasons where it is valid.

    Returns:
        The sentence; empty where every measurement is valid. Reasons of one kind (their words before the colon) are
        given once, with the figures of the first.
    """
    kinds: dict[str, str] = {}
    for _, reasons in named_reasons:
        for reason in reasons:
            kinds.setdefault(reason.partition(":")[0], reason)
    if not kinds:
        return ""
    names = [name for name, reasons in named_reasons if reasons]
    who = "these times" if len(names) == len(named_reasons) else f"the times of {', '.join(names)}"
    return f"Do not rely on {who}: {'; '.join(kinds.values())}."
