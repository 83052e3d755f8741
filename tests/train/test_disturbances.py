"""Disturbances: shapes, strengths, and the same bits everywhere."""

from __future__ import annotations

import hashlib
import importlib
import os
import subprocess
import sys
import threading
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from fer_edge.errors import InputError, UsageError
from fer_train.disturbances import FOR_TRAINING, HELD_OUT, KINDS, STRENGTHS, disturb, disturb_faces, generator
from fer_train.disturbances.arithmetic import area_mean, convolve, sample, transform_quantized
from fer_train.synthetic.faces import synthetic_split

DIGESTS = {
    "noise": "381d84a229c5c15b",
    "shot_noise": "365c205da90c9473",
    "low_light": "4c07b5f50dec3324",
    "defocus": "c355d5e1a54dea64",
    "motion": "a5dbf89aba171827",
    "jpeg": "9181d5a6c32d5cae",
    "h264": "f3ae1eb67d345fc3",
    "few_pixels": "b79ab213fe45997e",
    "bright": "c21125cae7b42004",
    "glare": "d181bcadbd02bde1",
    "contrast": "986931a197668557",
    "side_light": "d2067c8c79c537e6",
    "turned": "ea6263c81762e188",
    "shifted": "4ae3c78c40c02160",
    "scaled": "63bd102221de63ef",
    "hidden": "59cbda4eed8794d3",
}
"""SHA-256 of 60 faces per kind, begun. Alike with NumPy 1.26 and 2.4, OpenCV 4.10, 4.14 and 5.0, x86 and Arm."""
SHAPES = ((48, 48), (48, 48, 1), (48, 48, 3), (31, 50), (16, 16, 3), (1, 1), (100, 96))
NAMES = sorted(KINDS)
Faces = npt.NDArray[np.uint8]


