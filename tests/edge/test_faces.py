from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from fer_edge.errors import MissingDependencyError, ModelError, UsageError
from fer_edge.faces import yunet_file as detector_file
from fer_edge.faces.detection import clip_box, shrink
from fer_edge.faces.detectors import haar, open_detector
from fer_edge.faces.detectors.haar import HaarDetector
from fer_edge.faces.detectors.yunet import YuNetDetector
from fer_edge.faces.tracks import overlap
from fer_train.synthetic.faces import draw_scene

haar_only_in_4 = pytest.mark.skipif(not hasattr(cv2, "CascadeClassifier"), reason="OpenCV 5 has no Haar cascades")


def test_boxes_are_clipped_to_the_frame() -> None:
    assert clip_box((-5.4, 10.0, 20.0, 20.0), 100, 50) == (0, 10, 15, 20)
    assert clip_box((90.0, 40.0, 20.0, 20.0), 100, 50) == (90, 40, 10, 10)
    assert clip_box((100.0, 0.0, 20.0, 20.0), 100, 50) is None
    assert clip_box((10.0, 10.0, 0.2, 5.0), 100, 50) is None


def test_shrinking_keeps_proportions_and_never_enlarges() -> None:
    wide = np.zeros((90, 640, 3), np.uint8)
    assert shrink(wide, 320).shape == (45, 320, 3)
    assert shrink(wide, 640) is wide
    assert shrink(np.zeros((1, 5000, 3), np.uint8), 320).shape == (1, 320, 3)


@haar_only_in_4
@pytest.mark.parametrize("enlarged", [1, 3])
def test_haar_finds_a_drawn_face_where_it_is(enlarged: int) -> None:
    frame, box = draw_scene("happy", np.random.default_rng(3), 320, 240)
    frame = np.repeat(np.repeat(frame, enlarged, axis=0), enlarged, axis=1)
    found = HaarDetector().detect(frame)
    assert len(found) == 1
    wanted = (box[0] * enlarged, box[1] * enlarged, box[2] * enlarged, box[3] * enlarged)
    assert overlap(found[0].box, wanted) > 0.4


@haar_only_in_4
def test_haar_searches_the_small_picture_and_answers_for_the_full_one(scene: npt.NDArray[np.uint8]) -> None:
    blank = np.zeros((480, 640, 3), np.uint8)
    assert HaarDetector().detect(blank) == []
    [small] = HaarDetector().detect(scene)
    [large] = HaarDetector().detect(blank, scene)
    assert large.box == tuple(2 * value for value in small.box)


@pytest.mark.parametrize(("name", "n_faces"), [("one_happy_face.jpg", 1), ("four_faces.jpg", 4), ("no_face.jpg", 0)])
@pytest.mark.parametrize("model", ["face_detection_yunet_2023mar.onnx", "face_detection_yunet_2026may.onnx"])
def test_yunet_counts_faces(assets: Path, model: str, name: str, n_faces: int) -> None:
    image = cv2.imread(str(assets / "faces" / name))
    found = YuNetDetector(assets / "detectors" / model).detect(np.asarray(image, np.uint8))
    assert len(found) == n_faces
    assert [face.box for face in found] == sorted(face.box for face in found)
    for face in found:
        assert face.landmarks is not None
        x, y, w, h = face.box
        right_eye, left_eye, nose = face.landmarks[:3]
        assert x < right_eye[0] < left_eye[0] < x + w  # the person's right eye is on the left of the picture
        assert y < right_eye[1] < nose[1] < y + h


@pytest.mark.parametrize("content", [b"", b"no model at all", b"\x08\x07" + bytes(1000)])
def test_yunet_refuses_what_is_no_model(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "yunet.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"yunet\.onnx"):
        YuNetDetector(path)
    with pytest.raises(ModelError, match="no face detector file"):
        YuNetDetector(tmp_path / "missing.onnx")


def test_yunet_refuses_a_truncated_file(yunet_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.onnx"
    path.write_bytes(yunet_model.read_bytes()[:100_000])
    with pytest.raises(ModelError, match="truncated or another model"):
        YuNetDetector(path)


def test_detector_names() -> None:
    with pytest.raises(UsageError, match="known: auto, yunet, haar"):
        open_detector("yolo")
    with pytest.raises(UsageError, match="belongs to YuNet"):
        open_detector("haar", "some.onnx")


def no_network(*_: object) -> Path:
    raise MissingDependencyError("cannot fetch: no network")


@haar_only_in_4
def test_auto_falls_back_to_haar_with_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detector_file, "yunet_file", no_network)
    notices: list[str] = []
    assert open_detector("auto", on_notice=notices.append).name == "haar"
    assert len(notices) == 1
    assert "Haar" in notices[0]
    assert "no network" in notices[0]
    assert "\n" not in notices[0]


def test_without_haar_the_error_is_yunets(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenCV 5 has no cascade: then nothing is left, and why YuNet is missing is what the user must know."""
    monkeypatch.setattr(detector_file, "yunet_file", no_network)
    monkeypatch.setattr(haar, "_haar_path", lambda: None)
    with pytest.raises(MissingDependencyError, match="no network"):
        open_detector("auto")
    with pytest.raises(MissingDependencyError, match="no Haar cascade"):
        open_detector("haar")


def test_auto_takes_a_given_or_cached_yunet(yunet_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detector_file, "yunet_file", no_network)
    assert open_detector("auto", yunet_model).name == "yunet"
    monkeypatch.setattr(detector_file, "yunet_file", lambda: yunet_model)
    assert open_detector("auto").name == "yunet"
