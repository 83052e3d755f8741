"""What those who write YuNet's TFLite files and those who run them agree on; the writers are loaded only to write."""

from __future__ import annotations

from typing import Final

import numpy as np

from fer_edge.arrays import FloatArray

__all__ = ["FLOAT_FORMAT", "HEAD_RANGES", "INT8_FORMAT", "STRIDES"]

STRIDES: Final[tuple[int, ...]] = (8, 16, 32)
"""Pixels for each cell of the three maps."""
FLOAT_FORMAT: Final[int] = 1
"""Of the float file; a cached file of another format is not used."""
INT8_FORMAT: Final[int] = 1
"""Of the INT8 file; to be raised with every change of :mod:`fer_edge.faces.yunet_int8` or of the ranges. A cached file
of another format is not used."""
HEAD_RANGES: Final[FloatArray] = np.array(
    [(-3.0, 6.0)] * 2 + [(-3.0, 3.5)] * 2 + [(-1.5, 3.5)] * 2 + [(-5.0, 6.5)] * 10, np.float32
)
"""``(16, 2)``: least and greatest value of each output of the INT8 form: logits of class and object, centre in cells,
logarithm of the size in cells, landmarks in cells. A face of 300 pixels at stride 32 and one of 8 at stride 8 lie
within."""
