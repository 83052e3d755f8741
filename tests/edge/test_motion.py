"""The motion test before a search, the limit on the frame rate, and networks shared by cameras."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from fer_edge.capture.files import VideoFile
from fer_edge.capture.frames import Frame
from fer_edge.capture.rate import Pace, limit_rate
from fer_edge.faces.detection import DetectedFace
from fer_edge.faces.detectors.yunet import YuNetDetector
from fer_edge.faces.motion import STILL_S, MotionGate
from fer_edge.faces.search import FaceSearch
from fer_edge.faces.shared import SharedDetector, share
from fer_edge.loading.open import open_classifier
from fer_edge.pipeline import FacePipeline, motion_by_default

SIZE = (720, 1280, 3)
FPS = 15.0
Picture = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def room() -> Picture:
    rough = np.random.default_rng(0).integers(60, 160, (9, 16, 3), np.uint8)
    return np.asarray(cv2.resize(rough, SIZE[1::-1], interpolation=cv2.INTER_CUBIC), np.uint8)


def noisy(picture: Picture, seed: int, sigma: float = 4.0) -> Picture:
    noise = np.random.default_rng(seed).normal(0, sigma, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def test_noise_is_no_motion_and_a_small_face_is(room: Picture) -> None:
    gate = MotionGate()
    first = gate.view(noisy(room, 1))
    assert first.shape == (90, 160)
    assert gate.moved(first, 1280)  # nothing to compare with
    gate.remember(first)
    for seed in range(2, 12):
        assert not gate.moved(gate.view(noisy(room, seed)), 1280)
    changed = noisy(room, 20)
    changed[300:364, 500:564] = np.clip(changed[300:364, 500:564].astype(int) + 30, 0, 255)  # 64 of 1280: 16 of 320
    assert gate.moved(gate.view(changed), 1280)
    assert not gate.moved(gate.view(changed), 1280, [(500, 300, 64, 64)])  # of a face that is known
    assert gate.moved(gate.view(changed), 1280, [(900, 300, 64, 64)])
    assert gate.moved(gate.view(room[:480, :640]), 640)  # another size


def test_what_comes_slowly_is_seen(room: Picture) -> None:
    gate = MotionGate()
    gate.remember(gate.view(room))
    moved = []
    for step in range(1, 60):
        picture = room.copy()
        picture[300:500, 500:700] = np.minimum(255, picture[300:500, 500:700].astype(int) + step).astype(np.uint8)
        moved.append(gate.moved(gate.view(picture), 1280))
    assert not moved[0]
    assert moved[-1]
    assert moved == sorted(moved)


class Scripted:
    """Finds what the script says for the picture's brightness; counts whole searches."""

    name = "scripted"

    def __init__(self) -> None:
        self.calls = 0

    def detect(self, image: Any, small: Any = None) -> list[DetectedFace]:
        self.calls += 1
        return [DetectedFace((100, 100, 80, 80), 0.9)] if image[140, 140].max() > 250 else []


def test_a_still_scene_is_searched_every_two_seconds(room: Picture) -> None:
    detector = Scripted()
    search = FaceSearch(detector, motion=True)
    for number in range(int(10 * FPS)):
        assert search.find(room, None, number / FPS) == []
    assert detector.calls == pytest.approx(10 / STILL_S, abs=1)
    assert search.searched.still == 10 * FPS - detector.calls
    plain = Scripted()
    without = FaceSearch(plain)
    for number in range(30):
        without.find(room, None, number / FPS)
    assert plain.calls == 30


def test_who_comes_is_seen_at_once_and_followed_while_nothing_moves(room: Picture) -> None:
    detector = Scripted()
    search = FaceSearch(detector, motion=True)
    somebody = room.copy()
    somebody[100:180, 100:180] = 255
    found = []
    for number in range(90):
        found.append(len(search.find(room if number < 30 else somebody, None, number / FPS)))
    assert found == [0] * 30 + [1] * 60
    assert detector.calls >= 60  # every frame with somebody, though the picture stood still


def test_times_that_do_not_grow_switch_it_off(room: Picture) -> None:
    detector = Scripted()
    search = FaceSearch(detector, motion=True)
    for _ in range(20):
        search.find(room, None, 0.0)
    assert detector.calls == 20


