"""Going through memory-mapped images without keeping them: peak memory stays the same however large the set is."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

__all__ = ["CHUNK", "chunks", "one_by_one", "release_pages"]

CHUNK: Final[int] = 512


def chunks(images: npt.NDArray[np.uint8]) -> Iterator[npt.NDArray[np.uint8]]:
    """Copies of up to 512 images in turn; pages of a memory map that were read are given back.

    Args:
        images: ``(N, S, S)`` uint8, usually memory-mapped.

    Yields:
        ``(up to 512, S, S)`` uint8, in memory.
    """
    for start in range(0, len(images), CHUNK):
        yield np.array(images[start : start + CHUNK])
        release_pages(images)


def one_by_one(images: npt.NDArray[np.uint8]) -> Iterator[npt.NDArray[np.uint8]]:
    """The images in turn, read by chunks.

    Args:
        images: ``(N, S, S)`` uint8, usually memory-mapped.

    Yields:
        ``(S, S)`` uint8.
    """
    for chunk in chunks(images):
        yield from chunk


def release_pages(images: npt.NDArray[np.uint8]) -> None:
    """Let the system take back the memory of a memory-mapped array that was read; its content stays on disk.

    Args:
        images: the array; nothing happens where it is not memory-mapped.
    """
    mapping: Any = getattr(images, "_mmap", None)
    if mapping is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapping.madvise(mmap.MADV_DONTNEED)
