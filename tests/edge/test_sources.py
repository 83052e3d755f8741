from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from fer_edge.capture.files import ImageFiles, VideoFile, read_image
from fer_edge.capture.frames import CaptureOptions
from fer_edge.capture.open import open_source
from fer_edge.errors import SourceError, UsageError


def save(path: Path, image: npt.NDArray[np.uint8]) -> Path:
    assert cv2.imwrite(str(path), image)
    return path


def test_video_gives_every_frame_with_media_time(video: Path) -> None:
    source = open_source(video)
    assert (source.live, source.continuous, source.fps) == (False, True, 20.0)
    frames = list(source.frames())
    assert [frame.index for frame in frames] == list(range(12))
    np.testing.assert_allclose([frame.time_s for frame in frames], np.arange(12) / 20.0, atol=1e-3)
    assert frames[0].image.shape == (240, 320, 3)
    assert frames[0].image.dtype == np.uint8
    assert not np.shares_memory(frames[0].image, frames[1].image)  # a queue may hold several


def test_video_ends_when_stopped(video: Path) -> None:
    source = open_source(str(video))
    frames = source.frames()
    next(frames)
    source.stop()
    assert list(frames) == []


def test_realtime_paces_a_file_like_a_camera(video: Path) -> None:
    source = open_source(video, CaptureOptions(realtime=True))
    assert source.live
    began = time.monotonic()
    frames = list(source.frames())
    assert len(frames) == 12
    for frame in frames:
        assert frame.captured_at - began >= frame.time_s  # never early; how late is up to the machine


def test_loop_goes_on_in_time(video: Path) -> None:
    source = open_source(video, CaptureOptions(loop=True))
    frames = source.frames()
    seen = [next(frames) for _ in range(30)]
    source.stop()
    assert [frame.index for frame in seen] == list(range(30))
    np.testing.assert_allclose([frame.time_s for frame in seen], np.arange(30) / 20.0, atol=1e-3)
    np.testing.assert_array_equal(seen[0].image, seen[12].image)


def test_one_image(tmp_path: Path, scene: npt.NDArray[np.uint8]) -> None:
    source = open_source(save(tmp_path / "face.png", scene))
    assert (source.live, source.continuous) == (False, False)
    [frame] = source.frames()
    np.testing.assert_array_equal(frame.image, scene)
    assert (frame.index, frame.time_s, frame.path) == (0, 0.0, None)


def test_gray_and_transparent_images_become_bgr(tmp_path: Path, scene: npt.NDArray[np.uint8]) -> None:
    gray = save(tmp_path / "gray.png", scene[:, :, 0])
    clear = save(tmp_path / "clear.png", np.dstack([scene, scene[:, :, :1]]))
    assert read_image(gray).shape == scene.shape
    np.testing.assert_array_equal(read_image(clear), scene)


@pytest.mark.parametrize("as_pattern", [False, True])
def test_folder_in_order_of_names_broken_ones_skipped_with_a_notice(
    tmp_path: Path, scene: npt.NDArray[np.uint8], as_pattern: bool
) -> None:
    for name in ("b.png", "a.jpg", "c.PNG"):
        save(tmp_path / name, scene)
    (tmp_path / "aa.jpg").write_text("not an image")
    (tmp_path / "notes.txt").write_text("not looked at")
    notices: list[str] = []
    source = open_source(str(tmp_path / "*") if as_pattern else tmp_path, on_notice=notices.append)
    frames = list(source.frames())
    assert [frame.path.name for frame in frames if frame.path] == ["a.jpg", "b.png", "c.PNG"]
    assert [(frame.index, frame.time_s) for frame in frames] == [(0, 0.0), (1, 1.0), (2, 2.0)]
    assert len(notices) == 1
    assert "aa.jpg" in notices[0]


def test_folder_without_a_single_good_image(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no images in the folder"):
        open_source(tmp_path)
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_text("not an image")
    with pytest.raises(SourceError, match="none of the 2 images"):
        list(open_source(tmp_path).frames())


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.jpg", b"", "is empty"),
        ("empty.mp4", b"", "is empty"),
        ("text.jpg", b"not an image", "cannot be decoded as an image"),
        ("text.mp4", b"not a video", "cannot be read as a video"),
        ("text", b"neither", "cannot be read as a video"),
    ],
)
def test_files_that_are_not_what_they_seem(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=message):
        open_source(tmp_path / name)


@pytest.mark.parametrize("name", ["missing.jpg", "missing.mp4", "missing/", "miss*.jpg"])
def test_missing_files(tmp_path: Path, name: str) -> None:
    with pytest.raises(SourceError, match=r"no source|no images match"):
        open_source(str(tmp_path / name))


def test_truncated_files(tmp_path: Path, scene: npt.NDArray[np.uint8], make_video: Callable[..., Path]) -> None:
    image = save(tmp_path / "cut.png", scene)
    image.write_bytes(image.read_bytes()[:200])
    with pytest.raises(SourceError, match="cannot be decoded"):
        open_source(image)
    cut = tmp_path / "cut.avi"
    whole = make_video(tmp_path / "whole.avi", 30).read_bytes()
    cut.write_bytes(whole[: len(whole) // 2])
    assert 10 <= len(list(open_source(cut).frames())) < 30  # what is there is used
    cut.write_bytes(whole[:5_000])
    with pytest.raises(SourceError, match=r"no readable video frame|cannot be read"):
        list(open_source(cut).frames())


def test_names_that_opencv_cannot_open_by_itself(tmp_path: Path, scene: npt.NDArray[np.uint8]) -> None:
    path = tmp_path / "gesicht ü 顔.png"
    save(tmp_path / "plain.png", scene).rename(path)
    [frame] = open_source(path).frames()
    np.testing.assert_array_equal(frame.image, scene)


def test_empty_name() -> None:
    with pytest.raises(UsageError, match="--source is empty"):
        open_source("")


def test_real_video(assets: Path) -> None:
    frames = list(VideoFile(assets / "faces" / "talking_head.mp4").frames())
    assert len(frames) == 115
    times = np.array([frame.time_s for frame in frames])
    assert times[0] == 0.0
    assert (np.diff(times) > 0.0).all()
    assert times[-1] == pytest.approx(4.56, abs=0.01)


def test_stopped_images(tmp_path: Path, scene: npt.NDArray[np.uint8]) -> None:
    paths = [save(tmp_path / f"{number}.png", scene) for number in range(3)]
    source = ImageFiles(paths, "three")
    frames = source.frames()
    next(frames)
    source.stop()
    assert list(frames) == []
