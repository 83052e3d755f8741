"""From YuNet's maps to faces: threshold, decoding, suppression, averaging.

The formulas are those of OpenCV's ``FaceDetectorYN`` (modules/objdetect/src/face_detect.cpp), and give its faces.
"""

from __future__ import annotations

import functools
import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fer_edge.arrays import FloatArray
from fer_edge.faces.yunet_forms import STRIDES

AVERAGED_OVERLAP: Final[float] = 0.5
"""Candidates that overlap the winner by more than this take part in its average."""
_NONE: Final[FloatArray] = np.empty((0, 15), np.float32)
_CHANNELS: Final = np.arange(16)


def candidates(maps: list[FloatArray], score: float) -> FloatArray:
    """Candidates with at least this score, best first.

    Args:
        maps: ``(H / s, W / s, 16)`` for strides 8, 16, 32: logits of class and object, box and landmarks in cells.
        score: least geometric mean of the two probabilities, in (0, 1).

    Returns:
        ``(n, 15)``: x, y, width, height, five landmarks x and y, all in pixels of the view, and the score.
    """
    # The geometric mean reaches `score` only where each probability reaches its square.
    places, cells = _promising(maps, math.log(score**2 / (1.0 - score**2)))
    if not len(cells):
        return _NONE
    probability = np.float32(1.0) / (np.float32(1.0) + np.exp(-cells[:, :2]))
    return _best_first(_decoded(places, probability, np.exp(cells[:, 4:6]), cells), score)


class Int8Candidates:
    """The same from int8 maps, by tables of all 256 values: the same numbers on every processor.

    (Exponential functions differ in the last bit between processors; in float32 tables made from double precision they
    do not.)

    Args:
        ranges: ``(16, 2)`` least and greatest value of each channel.
        score: least score, as for :func:`candidates`.
    """

    def __init__(self, ranges: FloatArray, score: float) -> None:
        self._score = score
        low, high = ranges.astype(np.float64).T[..., None]
        values = low + (high - low) * np.arange(256) / 255.0
        self._values = values.T.astype(np.float32)
        self._size = np.array([math.exp(value) for value in values[4]], np.float32)
        self._probability = np.array([1.0 / (1.0 + math.exp(-value)) for value in values[0]], np.float32)
        enough = np.flatnonzero(self._probability >= score**2)
        self._least = int(enough[0]) - 128 if len(enough) else 128

    def find(self, maps: list[npt.NDArray[np.int8]]) -> FloatArray:
        """See :func:`candidates`; ``maps`` are int8."""
        places, steps = _promising(maps, self._least)
        if not len(steps):
            return _NONE
        cells = steps.view(np.uint8) ^ np.uint8(0x80)
        probability, size = self._probability[cells[:, :2]], self._size[cells[:, 4:6]]
        return _best_first(_decoded(places, probability, size, self._values[cells, _CHANNELS]), self._score)


@functools.lru_cache(maxsize=16)
def _places(shapes: tuple[tuple[int, int], ...]) -> npt.NDArray[np.float64]:
    """``(cells, 3)``: column, row and stride of each cell of maps of these heights and widths, one map after another.

    Made once for each size of view: what is left to do for a frame is done for all strides together.
    """
    parts = []
    for (height, width), stride in zip(shapes, STRIDES, strict=True):
        rows, columns = np.divmod(np.arange(height * width), width)
        parts.append(np.stack([columns, rows, np.full_like(rows, stride)], axis=1))
    return np.concatenate(parts).astype(np.float64)


def _promising(maps: list[npt.NDArray[Any]], least: float) -> tuple[npt.NDArray[np.float64], npt.NDArray[Any]]:
    """Places ``(n, 3)`` and cells ``(n, 16)`` of which both logits reach ``least``."""
    cells = np.concatenate([values.reshape(-1, values.shape[-1]) for values in maps])
    which = np.flatnonzero(np.minimum(cells[:, 0], cells[:, 1]) >= least)
    return _places(tuple(values.shape[:2] for values in maps))[which], cells[which]


def _decoded(
    places: npt.NDArray[np.float64], probability: FloatArray, size: FloatArray, cells: FloatArray
) -> FloatArray:
    """``(n, 15)`` of the cells at these places; sizes in cells."""
    out = np.empty((len(cells), 15), np.float32)
    stride = places[:, 2:]
    pixels = size * stride
    out[:, 0:2], out[:, 2:4] = (cells[:, 2:4] + places[:, :2]) * stride - pixels / 2.0, pixels
    points = (cells[:, 6:16].reshape(-1, 5, 2) + places[:, None, :2]) * stride[:, None]
    out[:, 4:14] = points.reshape(-1, 10)
    out[:, 14] = np.sqrt(probability[:, 0] * probability[:, 1])
    return out


def _best_first(every: FloatArray, score: float) -> FloatArray:
    every = every[every[:, 14] >= score]
    return every[np.argsort(-every[:, 14], kind="stable")]


def suppress(rows: FloatArray, overlap: float, *, average: bool) -> FloatArray:
    """One row for each face: the best of the candidates that overlap by more than ``overlap``.

    Args:
        rows: as :func:`candidates` gives them.
        overlap: largest intersection over union of two faces, on boxes cut to whole pixels as OpenCV does.
        average: whether box and landmarks are the mean, weighted by the squared score, of all candidates that overlap
            the winner by more than :data:`AVERAGED_OVERLAP`. The winner flips between neighbouring cells from frame to
            frame; the mean does not, so boxes and answers are steadier.

    Returns:
        ``(faces, 15)``, best first; the score is the winner's.
    """
    boxes = np.trunc(rows[:, :4]).astype(np.float64)
    corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
    areas = boxes[:, 2] * boxes[:, 3]
    left = np.arange(len(rows))
    kept = []
    while len(left):
        first = left[0]
        shares = _overlaps(first, corners, areas)
        row = rows[first]
        if average:
            near = shares > AVERAGED_OVERLAP
            near[first] = True
            weights = rows[near, 14].astype(np.float64) ** 2
            row = row.copy()
            row[:14] = (rows[near, :14] * weights[:, None]).sum(axis=0) / math.fsum(weights)
        kept.append(row)
        left = left[1:][shares[left[1:]] <= overlap]
    return np.stack(kept) if kept else _NONE


def _overlaps(index: int, corners: npt.NDArray[np.float64], areas: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Intersection over union of one box with all."""
    near = np.maximum(corners[:, :2], corners[index, :2])
    far = np.minimum(corners[:, 2:], corners[index, 2:])
    sides = np.maximum(far - near, 0.0)
    both = sides[:, 0] * sides[:, 1]
    union = areas + areas[index] - both
    shares: npt.NDArray[np.float64] = np.divide(both, union, out=np.zeros(len(areas)), where=union > 0.0)
    return shares
