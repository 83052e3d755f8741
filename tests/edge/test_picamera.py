"""Picamera2 through its documented calls, with a module of the same shape in its place."""

from __future__ import annotations

import sys
import types
from typing import Any

import numpy as np
import pytest

from fer_edge.capture.frames import CaptureOptions
from fer_edge.capture.open import open_source
from fer_edge.errors import DeviceError, MissingDependencyError, UsageError


class FakeRequest:
    def __init__(self, camera: FakePicamera2) -> None:
        self.camera = camera
        camera.requests_out += 1

    def make_array(self, name: str) -> Any:
        width, height = self.camera.configuration[name]["size"]
        if name == "main":
            image = np.zeros((height, width, 3), np.uint8)
            image[:, :, 0] = 200  # blue, as Picamera2's "RGB888" has it first in memory
            return image
        yuv = np.full((height * 3 // 2, width), 128, np.uint8)
        yuv[:height] = 90
        return yuv

    def release(self) -> None:
        self.camera.requests_out -= 1


class FakePicamera2:
    cameras: list[FakePicamera2] = []  # noqa: RUF012

    def __init__(self, number: int = 0) -> None:
        if number > 0:
            raise IndexError("list index out of range")
        self.calls: list[str] = []
        self.requests_out = 0
        self.configuration: dict[str, Any] = {}
        FakePicamera2.cameras.append(self)

    def create_video_configuration(self, **wanted: Any) -> dict[str, Any]:
        assert set(wanted) == {"main", "lores", "controls", "buffer_count"}
        return wanted

    def configure(self, configuration: dict[str, Any]) -> None:
        self.configuration = configuration
        self.calls.append("configure")

    def start(self) -> None:
        self.calls.append("start")

    def stop(self) -> None:
        self.calls.append("stop")

    def close(self) -> None:
        self.calls.append("close")

    def capture_request(self) -> FakeRequest:
        assert self.requests_out == 0, "a buffer was kept"
        return FakeRequest(self)


@pytest.fixture
def picamera2(monkeypatch: pytest.MonkeyPatch) -> type[FakePicamera2]:
    module = types.ModuleType("picamera2")
    module.Picamera2 = FakePicamera2  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "picamera2", module)
    monkeypatch.setattr(FakePicamera2, "cameras", [])
    return FakePicamera2


def test_frames_with_a_small_stream_beside(picamera2: type[FakePicamera2]) -> None:
    source = open_source("picamera", CaptureOptions(1280, 720, 24.0))
    assert (source.live, source.continuous, source.fps) == (True, True, 24.0)
    frames = source.frames()
    first, second = next(frames), next(frames)
    assert first.image.shape == (720, 1280, 3)
    assert (first.image[0, 0] == (200, 0, 0)).all()
    assert first.small is not None
    assert first.small.shape == (180, 320, 3)
    assert abs(int(first.small[0, 0, 0]) - 90) <= 20  # grey of luma 90, video range or not
    assert (second.index, second.time_s >= 0.0) == (1, True)
    [camera] = picamera2.cameras
    assert camera.configuration["main"] == {"size": (1280, 720), "format": "RGB888"}
    assert camera.configuration["lores"] == {"size": (320, 180), "format": "YUV420"}
    assert camera.configuration["controls"] == {"FrameRate": 24.0}
    source.stop()
    assert list(frames) == []
    assert camera.calls == ["configure", "start", "stop", "close"]


def test_no_such_camera(picamera2: type[FakePicamera2]) -> None:
    with pytest.raises(DeviceError, match="Pi camera 1 cannot be opened"):
        open_source("picamera:1")
    with pytest.raises(UsageError, match="picamera:NUMBER"):
        open_source("picamera:left")


def test_without_picamera2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "picamera2", None)
    with pytest.raises(MissingDependencyError, match="apt install python3-picamera2"):
        open_source("picamera")
