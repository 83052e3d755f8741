"""Small faces in large photos, and more than a hundred of them."""

from __future__ import annotations

import itertools
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from fer_edge.capture.files import ImageFiles
from fer_edge.defaults import SMALLEST_FACE
from fer_edge.faces.detection import DetectedFace
from fer_edge.faces.detectors.haar import HaarDetector
from fer_edge.faces.detectors.yunet import YuNetDetector
from fer_edge.faces.tiles import OVERLAP, STEP, TILE, PhotoDetector, distinct, for_photos, scales, tiles
from fer_edge.faces.tracks import overlap
from fer_edge.pipeline import FacePipeline

Image = npt.NDArray[np.uint8]


@pytest.mark.parametrize(("width", "height"), [(100, 50), (640, 640), (641, 640), (2667, 2000), (8000, 130), (1, 5000)])
def test_every_small_square_lies_whole_in_a_tile(width: int, height: int) -> None:
    starts = list(tiles(width, height))
    assert all(0 <= left <= max(0, width - TILE) and 0 <= top <= max(0, height - TILE) for left, top in starts)
    rng = np.random.default_rng(0)
    for _ in range(300):
        side = int(rng.integers(1, min(OVERLAP, width, height) + 1))
        x, y = int(rng.integers(0, width - side + 1)), int(rng.integers(0, height - side + 1))
        assert any(
            left <= x and top <= y and x + side <= left + TILE and y + side <= top + TILE for left, top in starts
        )


def test_views_leave_no_size_out() -> None:
    assert scales(1.0, 0.66) == []
    assert scales(0.08, 0.66) == [pytest.approx(0.64), 0.66]
    for width in (200, 500, 4000, 12_000, 60_000):
        found = [min(1.0, 320 / width), *scales(min(1.0, 320 / width), 2 / 3)]
        assert all(after / before <= STEP + 1e-9 for before, after in itertools.pairwise(found))
        assert found[-1] >= 2 / 3


def test_one_face_in_two_views_is_one() -> None:
    coarse = DetectedFace((10, 10, 100, 120), 0.8)
    same, inside, beside = ((14, 8, 95, 118), (40, 40, 30, 30), (105, 10, 100, 120))
    kept = distinct([coarse, *(DetectedFace(box, 0.9) for box in (same, inside, beside))])
    assert [face.box for face in kept] == [coarse.box, beside]


@pytest.fixture(scope="module")
def yunet(yunet_model: Path) -> YuNetDetector:
    return YuNetDetector(yunet_model)


def pasted(
    assets: Path, yunet: YuNetDetector, size: tuple[int, int], faces: list[tuple[int, int, int]]
) -> tuple[Image, list[tuple[int, int, int, int]]]:
    """A picture without faces, and faces in it at ``(x, y, width)``; with their boxes."""
    face = np.asarray(cv2.imread(str(assets / "faces" / "one_happy_face.jpg")), np.uint8)
    [found] = yunet.detect(face)
    empty = cv2.imread(str(assets / "faces" / "no_face.jpg"))
    assert empty is not None
    picture = np.asarray(cv2.resize(empty, size), np.uint8)
    boxes = []
    for x, y, width in faces:
        scale = width / found.box[2]
        small = cv2.resize(face, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        picture[y : y + small.shape[0], x : x + small.shape[1]] = small
        left, top, w, h = (round(value * scale) for value in found.box)
        boxes.append((x + left, y + top, w, h))
    return picture, boxes


@pytest.mark.parametrize(
    ("size", "faces"),
    [
        ((2400, 1800), [(700, 900, 70)]),
        ((1920, 1080), [(30, 40, SMALLEST_FACE), (1700, 900, 26), (900, 300, 300)]),
        ((6000, 600), [(5000, 100, 30), (20, 200, 90)]),
        ((600, 3000), [(100, 2500, 24), (300, 20, 60)]),
    ],
)
def test_faces_from_24_pixels_up_are_found(
    assets: Path, yunet: YuNetDetector, size: tuple[int, int], faces: list[tuple[int, int, int]]
) -> None:
    picture, boxes = pasted(assets, yunet, size, faces)
    found = PhotoDetector(yunet).detect(picture)
    assert len(found) == len(faces)
    for box in boxes:
        [match] = [face for face in found if overlap(face.box, box) > 0.5]
        assert match.landmarks is not None
        assert (match.landmarks[:, 0] > box[0]).all()
        assert (match.landmarks[:, 0] < box[0] + box[2] * 1.1).all()
    assert PhotoDetector(yunet).smallest(size[0]) <= SMALLEST_FACE


def test_what_is_found_today_stays_found(assets: Path, yunet: YuNetDetector) -> None:
    for name in ("one_happy_face.jpg", "four_faces.jpg", "no_face.jpg"):
        image = np.asarray(cv2.imread(str(assets / "faces" / name)), np.uint8)
        before, after = yunet.detect(image), PhotoDetector(yunet).detect(image)
        assert [face.box for face in after] == [face.box for face in before]


def test_more_than_a_hundred_faces(assets: Path, yunet: YuNetDetector) -> None:
    places = [(10 + 62 * column, 10 + 66 * row, 24) for row in range(12) for column in range(14)]
    picture, _ = pasted(assets, yunet, (900, 820), places)
    assert len(PhotoDetector(yunet).detect(picture)) == len(places) == 168
    wide = YuNetDetector(yunet.model_path, width=900)
    assert len(wide.detect(picture)) > 160


def test_only_photos_are_searched_so(yunet: YuNetDetector, video: Path, tmp_path: Path, scene: Image) -> None:
    assert isinstance(for_photos(yunet), PhotoDetector)
    if hasattr(cv2, "CascadeClassifier"):
        haar = HaarDetector()
        assert for_photos(haar) is haar
        assert haar.smallest(1280) == 96
    assert yunet.smallest(1280) == 64
    assert yunet.smallest(100) == 16


def test_the_pipeline_takes_it_for_photos_alone(
    yunet: YuNetDetector, video: Path, tmp_path: Path, scene: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fer_edge.pipeline.open_detector", lambda **_: yunet)
    cv2.imwrite(str(tmp_path / "a.png"), scene)
    photo = FacePipeline(ImageFiles([tmp_path / "a.png"], "a"))
    assert isinstance(photo.detector, PhotoDetector)
    assert FacePipeline(video).detector is yunet
    assert FacePipeline(ImageFiles([tmp_path / "a.png"], "a"), detector=yunet).detector is yunet
