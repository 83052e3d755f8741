"""Recordings of large pictures: at a rate, and of a size, that the encoder can do."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_edge.capture.frames import Frame
from fer_edge.errors import UsageError
from fer_edge.files import why_read_only
from fer_edge.outputs.image_folder import make_image_folder
from fer_edge.outputs.video import VideoRecorder
from fer_edge.results import Result


def plain(index: int, time_s: float, shape: tuple[int, int, int]) -> Result:
    return Result(Frame(np.full(shape, 255, np.uint8), index, time_s, time_s), (), time_s)


def shapes_of(path: Path) -> list[tuple[int, ...]]:
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    shapes: list[tuple[int, ...]] = []
    while True:
        got, image = capture.read()
        if not got:
            return shapes
        shapes.append(image.shape)


def test_a_live_recording_asks_no_more_than_the_encoder_can_do(tmp_path: Path) -> None:
    """Each repeated picture takes as long as a new one: at a rate out of reach nothing else would be done."""
    recorder = VideoRecorder(tmp_path / "out.mkv", fps=1000.0, live=True)
    for time_s in (0.0, 0.5, 1.0):
        recorder.write(plain(round(10 * time_s), time_s, (1080, 1920, 3)))
    recorder.close()
    video = cv2.VideoCapture(str(tmp_path / "out.mkv"))
    fps, frames = video.get(cv2.CAP_PROP_FPS), video.get(cv2.CAP_PROP_FRAME_COUNT)
    video.release()
    assert fps < 500.0
    assert frames == pytest.approx(fps, abs=2.0)  # and still a second long


@pytest.mark.parametrize("fps", [487.353, 1000 / 3, 999.777, 119.88, 30000 / 1001, 12.3456])
@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_any_rate_is_recorded(tmp_path: Path, fps: float, suffix: str) -> None:
    recorder = VideoRecorder(tmp_path / f"out{suffix}", fps=fps)
    recorder.write(plain(0, 0.0, (48, 64, 3)))
    recorder.close()
    video = cv2.VideoCapture(str(tmp_path / f"out{suffix}"))
    assert video.get(cv2.CAP_PROP_FPS) == pytest.approx(fps, rel=0.001)
    video.release()


def test_a_name_that_ffmpeg_would_take_for_an_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("12:30.mp4", "12:30.avi"):
        recorder = VideoRecorder(name)
        recorder.write(plain(0, 0.0, (48, 64, 3)))
        recorder.close()
        assert shapes_of(tmp_path / name) == [(48, 64, 3)]


def test_webm_of_large_pictures_is_shrunk(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "fer_edge")
    recorder = VideoRecorder(tmp_path / "out.webm")
    for index, shape in enumerate([(1600, 2400, 3), (600, 800, 3)]):
        recorder.write(plain(index, index / 20.0, shape))
    recorder.close()
    frames = shapes_of(tmp_path / "out.webm")
    assert frames == [(1176, 1762, 3)] * 2
    assert "out.webm: pictures of 2400x1600 are recorded 1762 pixels wide" in caplog.text


@pytest.mark.parametrize(
    ("flags", "reason"), [(os.ST_RDONLY, "read-only file system"), (os.ST_NOSUID, "permission denied"), (0, None)]
)
@pytest.mark.skipif(not hasattr(os, "statvfs"), reason="POSIX only")
def test_why_nothing_can_be_written(
    flags: int, reason: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may write everywhere but to a read-only file system, so both are acted here."""
    real = os.statvfs(tmp_path)
    fields = list(real)
    fields[8] = flags  # f_flag
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result(fields))
    monkeypatch.setattr(os, "access", lambda *_: reason is None)
    assert why_read_only(tmp_path) == reason
    if reason is None:
        VideoRecorder(tmp_path / "out.mp4").close()
        make_image_folder(tmp_path, [])
    else:
        with pytest.raises(UsageError, match=f"cannot be written: {reason}$"):
            VideoRecorder(tmp_path / "out.mp4")
        with pytest.raises(UsageError, match=f"cannot be written: {reason}$"):
            make_image_folder(tmp_path, [])
