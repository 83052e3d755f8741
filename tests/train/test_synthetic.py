from __future__ import annotations

import hashlib
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from fer_edge.errors import UsageError
from fer_edge.labels import EMOTIONS
from fer_edge.preprocess import preprocess_face
from fer_train.audit.label_errors import hog_features
from fer_train.commands.data import main
from fer_train.data.dataset import load_dataset
from fer_train.synthetic.canvas import box_blur, shrink, unit_circle
from fer_train.synthetic.faces import draw_face, draw_scene, numbered_face, synthetic_split


@pytest.mark.parametrize("size", [16, 48, 96, 131, 300])
def test_faces_have_the_size_that_was_asked_for(size: int) -> None:
    face = draw_face("happy", np.random.default_rng(1), size)
    assert face.shape == (size, size, 3)
    assert face.dtype == np.uint8
    assert face.std() > 10


def test_a_seed_repeats_and_another_differs() -> None:
    one = draw_face("sad", np.random.default_rng(5), 48)
    assert np.array_equal(one, draw_face("sad", np.random.default_rng(5), 48))
    assert not np.array_equal(one, draw_face("sad", np.random.default_rng(6), 48))
    first, _ = draw_scene("fear", np.random.default_rng(5), 320, 240)
    assert np.array_equal(first, draw_scene("fear", np.random.default_rng(5), 320, 240)[0])


DRAW = """
import hashlib, numpy as np
from fer_edge.labels import EMOTIONS
from fer_train.synthetic.faces import draw_scene, numbered_face
digest = hashlib.sha256()
for i in range(21): digest.update(numbered_face("test", 3, i, 48).tobytes())
digest.update(draw_scene("angry", np.random.default_rng(4), 320, 240)[0].tobytes())
print(digest.hexdigest())
"""


def test_pictures_do_not_depend_on_the_processor() -> None:
    """The same bits with vector instructions switched off, as on a processor without them."""
    digest = hashlib.sha256()
    for i in range(21):
        digest.update(numbered_face("test", 3, i, 48).tobytes())
    digest.update(draw_scene("angry", np.random.default_rng(4), 320, 240)[0].tobytes())
    umath: Any = importlib.import_module("numpy._core._multiarray_umath")
    dispatched = [name for name in umath.__cpu_dispatch__ if umath.__cpu_features__.get(name)]
    plain = {"OPENCV_CPU_DISABLE": "AVX,AVX2,FMA3,AVX512-SKX", "NPY_DISABLE_CPU_FEATURES": " ".join(dispatched)}
    environment = {**os.environ, **plain}
    done = subprocess.run([sys.executable, "-c", DRAW], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == digest.hexdigest(), done.stderr


def test_scene_and_box() -> None:
    for i, emotion in enumerate(EMOTIONS):
        frame, (x, y, w, h) = draw_scene(emotion, np.random.default_rng(i), 320, 240)
        assert frame.shape == (240, 320, 3)
        assert x >= 0
        assert y >= 0
        assert x + w <= 320
        assert y + h <= 240
        assert 0.6 < w / h < 1.1
        assert preprocess_face(frame, 48, (x, y, w, h)).std() > 10


def test_haar_finds_the_drawn_face_where_the_box_says() -> None:
    cascade = getattr(cv2, "CascadeClassifier", None)
    if cascade is None:
        pytest.skip("OpenCV 5 has no Haar cascades")
    folder = importlib.import_module("cv2.data").haarcascades
    detector = cascade(folder + "haarcascade_frontalface_default.xml")
    found = 0
    for i in range(7):
        frame, (x, y, w, h) = draw_scene(EMOTIONS[i], np.random.default_rng([2, i]), 480, 360)
        boxes = detector.detectMultiScale(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), 1.1, 5, minSize=(80, 80))
        centres = [(bx + bw / 2, by + bh / 2) for bx, by, bw, bh in boxes]
        found += any(x < cx < x + w and y < cy < y + h for cx, cy in centres)
    assert found >= 5


