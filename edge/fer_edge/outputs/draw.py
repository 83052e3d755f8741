"""Boxes, labels and blurred faces on a frame, for window, saved video and web page."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from fer_edge.labels import EMOTIONS
from fer_edge.results import Face, Result

UNCERTAIN: Final[str] = "uncertain"
COLOURS_BGR: Final[dict[str, tuple[int, int, int]]] = {
    "angry": (60, 60, 230),
    "disgust": (70, 160, 70),
    "fear": (200, 80, 160),
    "happy": (50, 200, 250),
    "neutral": (200, 200, 200),
    "sad": (230, 140, 60),
    "surprise": (220, 200, 60),
    UNCERTAIN: (140, 140, 140),
}
BLUR_BLOCKS: Final[int] = 8
"""A blurred face keeps this many squares along its longer side: nobody is recognised by 8x8."""
BLUR_MARGIN: Final[float] = 0.25
_FONT: Final[int] = cv2.FONT_HERSHEY_SIMPLEX


def annotate(result: Result, *, blur: bool = False) -> npt.NDArray[np.uint8]:
    """A copy of the frame ``(H, W, 3)`` BGR with box, name, confidence and seven bars for each face.

    With ``blur`` the faces are made unrecognisable first.
    """
    image = result.image.copy()
    if blur:
        for face in result.faces:
            blur_box(image, face.box)
    for face in result.faces:
        _draw_face(image, face)
    return image


def blur_box(image: npt.NDArray[np.uint8], box: tuple[int, int, int, int], margin: float = BLUR_MARGIN) -> None:
    """Replace a face and a margin around it by coarse squares, in place."""
    x, y, w, h = box
    extra = round(max(w, h) * margin)
    top, bottom = max(y - extra, 0), min(y + h + extra, image.shape[0])
    left, right = max(x - extra, 0), min(x + w + extra, image.shape[1])
    part = image[top:bottom, left:right]
    longer = max(part.shape[:2])
    blocks = (max(1, part.shape[1] * BLUR_BLOCKS // longer), max(1, part.shape[0] * BLUR_BLOCKS // longer))
    coarse = cv2.resize(part, blocks, interpolation=cv2.INTER_AREA)
    image[top:bottom, left:right] = cv2.resize(coarse, part.shape[1::-1], interpolation=cv2.INTER_NEAREST)


def _draw_face(image: npt.NDArray[np.uint8], face: Face) -> None:
    height, width = image.shape[:2]
    unit = max(1.0, width / 640.0)  # so that a large frame gets readable letters
    line = round(2 * unit)
    x, y, w, h = face.box
    name = face.emotion or UNCERTAIN
    colour = COLOURS_BGR[name]
    cv2.rectangle(image, (x, y), (x + w, y + h), colour, line)

    confidence = float(face.probabilities[EMOTIONS.index(name)] if face.emotion else face.probabilities.max())
    text = f"#{face.track_id} {name} {confidence:.0%}"
    scale = 0.5 * unit
    (text_width, text_height), below = cv2.getTextSize(text, _FONT, scale, max(1, line // 2))
    pad = round(3 * unit)
    plate = text_height + below + 2 * pad
    top = y - plate if y >= plate else min(y + h, height - plate)  # under the box where there is no room above
    left = max(0, min(x, width - text_width - 2 * pad))
    cv2.rectangle(image, (left, top), (left + text_width + 2 * pad, top + plate), colour, cv2.FILLED)
    origin = (left + pad, top + pad + text_height)
    cv2.putText(image, text, origin, _FONT, scale, (0, 0, 0), max(1, line // 2), cv2.LINE_AA)
    _draw_bars(image, face, unit)


def _draw_bars(image: npt.NDArray[np.uint8], face: Face, unit: float) -> None:
    """Seven bars beside the box, on the side where there is room; left out where there is none."""
    x, y, w, _ = face.box
    row, name_width, bar_width = round(12 * unit), round(50 * unit), round(50 * unit)
    total_width, total_height = name_width + bar_width + round(6 * unit), row * len(EMOTIONS)
    if x + w + total_width <= image.shape[1]:
        left = x + w + round(3 * unit)
    elif x - total_width >= 0:
        left = x - total_width + round(3 * unit)
    else:
        return
    top = max(0, min(y, image.shape[0] - total_height))
    area = image[top : top + total_height, left : left + name_width + bar_width]
    if area.shape[0] < total_height:
        return
    area //= 2  # a darker ground, whatever is behind
    for number, (name, probability) in enumerate(zip(EMOTIONS, face.probabilities, strict=True)):
        row_top = top + number * row
        baseline = (left + round(2 * unit), row_top + row - round(3 * unit))
        cv2.putText(image, name, baseline, _FONT, 0.33 * unit, (255, 255, 255), max(1, round(unit)), cv2.LINE_AA)
        start = left + name_width
        end = start + round(bar_width * float(probability))
        cv2.rectangle(image, (start, row_top + 2), (end, row_top + row - 3), COLOURS_BGR[name], cv2.FILLED)