def pattern(height: int = 48, width: int = 48) -> Faces:
    """Slopes, a curve and two eyes: a face as far as arithmetic is concerned."""
    y, x = np.mgrid[0:height, 0:width]
    eyes = ((x - 16) ** 2 + (y - 18) ** 2 < 30) | ((x - 32) ** 2 + (y - 18) ** 2 < 30)
    return np.asarray((x * 5 + y * 3 + (x * y) // 7 + 60 * eyes) % 256, np.uint8)


def one(face: Faces, name: str, strength: int = 2, index: int = 0, seed: int = 0) -> Faces:
    return disturb(face, KINDS[name], strength, generator(seed=seed, kind=name, strength=strength, index=index))


def digest(name: str) -> str:
    found = hashlib.sha256()
    for strength in STRENGTHS:
        for index in range(20):
            found.update(one(pattern(), name, strength, index).tobytes())
    return found.hexdigest()[:16]


def test_there_are_at_least_twelve_kinds_and_four_are_held_out_of_training() -> None:
    assert len(KINDS) >= 12
    assert HELD_OUT == ("shot_noise", "motion", "h264", "glare")
    assert tuple(name for name, kind in KINDS.items() if kind.held_out) == HELD_OUT
    assert tuple(name for name, kind in KINDS.items() if not kind.held_out) == FOR_TRAINING
    assert all(kind.name == name and len(kind.amounts) == 3 for name, kind in KINDS.items())
    assert all("." in (kind.formula.__doc__ or "") for kind in KINDS.values())


@pytest.mark.parametrize("name", NAMES)
def test_the_same_bits_as_on_every_other_machine(name: str) -> None:
    assert digest(name) == DIGESTS[name]


def test_the_same_bits_without_vector_instructions() -> None:
    umath: Any = importlib.import_module("numpy._core._multiarray_umath")
    features = " ".join(name for name in umath.__cpu_dispatch__ if umath.__cpu_features__.get(name))
    code = (
        f"import runpy\nspace = runpy.run_path({__file__!r})\nfor n in space['NAMES']: print(n, space['digest'](n))\n"
    )
    environment = {**os.environ, "NPY_DISABLE_CPU_FEATURES": features, "OPENCV_CPU_DISABLE": "AVX2,AVX512F"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    lines = [line for line in done.stdout.splitlines() if not line.startswith("OPENCV")]
    assert lines == [f"{name} {DIGESTS[name]}" for name in NAMES]


@pytest.mark.parametrize("name", NAMES)
def test_shape_and_dtype_stay_and_the_face_given_is_not_changed(name: str) -> None:
    for shape in SHAPES:
        face = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        before = face.copy()
        for strength in STRENGTHS:
            found = one(face, name, strength)
            assert found.shape == face.shape
            assert found.dtype == np.dtype(np.uint8)
        assert np.array_equal(face, before)


def test_each_strength_changes_more_than_the_one_before() -> None:
    faces = synthetic_split(3, 0).images
    for kind in KINDS.values():
        changes = [0.0]
        for strength in STRENGTHS:
            found = disturb_faces(faces, kind, strength, seed=0, indices=range(len(faces)))
            changes.append(float(np.abs(found.astype(int) - faces).mean()))
        assert all(later > 1.03 * earlier + 0.1 for earlier, later in pairwise(changes)), (kind.name, changes)


@pytest.mark.parametrize("name", NAMES)
def test_random_numbers_follow_from_seed_kind_strength_and_index_alone(name: str) -> None:
    faces = np.stack([pattern()] * 6)
    whole = disturb_faces(faces, KINDS[name], 2, seed=5, indices=range(6))
    assert np.array_equal(disturb_faces(faces[:2], KINDS[name], 2, seed=5, indices=[4, 1]), whole[[4, 1]])
    results: dict[int, Faces] = {}
    threads = [threading.Thread(target=lambda i=i: results.update({i: one(faces[0], name, 2, i, 5)})) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(results[i], whole[i]) for i in range(6))
    is_random = name not in ("defocus", "few_pixels", "bright", "contrast")
    assert (len({face.tobytes() for face in whole}) > 1) == is_random
    if is_random:
        assert not np.array_equal(disturb_faces(faces, KINDS[name], 2, seed=6, indices=range(6)), whole)


def test_noise_has_the_sigma_that_its_table_says() -> None:
    gray = np.full((200, 200), 128, np.uint8)
    for strength, sigma in zip(STRENGTHS, (8.0, 16.0, 28.0), strict=True):
        assert one(gray, "noise", strength).std() == pytest.approx(sigma, rel=0.02)
    # 255 x / N of a pixel of 64 with 80 electrons at white
    assert one(gray // 2, "shot_noise", 3).std() == pytest.approx(np.sqrt(255 * 64 / 80), rel=0.03)
    dark = one(gray, "low_light", 2)
    assert dark.mean() == pytest.approx(0.4 * 128, abs=0.3)
    assert dark.std() == pytest.approx(np.sqrt(0.4 * 128 * 255 / 1000 + 4), rel=0.03)


def test_filters_do_what_their_formulas_say() -> None:
    face = pattern()[..., None]
    assert np.array_equal(convolve(face, [(0, 0, 3)]), face)
    assert np.array_equal(convolve(face, [(1, 0, 1)])[:-1], face[1:])
    assert np.array_equal(area_mean(face, 48, 48), face)
    quarters = face.reshape(24, 2, 24, 2).mean(axis=(1, 3))
    assert np.array_equal(area_mean(face, 24, 24)[..., 0], np.floor(quarters + 0.5))
    uneven = area_mean(np.full((48, 48, 1), 77, np.uint8), 20, 17)
    assert uneven.shape == (20, 17, 1) and (uneven == 77).all()
    y, x = np.mgrid[0:48, 0:48].astype(float)
    assert np.array_equal(sample(face, y, x), face)
    middle = (face[:, :-1].astype(int) + face[:, 1:] + 1) // 2
    assert np.array_equal(sample(face, y, x + 0.5)[:, :-1], middle)
    assert np.abs(transform_quantized(face, 0.01).astype(int) - face).max() == 0  # the transform and its inverse
    spot = one(np.where(np.arange(2304).reshape(48, 48) == 24 * 48 + 24, 255, 0).astype(np.uint8), "motion", 3)
    assert 230 <= spot.sum() <= 280 and (spot > 0).sum() >= 6  # as much light as before, over 6 pixels and more


def test_blocks_are_seen_at_eight_pixels() -> None:
    face = synthetic_split(1, 0).images[0]
    found = one(face, "h264", 3).astype(int)
    step = np.abs(np.diff(found, axis=1)).mean(axis=0)
    phases = [step[start::8].mean() for start in range(8)]
    assert max(phases) > 1.5 * np.median(phases)


@pytest.mark.parametrize("face", [np.zeros((48, 48)), np.zeros((2, 48, 48, 3), np.uint8), np.zeros((0, 48), np.uint8)])
def test_what_is_not_a_face_is_refused(face: Any) -> None:
    with pytest.raises(InputError, match="expected a face"):
        one(face, "noise")


def test_an_unknown_strength_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown strength 4 of noise; expected 1, 2 or 3"):
        one(pattern(), "noise", 4)


def test_training_can_import_them_without_a_framework() -> None:
    code = "import fer_train.disturbances, sys; print({'tensorflow', 'keras', 'torch', 'fer_bench'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.home())
    assert done.stdout == "set()\n"
