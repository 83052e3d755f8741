"""Turning large pictures by a quarter without having them twice in memory.

At 3840x2160 a picture takes 24 MiB. Its memory is given back strip by strip while its rows become columns: first in
tiles, one for each strip of rows, then tile by tile in the rows of the result. That moves each byte twice, so it is for
large pictures only.
"""

from __future__ import annotations

import mmap
from typing import Final

import cv2
import numpy as np

from fer_edge.arrays import Image, room_behind

__all__ = ["LeanTurn"]

_STRIP: Final[int] = 64
"""Rows of a strip: with 3 bytes per pixel, lines of a tile are 192 bytes, three lines of a processor's cache."""
_CHUNK: Final[int] = 256
"""Rows of the result that are put together before the memory of their parts is given back."""


class LeanTurn:
    """Takes a picture apart as its columns become rows.

    Args:
        height: of the pictures that are to be turned, in pixels.
        width: likewise.
    """

    def __init__(self, height: int, width: int) -> None:
        self._shape = (height, width, 3)
        n_bytes = height * width * 3
        self._stored, self._tiles = (mmap.mmap(-1, n_bytes, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) for _ in range(2))
        self.picture: Image = np.frombuffer(self._stored, np.uint8).reshape(self._shape)
        """``(H, W, 3)`` uint8, to be filled with a picture before each :meth:`transposed`."""

    @staticmethod
    def works() -> bool:
        """Whether this system gives memory back piece by piece.

        Returns:
            False on systems without ``MADV_DONTNEED``.
        """
        return all(hasattr(mmap, name) for name in ("MADV_DONTNEED", "MAP_PRIVATE", "MAP_ANONYMOUS"))

    def transposed(self, picture: Image) -> Image:
        """The picture with rows and columns exchanged.

        Args:
            picture: :attr:`picture`, which is empty afterwards; any other one is left as it is.

        Returns:
            ``(W, H, 3)`` uint8, the caller's own, as :func:`fer_edge.arrays.room_behind` has it.
        """
        if picture.ctypes.data != self.picture.ctypes.data or picture.shape != self._shape:
            return np.asarray(cv2.transpose(picture), dtype=np.uint8)
        height, width, _ = self._shape
        everything = np.frombuffer(self._tiles, np.uint8)
        tiles = []
        for top in range(0, height, _STRIP):
            strip = self.picture[top : top + _STRIP]
            first = top * width * 3
            tile = everything[first : first + strip.size].reshape(width, len(strip), 3)
            cv2.transpose(strip, dst=tile)
            tiles.append((first, tile))
            _give_back(self._stored, first, first + strip.size, start=0)
        turned = room_behind((width, height, 3))
        for begin in range(0, width, _CHUNK):
            left = 0
            for first, tile in tiles:
                part = tile[begin : begin + _CHUNK]
                turned[begin : begin + _CHUNK, left : left + part.shape[1]] = part
                left += part.shape[1]
                line = part.shape[1] * 3
                _give_back(self._tiles, first + begin * line, first + (begin + len(part)) * line, start=first)
        return turned


def _give_back(memory: mmap.mmap, begin: int, end: int, *, start: int) -> None:
    """The pages between two bytes, and before them those whose bytes from ``start`` on are of no use either."""
    first = max(begin // mmap.PAGESIZE, -(-start // mmap.PAGESIZE)) * mmap.PAGESIZE
    last = len(memory) if end == len(memory) else end // mmap.PAGESIZE * mmap.PAGESIZE
    if last > first:
        memory.madvise(mmap.MADV_DONTNEED, first, last - first)