def test_the_same_faces_as_without(assets: Path, yunet_model: Path) -> None:
    """A person for half of the time, in a still and noisy room."""
    capture = cv2.VideoCapture(str(assets / "faces" / "talking_head.mp4"))
    head = [np.asarray(capture.read()[1], np.uint8) for _ in range(30)]
    empty = np.full_like(head[0], 90)
    frames = [noisy(empty if (n // 30) % 2 == 0 else head[n % 30], n, 3.0) for n in range(120)]
    counts, searched = [], []
    for motion in (False, True):
        search = FaceSearch(YuNetDetector(yunet_model), motion=motion)
        counts.append([len(search.find(frame, None, n / FPS)) for n, frame in enumerate(frames)])
        searched.append(search.searched.pixels)
    assert counts[0] == counts[1]
    assert sum(counts[0]) == 60
    assert searched[1] < 0.8 * searched[0]


class Source:
    description = "source"
    continuous = True
    state = "running"
    fps: float | None = 30.0

    def __init__(self, *, live: bool = True, n_frames: int | None = None) -> None:
        self.live = live
        if n_frames is not None:
            self.n_frames = n_frames

    def frames(self) -> Iterator[Frame]:
        for index in range(90):
            yield Frame(np.zeros((200, 200, 3), np.uint8), index, index / 30.0, 0.0)

    def stop(self) -> None:
        """Nothing to stop."""


def test_where_it_is_on_by_itself(video: Path) -> None:
    assert motion_by_default(Source())
    assert not motion_by_default(Source(), "full")
    assert not motion_by_default(Source(live=False))
    assert not motion_by_default(VideoFile(video))
    assert not motion_by_default(VideoFile(video, realtime=True))  # live, and still a file
    assert not motion_by_default(limit_rate(VideoFile(video, realtime=True), 5.0))
    assert motion_by_default(limit_rate(Source(), 5.0))


@pytest.mark.parametrize(("rate", "most", "expected"), [(30, 20, 20), (30, 7, 7), (29.97, 30, 29.97), (15, 14, 14)])
def test_pace(rate: float, most: float, expected: float) -> None:
    pace = Pace(most)
    taken = [n / rate for n in range(int(20 * rate)) if pace.takes(n / rate)]
    assert len(taken) / 20 == pytest.approx(expected, rel=0.02)
    steps = np.diff(taken)
    assert steps.max() <= 1 / most + 1 / rate + 1e-9  # evenly, without bursts and gaps
    assert pace.takes(0.0)  # a clock that went back
    assert not math.isnan(pace._interval_s)


def test_a_limited_source_keeps_its_numbers() -> None:
    limited = limit_rate(Source(), 10.0)
    frames = list(limited.frames())
    assert [frame.index for frame in frames] == list(range(0, 90, 3))
    assert limited.fps == 10.0
    results = list(FacePipeline(Source(live=False), open_classifier(backend="fake"), Scripted(), max_fps=10.0))
    assert [result.index for result in results] == list(range(0, 90, 3))


def test_cameras_share_networks(yunet_model: Path, assets: Path) -> None:
    plain = YuNetDetector(yunet_model)
    shared = share(plain)
    assert isinstance(shared, SharedDetector)
    assert isinstance(share(Scripted()), Scripted)
    assert shared.at_width(96, 0.5) is shared.at_width(96, 0.5)
    image = cv2.imread(str(assets / "faces" / "one_happy_face.jpg"))
    assert image is not None
    pictures = [np.asarray(cv2.resize(image, size), np.uint8) for size in ((640, 480), (640, 360), (480, 640))]
    for picture in pictures * 2:  # in turns, each shape by a network of its own
        fresh = YuNetDetector(yunet_model)
        assert [face.box for face in shared.detect(picture)] == [face.box for face in fresh.detect(picture)]
    assert len({id(detector) for detector in shared._by_shape.values()}) == 3
    for height in range(100, 1000, 100):
        shared.detect(np.zeros((height, 320, 3), np.uint8))
    assert len(shared._by_shape) == 4
