"""Types of arrays that :mod:`fer_edge.arrays` does not have, defined once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["Labels"]

Labels = npt.NDArray[np.int64]
"""``(N,)`` class of each image, 0..6 in the order of :data:`fer_edge.labels.EMOTIONS`."""
