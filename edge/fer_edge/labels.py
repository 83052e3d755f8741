"""The seven emotions and their order: the only copy in the toolkit.

The order is alphabetical, as the class folders of the Kaggle download of FER-2013 sort. The original ``fer2013.csv``
numbers the classes differently; ``fer_train.data.dataset`` maps them on reading, so that nothing else has to know.
"""

from __future__ import annotations

from typing import Final

__all__ = ["EMOTIONS", "NUM_EMOTIONS"]

EMOTIONS: Final[tuple[str, ...]] = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")
"""Class names in the order of every model's seven outputs."""

NUM_EMOTIONS: Final[int] = len(EMOTIONS)
