"""What holds where nothing else is asked for: the same in Python and in ``fer-camera``."""

from __future__ import annotations

from typing import Final

__all__ = [
    "DEFAULT_BACKEND",
    "DEFAULT_DETECTOR",
    "DEFAULT_DETECT_EVERY",
    "DEFAULT_DETECT_WIDTH",
    "DEFAULT_HYSTERESIS",
    "DEFAULT_MARGIN",
    "DEFAULT_MIN_CONFIDENCE",
    "DEFAULT_SEARCH",
    "DEFAULT_SMOOTHING_S",
    "DEFAULT_THREADS",
    "SEARCHES",
    "SMALLEST_FACE",
]

DEFAULT_DETECTOR: Final[str] = "auto"
DEFAULT_DETECT_WIDTH: Final[int] = 320
"""Frames wider than this are shrunk to it before detection. A face should keep about 16 pixels or more."""
DEFAULT_DETECT_EVERY: Final[int] = 1
"""Faces are searched in every N-th frame."""
SEARCHES: Final = ("adaptive", "full")
"""How a video is searched for faces: see :mod:`fer_edge.faces.search`."""
DEFAULT_SEARCH: Final[str] = "adaptive"
DEFAULT_BACKEND: Final[str] = "auto"
DEFAULT_THREADS: Final[int] = 1
"""Of the network: on a small device the face detector needs the other cores more."""
DEFAULT_MARGIN: Final[float] = 0.0
"""Extra space around a detected face, as a fraction of the box's longer side, on each side."""
DEFAULT_SMOOTHING_S: Final[float] = 0.2
"""Time constant of the averaged probabilities, in seconds."""
DEFAULT_HYSTERESIS: Final[float] = 0.1
"""Lead in probability that a new label needs over the present one."""
DEFAULT_MIN_CONFIDENCE: Final[float] = 0.35
"""Below this probability the answer is uncertain: the emotion is None."""
SMALLEST_FACE: Final[int] = 24
"""Width in pixels of the photo from which on faces are searched."""