def test_wrong_requests_are_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(UsageError, match="unknown emotion 'joy'"):
        draw_face("joy", rng, 48)
    with pytest.raises(UsageError, match="at least 16"):
        draw_face("happy", rng, 8)
    with pytest.raises(UsageError, match="64x64"):
        draw_scene("happy", rng, 320, 20)
    with pytest.raises(UsageError, match="at least one"):
        synthetic_split(0, 0)


def test_split_is_balanced_and_splits_share_no_face() -> None:
    train, validation = synthetic_split(3, 0, name="train"), synthetic_split(3, 0)
    assert list(train.counts.values()) == [3] * 7
    assert train.images.shape == (21, 48, 48)
    assert not {image.tobytes() for image in train.images} & {image.tobytes() for image in validation.images}
    assert not train.images.flags.writeable
    for name, label in zip(train.names, train.labels, strict=True):
        assert name.split("/")[1] == EMOTIONS[label]
    assert np.array_equal(synthetic_split(3, 0, name="train").images, train.images)


def ridge_guesses(
    train: tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]], features: npt.NDArray[np.float32]
) -> npt.NDArray[np.int64]:
    """Ridge regression onto the classes: the simplest learner that could tell the drawings apart."""
    x, y = train
    centre, targets = x.mean(axis=0), np.eye(7)[y]
    weights = np.linalg.solve((x - centre).T @ (x - centre) + 30.0 * np.eye(x.shape[1]), (x - centre).T @ targets)
    return np.asarray(((features - centre) @ weights).argmax(axis=1))


def test_expressions_can_be_learned_and_carry_over_to_new_faces() -> None:
    train, validation = synthetic_split(40, 0, name="train"), synthetic_split(12, 0)
    guesses = ridge_guesses((hog_features(train.images), train.labels), hog_features(validation.images))
    recall = [float(np.mean(guesses[validation.labels == k] == k)) for k in range(7)]
    assert np.mean(recall) > 0.7, dict(zip(EMOTIONS, recall, strict=True))
    assert min(recall) > 0.4, dict(zip(EMOTIONS, recall, strict=True))


def test_synth_command_writes_a_data_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "faces"
    arguments = ["synth", "--to", str(target), "--train", "4", "--validation", "2", "--test", "0", "--size", "32"]
    assert main(arguments) == 0
    assert "drew 42 synthetic faces" in capsys.readouterr().err
    dataset = load_dataset(target, cache_dir=tmp_path / "cache")
    assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 28, "validation": 14}
    assert dataset.side == 32
    assert "synthetic" in (target / "README.txt").read_text()
    assert json.loads((target / "manifest.json").read_text())["job"]["synthetic"] is True
    image = cv2.imread(str(target / "train/happy/Synthetic_00001.png"))
    assert image is not None
    assert np.array_equal(image, numbered_face("train", 0, 7 + EMOTIONS.index("happy"), 32))
    assert main(arguments) == 2
    assert "not empty" in capsys.readouterr().err
    assert main([*arguments, "--force"]) == 0
    for wrong in (["--size", "4"], ["--train", "0"], ["--test", "-1"]):
        assert main([*arguments[:3], *wrong, "--force"]) == 2


def test_canvas_filters_are_exact() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (24, 36, 3), dtype=np.uint8)
    padded = np.pad(image.astype(np.int64), ((2, 2), (2, 2), (0, 0)), mode="edge")
    expected = np.sum([padded[dy : dy + 24, dx : dx + 36] for dy in range(5) for dx in range(5)], axis=0)
    assert np.array_equal(box_blur(image, 2), ((expected + 12) // 25).astype(np.uint8))
    blocks = image.astype(np.int64).reshape(8, 3, 12, 3, 3).sum(axis=(1, 3))
    assert np.array_equal(shrink(image, 3), ((blocks + 4) // 9).astype(np.uint8))
    assert np.allclose((unit_circle(36) ** 2).sum(axis=1), 1.0)
