"""Numbers as messages and pages write them: plurals, and one unit for the size of files."""

from __future__ import annotations


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """``1 image``, ``1,532 images``; ``plural`` where an s is not enough."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def megabytes(n_bytes: int) -> str:
    """Size of a file in MB of 10**6 bytes, as shops and file managers count; memory is given in MiB."""
    return f"{n_bytes / 1e6:.2f} MB"
