"""From YuNet's maps to faces: threshold, decoding, suppression, averaging.

The formulas are those of OpenCV's ``FaceDetectorYN`` (modules/objdetect/src/face_detect.cpp), and give its faces.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from fer_edge.arrays import FloatArray
from fer_edge.faces.yunet_weights import STRIDES

AVERAGED_OVERLAP: Final[float] = 0.5
"""Candidates that overlap the winner by more than this take part in its average."""


def candidates(maps: list[FloatArray], score: float) -> FloatArray:
    """Candidates with at least this score, best first.

    Args:
        maps: ``(H / s, W / s, 16)`` for strides 8, 16, 32: logits of class and object, box and landmarks in cells.
        score: least geometric mean of the two probabilities, in (0, 1).

    Returns:
        ``(n, 15)``: x, y, width, height, five landmarks x and y, all in pixels of the view, and the score.
    """
    # The geometric mean reaches `score` only where each probability reaches its square.
    least = math.log(score**2 / (1.0 - score**2))
    found = []
    for stride, values in zip(STRIDES, maps, strict=True):
        rows, columns = np.nonzero((values[..., 0] >= least) & (values[..., 1] >= least))
        if not len(rows):
            continue
        cells = values[rows, columns]
        probability = np.float32(1.0) / (np.float32(1.0) + np.exp(-cells[:, :2]))
        found.append(_decoded(stride, rows, columns, probability, np.exp(cells[:, 4:6]), cells))
    return _best_first(found, score)


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
        found = []
        for stride, steps in zip(STRIDES, maps, strict=True):
            rows, columns = np.nonzero((steps[..., 0] >= self._least) & (steps[..., 1] >= self._least))
            if not len(rows):
                continue
            cells = steps[rows, columns].view(np.uint8) ^ np.uint8(0x80)
            probability, size = self._probability[cells[:, :2]], self._size[cells[:, 4:6]]
            values = self._values[cells, np.arange(cells.shape[1])]
            found.append(_decoded(stride, rows, columns, probability, size, values))
        return _best_first(found, self._score)


def _decoded(
    stride: int,
    rows: npt.NDArray[np.intp],
    columns: npt.NDArray[np.intp],
    probability: FloatArray,
    size: FloatArray,
    cells: FloatArray,
) -> FloatArray:
    """``(n, 15)`` of the cells at these places; sizes in cells."""
    out = np.empty((len(cells), 15), np.float32)
    size = size * stride
    centre = (cells[:, 2:4] + np.stack([columns, rows], axis=1)) * stride
    out[:, 0:2], out[:, 2:4] = centre - size / 2.0, size
    out[:, 4:14:2] = (cells[:, 6:16:2] + columns[:, None]) * stride
    out[:, 5:14:2] = (cells[:, 7:16:2] + rows[:, None]) * stride
    out[:, 14] = np.sqrt(probability[:, 0] * probability[:, 1])
    return out


def _best_first(found: list[FloatArray], score: float) -> FloatArray:
    every = np.concatenate(found) if found else np.empty((0, 15), np.float32)
    every = every[every[:, 14] >= score]
    return every[np.argsort(-every[:, 14], kind="stable")]


def suppress(found: FloatArray, overlap: float, *, average: bool) -> FloatArray:
    """One row for each face: the best of the candidates that overlap by more than ``overlap``.

    Args:
        found: as :func:`candidates` gives them.
        overlap: largest intersection over union of two faces, on boxes cut to whole pixels as OpenCV does.
        average: whether box and landmarks are the mean, weighted by the squared score, of all candidates that overlap
            the winner by more than :data:`AVERAGED_OVERLAP`. The winner flips between neighbouring cells from frame to
            frame; the mean does not, so boxes and answers are steadier.

    Returns:
        ``(faces, 15)``, best first; the score is the winner's.
    """
    boxes = np.trunc(found[:, :4]).astype(np.float64)
    left = np.ones(len(found), bool)
    kept = []
    for i in range(len(found)):
        if not left[i]:
            continue
        shares = _overlaps(boxes[i], boxes)
        left &= shares <= overlap
        row = found[i]
        if average:
            near = shares > AVERAGED_OVERLAP
            near[i] = True
            weights = found[near, 14].astype(np.float64) ** 2
            row = row.copy()
            row[:14] = (found[near, :14] * weights[:, None]).sum(axis=0) / math.fsum(weights)
        kept.append(row)
    return np.stack(kept) if kept else np.empty((0, 15), np.float32)


def _overlaps(box: npt.NDArray[np.float64], boxes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Intersection over union of one box with all."""
    near = np.maximum(boxes[:, :2], box[:2])
    far = np.minimum(boxes[:, :2] + boxes[:, 2:], box[:2] + box[2:])
    sides = np.clip(far - near, 0.0, None)
    both = sides[:, 0] * sides[:, 1]
    union = boxes[:, 2] * boxes[:, 3] + box[2] * box[3] - both
    shares: npt.NDArray[np.float64] = np.divide(both, union, out=np.zeros(len(boxes)), where=union > 0.0)
    return shares
