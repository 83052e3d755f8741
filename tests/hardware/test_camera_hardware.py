"""Real cameras: run with ``pytest -m hardware tests/hardware`` on a machine that has them."""

from __future__ import annotations

import importlib.util
import itertools

import pytest

from fer_edge.capture.frames import CaptureOptions
from fer_edge.capture.open import open_source
from fer_edge.capture.v4l2 import list_cameras

pytestmark = pytest.mark.hardware


def test_v4l2_camera_gives_frames_at_the_asked_size() -> None:
    cameras = list_cameras()
    if not cameras:
        pytest.skip("no V4L2 camera")
    source = open_source(cameras[0].number, CaptureOptions(640, 480))
    frames = source.frames()
    seen = [next(frames) for _ in range(20)]
    source.stop()
    assert seen[-1].image.shape == (480, 640, 3)
    assert all(a.time_s < b.time_s for a, b in itertools.pairwise(seen))


def test_pi_camera_gives_frames_with_a_small_stream() -> None:
    if importlib.util.find_spec("picamera2") is None:
        pytest.skip("no Picamera2")
    source = open_source("picamera", CaptureOptions(1280, 720, 30.0))
    frames = source.frames()
    seen = [next(frames) for _ in range(20)]
    source.stop()
    assert seen[-1].image.shape == (720, 1280, 3)
    assert seen[-1].small is not None
    assert seen[-1].small.shape == (180, 320, 3)
