"""Boxes, labels and blurred faces on a frame, for window, saved video and web page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import cv2
import numpy as np

from fer_edge.arrays import Image
from fer_edge.labels import EMOTIONS
from fer_edge.outputs.placement import Placed, place_bars, place_labels
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


def annotate(result: Result, *, blur: bool = False, into: Image | None = None) -> Image:
    """A copy of the frame ``(H, W, 3)`` BGR with box, name, confidence and seven bars for each face.

    Args:
        result: the frame and its faces.
        blur: make the faces unrecognisable first.
        into: an earlier copy, to be written over if its size fits: memory and time of a new one are spared; or the
            frame itself, to be drawn on.

    Returns:
        The copy, or the frame itself.
    """
    if into is result.image:
        image = into
    elif into is not None and into.shape == result.image.shape:
        image = into
        np.copyto(image, result.image)
    else:
        image = result.image.copy()
    if blur:
        for face in result.faces:
            blur_box(image, face.box)
    draw_faces(image, result.faces)
    return image


def shrunk(result: Result, width: int) -> Result:
    """A result with a smaller picture, and its boxes on that.

    Args:
        result: the frame and its faces.
        width: of the picture at most, in pixels.

    Returns:
        The result; the same one where its picture is no wider.
    """
    height_before, width_before = result.image.shape[:2]
    if width_before <= width:
        return result
    height = max(1, round(height_before * width / width_before))
    image = np.asarray(cv2.resize(result.image, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)

    def fit(box: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
        left, top = box[0] * width // width_before, box[1] * height // height_before
        right = -(-(box[0] + box[2]) * width // width_before)
        bottom = -(-(box[1] + box[3]) * height // height_before)
        return left, top, max(1, right - left), max(1, bottom - top)

    faces = tuple(replace(face, box=fit(face.box)) for face in result.faces)
    return replace(result, frame=replace(result.frame, image=image), faces=faces)


def blur_box(image: Image, box: tuple[int, int, int, int], margin: float = BLUR_MARGIN) -> None:
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


def draw_faces(image: Image, faces: Sequence[Face]) -> None:
    """Draw boxes, labels and bars on ``(H, W, 3)`` BGR, in place; labels and bars never cover another face.

    In a crowd they get smaller, then say less, then are left out; the box and its colour stay.
    """
    height, width = image.shape[:2]
    unit = _unit(width)
    labels, bars = arrange(faces, width, height)
    for face in faces:
        x, y, w, h = face.box
        cv2.rectangle(image, (x, y), (x + w, y + h), COLOURS_BGR[face.emotion or UNCERTAIN], round(2 * unit))
    for face, label, bar in zip(faces, labels, bars, strict=True):
        if label is not None:
            _draw_label(image, label, unit, COLOURS_BGR[face.emotion or UNCERTAIN])
        if bar is not None:
            _draw_bars(image, face, bar, unit)


def arrange(faces: Sequence[Face], width: int, height: int) -> tuple[list[Placed | None], list[Placed | None]]:
    """Labels and bars of the faces in a picture of this size, each with its place, or None where there is none."""
    unit = _unit(width)
    # What is drawn of a face is its box with the line around it.
    edge = -(-round(2 * unit) // 2)
    boxes = [(x - edge, y - edge, w + 2 * edge, h + 2 * edge) for x, y, w, h in (face.box for face in faces)]
    texts = [_texts(face) for face in faces]
    labels = place_labels(boxes, texts, lambda text, scale: _label_size(text, scale * unit), width, height)
    return labels, place_bars(boxes, labels, lambda scale: _bars_size(scale * unit), width, height)


def _unit(width: int) -> float:
    """Pixels per unit of drawing, so that a large frame gets readable letters."""
    return max(1.0, width / 640.0)


def _texts(face: Face) -> list[str]:
    name = face.emotion or UNCERTAIN
    confidence = float(face.probabilities[EMOTIONS.index(name)] if face.emotion else face.probabilities.max())
    return [f"#{face.track_id} {name} {confidence:.0%}", f"#{face.track_id} {name}", f"#{face.track_id}"]


def _label_size(text: str, unit: float) -> tuple[int, int]:
    (width, height), below = cv2.getTextSize(text, _FONT, 0.5 * unit, max(1, round(unit)))
    pad = round(3 * unit)
    return width + 2 * pad, height + below + 2 * pad


def _draw_label(image: Image, label: Placed, unit: float, colour: tuple[int, int, int]) -> None:
    left, top, width, height = label.box
    unit *= label.scale
    thickness, pad = max(1, round(unit)), round(3 * unit)
    (_, text_height), _ = cv2.getTextSize(label.text, _FONT, 0.5 * unit, thickness)
    cv2.rectangle(image, (left, top), (left + width - 1, top + height - 1), colour, cv2.FILLED)
    origin = (left + pad, top + pad + text_height)
    cv2.putText(image, label.text, origin, _FONT, 0.5 * unit, (0, 0, 0), thickness, cv2.LINE_AA)


def _bars_size(unit: float) -> tuple[int, int]:
    return round(106 * unit), round(12 * unit) * len(EMOTIONS)


def _draw_bars(image: Image, face: Face, place: Placed, unit: float) -> None:
    """Seven bars, one per emotion, on a darker ground."""
    left, top, width, height = place.box
    unit *= place.scale
    row, start, bar_width = round(12 * unit), left + round(52 * unit), round(50 * unit)
    ground = image[top : top + height, left : left + width]
    ground //= 2
    for number, (name, probability) in enumerate(zip(EMOTIONS, face.probabilities, strict=True)):
        row_top = top + number * row
        baseline = (left + round(2 * unit), row_top + row - round(3 * unit))
        thickness = max(1, round(unit))
        cv2.putText(image, name, baseline, _FONT, 0.33 * unit, (255, 255, 255), thickness, cv2.LINE_AA)
        end = start + round(bar_width * float(probability))
        cv2.rectangle(image, (start, row_top + 2), (end, row_top + row - 3), COLOURS_BGR[name], cv2.FILLED)
