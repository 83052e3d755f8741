"""Which row of ``fer2013.csv`` each image is, by its pixels: what joins FER+ to copies of FER-2013 with other names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fer_edge.errors import DataError
from fer_edge.preprocess import GrayImage
from fer_train.data.decoding import BrokenImageError, to_square
from fer_train.data.duplicates import pixel_digests
from fer_train.data.fer2013_csv import CsvReader
from fer_train.data.records import Record
from fer_train.parallel import ordered_map

MAX_DIFFERENCE: Final[float] = 6.0
"""Largest mean difference in grey levels between an image and its row; JPEG at quality 75 stays below 4."""
_SIDE: Final[int] = 48
_BLOCK: Final[int] = 6
_CHUNK: Final[int] = 1024


def rows_by_content(images: Sequence[GrayImage], csv_path: Path) -> npt.NDArray[np.int64]:
    """``(N,)`` row (counted from 0 after the header) of each grey image, or -1 when no row looks like it.

    Equal pixels decide first; otherwise the row with the nearest 8x8 thumbnail does, if its pixels differ by no more
    than :data:`MAX_DIFFERENCE` on average. Of rows with equal pixels each is given out once, in order.
    Raises :class:`DataError` when ``csv_path`` is no ``fer2013.csv``.
    """
    if not csv_path.is_file():
        raise DataError(f"no file {csv_path}; expected the fer2013.csv whose rows the votes follow")
    rows, pixels = _read_pixels(csv_path)
    small = [to_square(image, _SIDE) for image in images]
    result = np.full(len(images), -1, dtype=np.int64)
    queues: dict[bytes, list[int]] = defaultdict(list)
    for i, digest in enumerate(pixel_digests(pixels)):
        queues[digest].append(i)
    digests = pixel_digests(small)
    for i, digest in enumerate(digests):
        if digest in queues:
            queue = queues[digest]
            result[i] = rows[queue.pop(0) if len(queue) > 1 else queue[0]]
    left = np.flatnonzero(result < 0)
    thumbnails = _thumbnails(pixels)
    norms = (thumbnails * thumbnails).sum(axis=1)
    for start in range(0, len(left), _CHUNK):
        chunk = left[start : start + _CHUNK]
        queries = np.stack([small[i] for i in chunk])
        flat = _thumbnails(queries)
        # |a - b|^2 without |a|^2, which is the same for all candidates of a query.
        nearest = np.argmin(norms[None, :] - 2.0 * (flat @ thumbnails.T), axis=1)
        differences = np.abs(queries.astype(np.int16) - pixels[nearest].astype(np.int16)).mean(axis=(1, 2))
        close = differences <= MAX_DIFFERENCE
        result[chunk[close]] = rows[nearest[close]]
    return result


def _read_pixels(csv_path: Path) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    def decode(record: Record) -> tuple[int, GrayImage] | None:
        try:
            return int(record.entry.name.rpartition("_row")[2]), to_square(record.image.decode(), _SIDE)
        except BrokenImageError:
            return None

    pairs = [pair for pair in ordered_map(decode, CsvReader(csv_path).records()) if pair is not None]
    if not pairs:
        raise DataError(f"{csv_path} holds no readable image")
    return np.array([row for row, _ in pairs], dtype=np.int64), np.stack([image for _, image in pairs])


def _thumbnails(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """``(N, 48, 48)`` to ``(N, 64)`` block means around 0."""
    n = len(images)
    blocks: npt.NDArray[Any] = images.reshape(n, _SIDE // _BLOCK, _BLOCK, _SIDE // _BLOCK, _BLOCK)
    means = blocks.mean(axis=(2, 4), dtype=np.float32).reshape(n, -1) - np.float32(128)
    return np.asarray(means, dtype=np.float32)
