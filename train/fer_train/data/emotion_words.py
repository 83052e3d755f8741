"""How people spell the seven emotions in folder names, tables and lists."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["CLASS_OF", "SPELLINGS", "emotion_of", "plain"]

SPELLINGS: Final[dict[str, tuple[str, ...]]] = {
    "angry": ("angry", "anger", "angriness", "ang"),
    "disgust": ("disgust", "disgusted", "dis"),
    "fear": ("fear", "fearful", "afraid", "scared", "fea"),
    "happy": ("happy", "happiness", "joy", "happ", "hap"),
    "neutral": ("neutral", "neutrality", "natural", "neu"),
    "sad": ("sad", "sadness"),
    "surprise": ("surprise", "surprised", "suprise", "suprised", "sur"),
}
CLASS_OF: Final[dict[str, str]] = {word: name for name, words in SPELLINGS.items() for word in words}


def emotion_of(word: str) -> str | None:
    """Our name of an emotion that somebody spells ``Anger``, ``happiness`` or ``surprised``.

    Args:
        word: the word.

    Returns:
        One of :data:`fer_edge.labels.EMOTIONS`, or None for other words.
    """
    return CLASS_OF.get(plain(word))


def plain(part: str) -> str:
    """Lower-case letters and digits alone: ``Train-Set`` is ``trainset``.

    Args:
        part: a word.

    Returns:
        The letters and digits.
    """
    return re.sub(r"[^a-z0-9]", "", part.lower())
