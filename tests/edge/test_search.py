"""Where faces are searched: whole frames often enough, close looks between, known faces kept at a lower score."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from fer_edge.faces.detection import Box, DetectedFace, shrink
from fer_edge.faces.detectors.yunet import YuNetDetector
from fer_edge.faces.look import LOOK_SIDE, Aim, CloseLook, aim
from fer_edge.faces.search import BEGIN_AFTER_S, WHOLE_EVERY_S, FaceSearch
from fer_edge.faces.tracks import FORGET_AFTER_S, overlap

Image = npt.NDArray[np.uint8]
Scene = list[tuple[Box, float]]
WIDTH, HEIGHT = 640, 384
LEFT, RIGHT = (60, 100, 90, 110), (450, 150, 100, 120)
SMALL = (330, 60, 40, 44)


class Blocks:
    """Finds what :func:`draw` draws: upright blocks of at least 12 pixels in the view, whose colour is their score."""

    name = "blocks"

    def __init__(self, width: int = 320, score: float = 0.7, views: list[tuple[int, int]] | None = None) -> None:
        self.width, self.score = width, score
        self.views: list[tuple[int, int]] = [] if views is None else views

    def at_width(self, width: int, score: float | None = None) -> Blocks:
        return Blocks(width, self.score if score is None else score, self.views)

    def detect(self, image: Image, small: Image | None = None) -> list[DetectedFace]:
        view = shrink(image if small is None else small, self.width)
        self.views.append((view.shape[1], view.shape[0]))
        scale = image.shape[1] / view.shape[1]
        _, labels, stats, _ = cv2.connectedComponentsWithStats((view[..., 2] > 128).astype(np.uint8))
        faces = []
        for number, (x, y, w, h, area) in enumerate(stats.tolist()):
            score = float(view[..., 1][labels == number].max()) / 200.0
            if number and min(w, h) >= 12 and area > 0.9 * w * h and score >= self.score - 1e-3:
                box = round(x * scale), round(y * scale), round(w * scale), round(h * scale)
                faces.append(DetectedFace(box, score))
        return faces


def draw(scene: Scene, width: int = WIDTH, height: int = HEIGHT) -> Image:
    image = np.zeros((height, width, 3), np.uint8)
    for (x, y, w, h), score in scene:
        image[y : y + h, x : x + w] = 0, round(200 * score), 255
    return image


def boxes(faces: list[DetectedFace], near: Scene) -> list[bool]:
    """Whether each of ``near`` is among the faces."""
    return [any(overlap(face.box, box) > 0.6 for face in faces) for box, _ in near]


@pytest.mark.parametrize("fps", [4.0, 10.0, 25.0, 30.0, 100.0])
def test_whole_frames_often_enough_and_looks_between(fps: float) -> None:
    search = FaceSearch(Blocks())
    whole_at = []
    for number in range(40):
        before = search.searched.whole
        assert boxes(search.find(draw([(LEFT, 0.9)]), None, number / fps), [(LEFT, 0.9)]) == [True]
        if search.searched.whole > before:
            whole_at.append(number / fps)
    steps = np.diff(whole_at)
    assert steps.max() <= max(WHOLE_EVERY_S, 1.0 / fps) + 1e-6
    assert steps.min() > WHOLE_EVERY_S - 1.0 / fps - 1e-6  # and no more often than that takes
    searched = search.searched
    assert (searched.looks, searched.half) == (40, 0)  # on whole frames, too: boxes come from one kind of view
    # Two looks in place of a whole frame, but for the lowest rate, where each frame is searched whole.
    assert searched.pixels == searched.whole * 320 * 192 + 40 * LOOK_SIDE**2


@pytest.mark.parametrize("fps", [5.0, 12.5, 25.0, 60.0])
@pytest.mark.parametrize("enters_after", range(1, 7))
def test_a_small_face_that_enters_late_is_found_in_time(fps: float, enters_after: int) -> None:
    """Two in sight all the time, a third that is small and comes later."""
    scene: Scene = [(LEFT, 0.9), (RIGHT, 0.8)]
    late: Scene = [*scene, (SMALL, 0.75)]
    search = FaceSearch(Blocks())
    for number in range(enters_after):
        assert len(search.find(draw(scene), None, number / fps)) == 2
    for number in range(enters_after, enters_after + 40):
        faces = search.find(draw(late), None, number / fps)
        assert boxes(faces, scene) == [True, True]
        if (number - enters_after) / fps > WHOLE_EVERY_S - 1e-6:
            assert boxes(faces, late) == [True, True, True]


def test_a_face_in_an_empty_frame_is_seen_at_once_at_half_the_width() -> None:
    search = FaceSearch(Blocks())
    for number in range(4):
        assert search.find(draw([]), None, number / 25.0) == []
    assert (search.searched.whole, search.searched.half) == (1, 3)
    assert len(search.find(draw([(LEFT, 0.9)]), None, 4 / 25.0)) == 1
    assert (search.searched.whole, search.searched.half) == (2, 4)


def test_a_face_that_jumps_away_is_found_in_the_same_frame() -> None:
    search = FaceSearch(Blocks())
    for number, box in enumerate((LEFT, LEFT, RIGHT, RIGHT, LEFT)):
        [face] = search.find(draw([(box, 0.9)]), None, number / 25.0)
        assert overlap(face.box, box) > 0.6
    assert search.searched.whole == 3


@pytest.mark.parametrize("mode", ["adaptive", "full"])
def test_a_known_face_needs_less_score_than_a_new_one(mode: str) -> None:
    search = FaceSearch(Blocks(), mode=mode)

    def counts(*scores: float, at: Box = LEFT, start: float) -> list[int]:
        scenes = [draw([(at, score)] if score else []) for score in scores]
        return [len(search.find(scene, None, start + n * 0.04)) for n, scene in enumerate(scenes)]

    assert counts(0.6, 0.6, 0.65, start=0.0) == [0, 0, 0]
    assert counts(0.75, 0.55, 0.5, 0.6, start=0.2) == [1, 1, 1, 1]
    assert counts(0.45, 0.0, 0.4, 0.55, start=0.4) == [0, 0, 0, 1]  # for a second it is still known
    assert counts(0.0, start=0.6) == [0]
    assert counts(0.55, 0.6, start=0.7 + FORGET_AFTER_S) == [0, 0]
    assert counts(0.6, 0.6, at=RIGHT, start=4.0) == [0, 0]  # what is known is a place, not a permission


@pytest.mark.parametrize("mode", ["adaptive", "full"])
def test_a_face_that_stays_below_the_score_begins_after_a_while(mode: str) -> None:
    search = FaceSearch(Blocks(), mode=mode)
    scene = draw([(LEFT, 0.6)])
    seen_at = [number * 0.05 for number in range(12) if search.find(scene, None, number * 0.05)]
    assert seen_at[0] == pytest.approx(BEGIN_AFTER_S)
    assert len(seen_at) == 6


def test_crowds_are_searched_as_a_whole() -> None:
    crowd: Scene = [((40 + 100 * n, 100, 60, 70), 0.9) for n in range(6)]
    search = FaceSearch(Blocks())
    for number in range(6):
        assert boxes(search.find(draw(crowd), None, number / 25.0), crowd) == [True] * 6
    assert (search.searched.whole, search.searched.looks) == (6, 0)


def test_full_and_every_nth_frame() -> None:
    for options, whole, looks in (({"mode": "full"}, 6, 0), ({"every": 3}, 2, 2), ({"mode": "full", "every": 2}, 3, 0)):
        search = FaceSearch(Blocks(), **options)
        for number in range(6):
            search.find(draw([(LEFT, 0.9)]), None, number / 25.0)
        assert (search.searched.whole, search.searched.looks, search.searched.half) == (whole, looks, 0)
    with pytest.raises(ValueError, match="adaptive or full, not 'fast'"):
        FaceSearch(Blocks(), mode="fast")


def test_times_that_stand_still_or_go_back_hide_no_face() -> None:
    search = FaceSearch(Blocks())
    found = [len(search.find(draw([(LEFT, 0.9), (SMALL, 0.9)][: 1 + (n > 3)]), None, 5.0)) for n in range(40)]
    assert found[0] == 1
    assert found[-1] == 2
    assert len(search.find(draw([]), None, 5.0)) == 0
    assert len(search.find(draw([(RIGHT, 0.9)]), None, 0.0)) == 1


def test_a_detector_without_widths_searches_every_frame() -> None:
    class Plain:
        name = "plain"
        calls = 0

        def detect(self, image: Image, small: Image | None = None) -> list[DetectedFace]:
            self.calls += 1
            return [DetectedFace(LEFT, 0.1)]

    plain = Plain()
    search = FaceSearch(plain)
    assert [len(search.find(draw([]), None, n / 25.0)) for n in range(7)] == [1] * 7
    assert plain.calls == search.searched.whole == 7


@pytest.mark.parametrize("size", [(640, 384), (100, 70), (60, 90), (1920, 1080)])
@pytest.mark.parametrize("turn", [0, 30, -90, 180])
def test_a_look_gives_back_the_place_that_it_was_shown(size: tuple[int, int], turn: int) -> None:
    width, height = size
    detector = Blocks()
    side = min(width, height) // 3
    for x, y in ((0, 0), (width - side, height - side), (width // 3, height // 3)):
        image = np.zeros((height, width, 3), np.uint8)
        middle = (x + side / 2.0, y + side / 2.0)
        corners = cv2.boxPoints((middle, (side * 0.8, side * 0.8), float(turn)))
        cv2.fillConvexPoly(image, np.rint(corners).astype(np.int32), (0, 180, 255))
        face = DetectedFace((x, y, side, side), 0.9)
        where = aim(face)
        where = Aim(where.x, where.y, where.side, turn)
        found = CloseLook(detector, 0.5).at(image, where, face)
        assert found is not None
        assert overlap(found.box, face.box) > 0.5
    assert set(detector.views) == {(LOOK_SIDE, LOOK_SIDE)}  # one size: the network is laid out once


def frames(assets: Path) -> list[Image]:
    capture = cv2.VideoCapture(str(assets / "faces" / "talking_head.mp4"))
    found = []
    while (frame := capture.read())[0]:
        found.append(np.asarray(frame[1], np.uint8))
    capture.release()
    return found


def test_the_clip_with_a_third_of_the_pixels_and_boxes_as_steady(assets: Path, yunet_model: Path) -> None:
    shake, pixels, found = {}, {}, {}
    views = frames(assets)
    for mode in ("adaptive", "full"):
        search = FaceSearch(YuNetDetector(yunet_model), mode=mode)
        faces = [search.find(view, None, number / 25.0) for number, view in enumerate(views)]
        assert [len(each) for each in faces] == [1] * 115
        box = np.array([each[0].box for each in faces], float)
        shake[mode] = float(np.abs(np.diff(box[:, :2] + box[:, 2:] / 2.0, n=2, axis=0)).mean())
        pixels[mode], found[mode] = search.searched.pixels, [each[0].box for each in faces]
    assert pixels["adaptive"] < 0.37 * pixels["full"]
    assert shake["adaptive"] < 1.15 * shake["full"]
    assert np.mean([overlap(a, b) for a, b in zip(found["adaptive"], found["full"], strict=True)]) > 0.88


@pytest.mark.parametrize(("degrees", "least_kept"), [(50, 54), (80, 51)])
def test_heads_that_tilt_are_kept(assets: Path, yunet_model: Path, degrees: int, least_kept: int) -> None:
    """To one side and the other, twice; without knowledge of the frame before, the head is lost in half of them."""
    detector = YuNetDetector(yunet_model)
    search = FaceSearch(detector)
    [face] = detector.detect(view := frames(assets)[60])
    middle = face.box[0] + face.box[2] / 2.0, face.box[1] + face.box[3] / 2.0
    alone = kept = 0
    for number in range(56):
        angle = degrees * math.sin(2.0 * math.pi * number / 28.0)
        matrix = cv2.getRotationMatrix2D(middle, angle, 0.6)
        tilted = np.asarray(cv2.warpAffine(view, matrix, view.shape[1::-1], borderValue=(90, 90, 90)), np.uint8)
        alone += len(detector.detect(tilted))
        found = search.find(tilted, None, number / 25.0)
        assert len(found) <= 1
        kept += len(found)
    assert kept >= least_kept
    assert alone <= 40


def test_in_pictures_without_faces_none_is_found(assets: Path, yunet_model: Path) -> None:
    picture = cv2.imread(str(assets / "faces" / "no_face.jpg"))
    assert picture is not None
    search = FaceSearch(YuNetDetector(yunet_model))
    for number in range(12):
        view = np.roll(np.asarray(picture, np.uint8), 3 * number, axis=1)
        assert search.find(view, None, number / 12.0) == []
