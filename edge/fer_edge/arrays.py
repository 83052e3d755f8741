"""Types of arrays that the modules hand to each other, defined once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["FloatArray", "Image"]

Image = npt.NDArray[np.uint8]
"""A picture: ``(H, W, 3)`` in the order B, G, R, or ``(H, W)`` grey; uint8, row 0 at the top."""
FloatArray = npt.NDArray[np.float32]
"""Real numbers, float32, for example probabilities ``(N, 7)`` in the order of :data:`fer_edge.labels.EMOTIONS`."""
