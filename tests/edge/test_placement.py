"""Labels and bars in a crowd: never on another face."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from fer_edge.capture.frames import Frame
from fer_edge.capture.pictures import read_image
from fer_edge.faces.detectors.yunet import YuNetDetector
from fer_edge.labels import EMOTIONS
from fer_edge.outputs.draw import annotate, arrange
from fer_edge.outputs.placement import Box, meet, place_bars, place_labels
from fer_edge.results import Face, Result


def faces_at(boxes: list[Box]) -> tuple[Face, ...]:
    rng = np.random.default_rng(5)
    faces = []
    for number, box in enumerate(boxes, 1):
        values = rng.dirichlet(np.full(7, 0.4)).astype(np.float32)
        emotion = None if number % 5 == 0 else EMOTIONS[int(values.argmax())]
        faces.append(Face(number, box, 1.0, emotion, values, values))
    return tuple(faces)


def drawn(image: npt.NDArray[np.uint8], boxes: list[Box]) -> npt.NDArray[np.uint8]:
    return annotate(Result(Frame(image, 0, 0.0, time.monotonic()), faces_at(boxes), 0.0))


def covered(image: npt.NDArray[np.uint8], boxes: list[Box]) -> list[int]:
    """Numbers of the faces inside whose lines anything was drawn."""
    shown = drawn(image, boxes)
    margin = 2 + round(image.shape[1] / 640)
    found = []
    for number, (x, y, w, h) in enumerate(boxes):
        inside = np.s_[y + margin : y + h - margin, x + margin : x + w - margin]
        if not np.array_equal(shown[inside], image[inside]):
            found.append(number)
    return found


def test_four_real_faces(assets: Path, yunet_model: Path) -> None:
    image = read_image(assets / "faces" / "four_faces.jpg")
    boxes = [face.box for face in YuNetDetector(yunet_model).detect(image)]
    assert len(boxes) == 4
    assert covered(image, boxes) == []


def test_four_faces_side_by_side() -> None:
    """As in the real picture: small ones at the edges, large ones between, with little room."""
    image = np.full((355, 512, 3), 90, np.uint8)
    boxes = [(5, 101, 45, 59), (135, 87, 90, 115), (259, 55, 89, 119), (439, 120, 51, 65)]
    assert covered(image, boxes) == []
    assert not np.array_equal(drawn(image, boxes), image)


@pytest.mark.parametrize("seed", range(12))
def test_crowds(seed: int) -> None:
    """Random faces that do not overlap: nothing is drawn on a face but what is its own."""
    rng = np.random.default_rng(seed)
    width, height = int(rng.integers(300, 1500)), int(rng.integers(200, 1000))
    boxes: list[Box] = []
    for _ in range(60):
        side = int(rng.integers(16, 120))
        box = (int(rng.integers(0, width - side)), int(rng.integers(0, height - side)), side, side)
        grown = (box[0] - 8, box[1] - 8, side + 16, side + 16)
        if not any(meet(grown, other) for other in boxes):
            boxes.append(box)
    labels, bars = arrange(faces_at(boxes), width, height)
    things = [(number, thing.box) for placed in (labels, bars) for number, thing in enumerate(placed) if thing]
    assert len(things) >= len(boxes) // 2
    for index, (owner, box) in enumerate(things):
        assert box[0] >= 0 and box[1] >= 0 and box[0] + box[2] <= width and box[1] + box[3] <= height
        assert not any(meet(box, other) for number, other in enumerate(boxes) if number != owner)
        assert not any(meet(box, other) for _, other in things[index + 1 :])
    image = rng.integers(0, 255, (height, width, 3), np.uint8)
    own_inside = {n for n, label in enumerate(labels) if label is not None and meet(label.box, boxes[n])}
    assert set(covered(image, boxes)) <= own_inside
    assert len(own_inside) < len(boxes) // 2  # the last resort


def test_a_face_alone_has_its_label_above_and_its_bars_beside() -> None:
    [label] = place_labels([(100, 100, 80, 80)], [["#1 happy"]], lambda *_: (90, 20), 640, 480)
    assert label is not None and label.box == (100, 80, 90, 20)
    [bars] = place_bars([(100, 100, 80, 80)], [label], lambda _: (106, 84), 640, 480)
    assert bars is not None and bars.box[:2] == (181, 100)


def test_where_nothing_fits_nothing_is_drawn() -> None:
    faces = [(0, 0, 50, 50), (50, 0, 50, 50)]
    assert place_labels(faces, [["#1"], ["#2"]], lambda *_: (60, 20), 100, 50) == [None, None]
    assert place_bars(faces, [None, None], lambda _: (60, 20), 100, 50) == [None, None]
    drawn(np.zeros((3, 3, 3), np.uint8), [(0, 0, 3, 3)])
