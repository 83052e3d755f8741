"""The one way from a frame to the model's input."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from fer_edge.preprocess import DETAIL_SIDE, _box_mean, preprocess_face, reduce_detail, resize_gray


def noise(side: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(side).integers(0, 256, (side, side), np.uint8)


@pytest.mark.parametrize("side", [1, 20, 47, DETAIL_SIDE])
def test_faces_as_in_training_are_resized_at_once(side: int) -> None:
    face = noise(side)
    assert reduce_detail(face, 96) is face
    at_once = cv2.resize(face, (96, 96), interpolation=cv2.INTER_LINEAR_EXACT)
    assert np.array_equal(preprocess_face(face, 96), at_once)
    assert np.array_equal(resize_gray(face, 96), at_once)


@pytest.mark.parametrize("side", [49, 96, 150, 192, 500])
def test_sharper_faces_are_first_reduced_to_what_training_faces_hold(side: int) -> None:
    face = noise(side)
    assert reduce_detail(face, 96).shape == (DETAIL_SIDE, DETAIL_SIDE)
    reduced = resize_gray(face, DETAIL_SIDE)
    assert np.array_equal(preprocess_face(face, 96), resize_gray(reduced, 96))  # also where it has the model's size
    assert np.array_equal(preprocess_face(face, 40), resize_gray(face, 40))  # a model smaller than that needs no detour


def test_training_images_and_camera_crops_go_the_same_way() -> None:
    face = noise(150)
    frame = cv2.cvtColor(cv2.copyMakeBorder(face, 30, 30, 30, 30, cv2.BORDER_CONSTANT), cv2.COLOR_GRAY2BGR)
    crop = preprocess_face(np.asarray(frame, np.uint8), 96, (30, 30, 150, 150))
    assert np.array_equal(crop, resize_gray(face, 96))
    prepared = noise(96)
    assert resize_gray(prepared, 96) is prepared


@pytest.mark.parametrize("k", [2, 3, 8, 16, 17, 40])
def test_means_of_blocks_are_exact_and_rounded_half_up(k: int) -> None:
    side = DETAIL_SIDE * k + k - 1  # the rest of the division is left out
    for image in (noise(side), np.full((side, side), 255, np.uint8)):
        blocks = image[: DETAIL_SIDE * k, : DETAIL_SIDE * k].reshape(DETAIL_SIDE, k, DETAIL_SIDE, k).astype(np.int64)
        expected = (2 * blocks.sum(axis=(1, 3)) + k * k) // (2 * k * k)
        assert np.array_equal(_box_mean(image, k), expected)
