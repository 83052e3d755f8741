"""What cameras, light, networks and face detectors do to a face: kinds of disturbance at three strengths.

For the robustness benchmark (``fer-bench robustness``) and for training. Everything is numpy and OpenCV.

>>> import numpy as np
>>> from fer_train.disturbances import KINDS, disturb, generator
>>> face = np.full((48, 48), 128, np.uint8)
>>> disturb(face, KINDS["noise"], 2, generator(seed=0, kind="noise", strength=2, index=17)).shape
(48, 48)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fer_edge.lazy import lazy_names

if TYPE_CHECKING:
    from fer_train.disturbances.kinds import (
        KINDS,
        STRENGTHS,
        Kind,
        disturb,
        disturb_faces,
        generator,
    )
    from fer_train.disturbances.names import FOR_TRAINING, HELD_OUT

__all__ = ["FOR_TRAINING", "HELD_OUT", "KINDS", "STRENGTHS", "Kind", "disturb", "disturb_faces", "generator"]

_HOMES: Final[dict[str, str]] = {
    "FOR_TRAINING": "fer_train.disturbances.names",
    "HELD_OUT": "fer_train.disturbances.names",
    "KINDS": "fer_train.disturbances.kinds",
    "STRENGTHS": "fer_train.disturbances.kinds",
    "Kind": "fer_train.disturbances.kinds",
    "disturb": "fer_train.disturbances.kinds",
    "disturb_faces": "fer_train.disturbances.kinds",
    "generator": "fer_train.disturbances.kinds",
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
