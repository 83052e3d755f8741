"""The faces that calibration of the INT8 ranges looks at."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from fer_edge.labels import NUM_EMOTIONS
from fer_edge.preprocess import resize_gray
from fer_train.data.dataset import Split
from fer_train.synthetic.faces import SYNTHETIC_SPLIT, synthetic_split

__all__ = ["REPRESENTATIVES_PER_CLASS", "representative_faces", "synthetic_representatives"]

REPRESENTATIVES_PER_CLASS: Final[int] = 30


def representative_faces(
    split: Split, size: int, per_class: int = REPRESENTATIVES_PER_CLASS, seed: int = 0
) -> npt.NDArray[np.uint8]:
    """A stratified sample: up to ``per_class`` images of every class.

    The first images of a folder would be those of one class, and calibrate the network for angry faces only.

    Args:
        split: labelled images.
        size: side of the faces, in pixels.
        per_class: at most this many of each class.
        seed: of the choice.

    Returns:
        ``(N, size, size)`` uint8.
    """
    rng = np.random.default_rng(seed)
    chosen = []
    for label in range(NUM_EMOTIONS):
        members = np.flatnonzero(split.labels == label)
        chosen.append(rng.permutation(members)[:per_class])
    indices = np.sort(np.concatenate(chosen))
    return np.stack([resize_gray(np.asarray(split.images[i]), size) for i in indices])


def synthetic_representatives() -> Split:
    """Synthetic faces to calibrate on where there is no data set: others than those that are judged on.

    Returns:
        A split named ``synthetic``.
    """
    return synthetic_split(REPRESENTATIVES_PER_CLASS, seed=1, name=SYNTHETIC_SPLIT)
