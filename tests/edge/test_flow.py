from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from fer_edge.faces.detection import DetectedFace
from fer_edge.faces.follow import BoxFlow


@pytest.fixture
def textured() -> npt.NDArray[np.uint8]:
    """Smooth random structure, 480x640, that moves as a whole when rolled."""
    rng = np.random.default_rng(5)
    coarse = rng.integers(0, 256, (48, 64, 3), np.uint8)
    import cv2

    return np.asarray(cv2.resize(coarse, (640, 480), interpolation=cv2.INTER_CUBIC), np.uint8)


def test_box_and_landmarks_move_with_the_picture(textured: npt.NDArray[np.uint8]) -> None:
    flow = BoxFlow()
    landmarks = np.full((5, 2), 250, np.float32)
    faces = [DetectedFace((200, 150, 100, 120), 0.9, landmarks), DetectedFace((400, 100, 60, 60), 0.8)]
    flow.see(textured)
    for step in (1, 2, 3):
        faces = flow.follow(faces, np.roll(textured, (4 * step, 6 * step), axis=(0, 1)))
    assert np.abs(np.array(faces[0].box) - (218, 162, 100, 120)).max() <= 2
    assert np.abs(np.array(faces[1].box) - (418, 112, 60, 60)).max() <= 2
    assert faces[0].landmarks is not None
    np.testing.assert_allclose(faces[0].landmarks, [[268, 262]] * 5, atol=2)


def test_a_face_that_leaves_the_picture_is_dropped(textured: npt.NDArray[np.uint8]) -> None:
    flow = BoxFlow()
    flow.see(textured)
    assert flow.follow([DetectedFace((200, 150, 80, 80), 0.9)], np.zeros_like(textured)) == []


def test_without_a_frame_before_or_after_a_change_of_size_nothing_is_followed(textured: npt.NDArray[np.uint8]) -> None:
    face = DetectedFace((20, 20, 50, 50), 0.9)
    flow = BoxFlow()
    assert flow.follow([face], textured) == []
    assert flow.follow([face], textured[:200]) == []
    assert flow.follow([], textured) == []


def test_the_small_picture_is_used_where_there_is_one(textured: npt.NDArray[np.uint8]) -> None:
    small = textured[::2, ::2].copy()
    flow = BoxFlow()
    flow.see(textured, small)
    blank = np.zeros_like(textured)  # would lose the face, were it looked at
    moved = flow.follow([DetectedFace((200, 150, 100, 100), 0.9)], blank, np.roll(small, 5, axis=1))
    assert np.abs(np.array(moved[0].box) - (210, 150, 100, 100)).max() <= 2
