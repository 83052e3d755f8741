"""Numbers as messages and pages write them: plurals, and one unit for the size of files."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["counted", "megabytes", "singular"]

_SINGULAR: Final[dict[str, str]] = {"images": "image", "duplicates": "duplicate", "groups": "group", "files": "file"}


def singular(words: str) -> str:
    """Words as they are written after 1.

    Args:
        words: such as ``groups with different labels``.

    Returns:
        The words with the first plural made singular.
    """
    return re.sub(r"\b(" + "|".join(_SINGULAR) + r")\b", lambda match: _SINGULAR[match[0]], words, count=1)


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """``1 image``, ``1,532 images``; ``plural`` where an s is not enough.

    Args:
        count: how many.
        noun: in the singular.
        plural: where an s is not enough.

    Returns:
        Such as ``1,532 images``.
    """
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def megabytes(n_bytes: int) -> str:
    """Size of a file in MB of 10**6 bytes, as shops and file managers count; memory is given in MiB.

    Args:
        n_bytes: the size.

    Returns:
        Such as ``1.50 MB``.
    """
    return f"{n_bytes / 1e6:.2f} MB"
