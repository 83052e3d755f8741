"""The order of the outputs of a network from elsewhere, and how to bring them into ours."""

from __future__ import annotations

from typing import Final

from fer_edge.errors import UsageError
from fer_edge.labels import EMOTIONS
from fer_train.data.emotion_words import emotion_of
from fer_train.importing.class_names import NUMBERINGS

__all__ = ["ORDERS", "OWN_ORDER", "class_order", "order_name"]

OWN_ORDER: Final[str] = "ours"


def _indices(names: tuple[str, ...]) -> tuple[int, ...]:
    return tuple(EMOTIONS.index(name) for name in names)


ORDERS: Final[dict[str, tuple[int, ...]]] = {
    OWN_ORDER: tuple(range(len(EMOTIONS))),
    "fer2013": _indices(NUMBERINGS["fer2013"]),
    "affectnet": _indices(NUMBERINGS["affectnet"][:7]),
    "rafdb": _indices(NUMBERINGS["rafdb"][1:]),
    # FER+ (Barsoum et al. 2016), without contempt: neutral, happiness, surprise, sadness, anger, disgust, fear.
    "ferplus": _indices(("neutral", "happy", "surprise", "sad", "angry", "disgust", "fear")),
}
"""Name -> the emotion (0..6, our order) of each output."""


def class_order(text: str) -> tuple[int, ...]:
    """``--labels``: a known order by name, or the seven emotions in the order of the outputs, separated by commas.

    Args:
        text: of the option.

    Returns:
        The index in :data:`fer_edge.labels.EMOTIONS` of each of the seven outputs.

    Raises:
        UsageError: for an unknown name, an unknown emotion, or a list that is not the seven emotions once each.
    """
    if text in ORDERS or text == "alphabetical":
        return ORDERS.get(text, ORDERS[OWN_ORDER])
    words = [word.strip() for word in text.split(",") if word.strip()]
    if len(words) == 1:
        raise UsageError(
            f"--labels: unknown order {text!r}; expected {', '.join(ORDERS)}, or the seven emotions separated by commas"
        )
    names = []
    for word in words:
        name = emotion_of(word)
        if name is None:
            raise UsageError(f"--labels: {word!r} is not one of {', '.join(EMOTIONS)}")
        names.append(name)
    if sorted(names) != sorted(EMOTIONS):
        raise UsageError(
            f"--labels: expected each of {', '.join(EMOTIONS)} once, in the order of the outputs; "
            f"got {', '.join(names)}"
        )
    return _indices(tuple(names))


def order_name(order: tuple[int, ...]) -> str:
    """What to give as ``--labels`` for an order.

    Args:
        order: the emotion (0..6, our order) of each output.

    Returns:
        Its name, or the emotions separated by commas.
    """
    for name, known in ORDERS.items():
        if known == order:
            return name
    return ",".join(EMOTIONS[i] for i in order)
