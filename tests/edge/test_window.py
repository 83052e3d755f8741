"""The window, on a virtual X server (Debian's package xvfb) where there is one."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from fer_edge.app.cli import main
from fer_edge.capture.frames import Frame
from fer_edge.errors import DeviceError
from fer_edge.outputs import window
from fer_edge.results import Result

RUN_CAMERA = Path(__file__).parents[2] / "edge" / "run_camera.py"


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    xvfb = shutil.which("Xvfb")
    if xvfb is None:
        pytest.skip("Xvfb is not installed (apt-get install xvfb)")
    reading, writing = os.pipe()
    server = subprocess.Popen(
        [xvfb, "-displayfd", str(writing), "-screen", "0", "800x600x24"],
        pass_fds=(writing,),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    with os.fdopen(reading) as pipe:
        number = pipe.readline().strip()
    yield f":{number}"
    server.kill()
    server.wait()


def start(display: str, *arguments: str | Path, cwd: Path | None = None) -> subprocess.Popen[str]:
    command = [sys.executable, str(RUN_CAMERA), "--backend", "fake", "--detector", "haar", *map(str, arguments)]
    environment = {**os.environ, "DISPLAY": display}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=cwd
    )


def test_a_video_is_shown_to_its_end(display: str, video: Path) -> None:
    with start(display, "--source", video) as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert err.startswith("fer-camera: 12 frames")
    assert err.count("\n") == 1  # Qt keeps silent, too


def test_an_image_stays_until_it_is_ended(display: str, tmp_path: Path, scene: npt.NDArray[np.uint8]) -> None:
    image, saved = tmp_path / "face.png", tmp_path / "shown.png"
    cv2.imwrite(str(image), scene)
    with start(display, "--source", image, "--save", saved) as process:
        end = time.monotonic() + 30
        while not saved.exists():
            assert time.monotonic() < end
            time.sleep(0.05)
        time.sleep(0.5)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
    assert process.returncode == 130


@pytest.mark.slow
def test_real_keys(display: str, tmp_path: Path, scene: npt.NDArray[np.uint8]) -> None:
    """Key presses by the X server itself (its XTEST extension)."""
    try:
        x11, xtest = ctypes.CDLL("libX11.so.6"), ctypes.CDLL("libXtst.so.6")
    except OSError:
        pytest.skip("libXtst is not installed (apt-get install libxtst6)")
    x11.XOpenDisplay.restype = ctypes.c_void_p
    x11.XKeysymToKeycode.argtypes = [ctypes.c_void_p, ctypes.c_ulong]
    server = ctypes.c_void_p(x11.XOpenDisplay(display.encode()))

    def press(key: str) -> None:
        code = x11.XKeysymToKeycode(server, ord(key))
        for down in (1, 0):
            xtest.XTestFakeKeyEvent(server, code, down, 0)
        x11.XFlush(server)

    image, saved = tmp_path / "face.png", tmp_path / "saved"
    saved.mkdir()
    cv2.imwrite(str(image), scene)
    with start(display, "--source", image, cwd=saved) as process:
        xtest.XTestFakeMotionEvent(server, -1, 100, 100, 0)  # without a window manager the pointer has the keys
        end = time.monotonic() + 60
        while not list(saved.iterdir()):
            assert process.poll() is None
            assert time.monotonic() < end
            press("s")
            time.sleep(0.2)
        press("f")
        press(" ")
        time.sleep(0.5)
        assert process.poll() is None
        press("q")
        _, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert f"saved {next(saved.iterdir()).parent}" in err
    assert {path.suffix for path in saved.iterdir()} == {".png"}


class Keyboard:
    """Stands in for OpenCV's window functions: keys to come, pictures and titles that were shown."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.keys: list[str] = []
        self.pictures: list[npt.NDArray[np.uint8]] = []
        self.title = ""
        self.flags = 0
        self.full: list[float] = []
        monkeypatch.setattr(window, "check_display", lambda: None)
        monkeypatch.setattr(cv2, "namedWindow", self._open)
        monkeypatch.setattr(cv2, "resizeWindow", lambda *_: None)
        monkeypatch.setattr(cv2, "imshow", lambda _, picture: self.pictures.append(picture))
        monkeypatch.setattr(cv2, "setWindowTitle", self._entitle)
        monkeypatch.setattr(cv2, "setWindowProperty", lambda _, prop, value: self.full.append(value))
        monkeypatch.setattr(cv2, "getWindowProperty", lambda *_: 1.0)
        monkeypatch.setattr(cv2, "waitKey", lambda _: ord(self.keys.pop(0)) if self.keys else -1)
        monkeypatch.setattr(cv2, "destroyAllWindows", lambda: None)

    def _open(self, _: str, flags: int) -> None:
        self.flags = flags

    def _entitle(self, _: str, title: str) -> None:
        self.title = title


def result(index: int) -> Result:
    return Result(Frame(np.full((60, 80, 3), index, np.uint8), index, index / 10.0, 0.0), (), 0.0)


def test_keys_of_the_window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, notices: list[str]) -> None:
    monkeypatch.chdir(tmp_path)
    board = Keyboard(monkeypatch)
    shown = window.Window()
    assert board.flags & cv2.WINDOW_GUI_NORMAL  # no toolbar
    board.keys = ["s"]
    assert shown.idle()  # nothing to save yet
    assert shown.show(result(1))
    board.keys = [" "]
    assert shown.idle()
    assert board.title.endswith(": paused")
    assert shown.show(result(2))  # held
    board.keys = ["s", "s"]
    assert shown.idle("lost") and shown.idle("lost")
    assert board.title.endswith(": paused, lost")
    saved = sorted(tmp_path.iterdir())
    assert len(saved) == len(notices) == 2
    picture = cv2.imread(str(saved[0]))
    assert picture is not None
    assert (picture == 1).all()
    board.keys = [" ", "f", "f"]
    assert shown.idle()
    assert board.title == window.TITLE
    assert shown.show(result(3)) and shown.show(result(4))
    assert board.full == [cv2.WINDOW_FULLSCREEN, cv2.WINDOW_NORMAL]
    assert [int(picture[0, 0, 0]) for picture in board.pictures] == [1, 3, 4]
    for key in ("q", "Q", "\x1b"):
        board.keys = [key]
        assert not shown.idle()


def test_a_picture_that_cannot_be_saved_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, notices: list[str]
) -> None:
    board = Keyboard(monkeypatch)
    shown = window.Window()
    assert shown.show(result(1))
    monkeypatch.setattr(window, "unused_path", lambda path: tmp_path / "file" / path)
    (tmp_path / "file").write_text("x")
    board.keys = ["s"]
    assert shown.idle()
    assert len(notices) == 1 and "cannot be written" in notices[0]


def test_a_video_waits_while_its_picture_is_held(
    video: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    board = Keyboard(monkeypatch)
    moments: list[int] = []
    waited = 0

    def wait_key(_: int) -> int:
        nonlocal waited
        waited += 1
        moments.append(len(board.pictures))
        if waited in (3, 40):  # held and let go
            return ord(" ")
        return -1

    monkeypatch.setattr(cv2, "waitKey", wait_key)
    assert main([str(video), "--backend", "fake", "--detector", "haar"]) == 0
    assert waited > 40
    assert len(set(moments[4:39])) == 1  # nothing new was shown meanwhile
    assert "12 frames" in capsys.readouterr().err


def test_quitting_ends_a_list_of_videos(
    video: Path, make_video: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    board = Keyboard(monkeypatch)
    board.keys = ["q"]
    make_video(tmp_path / "b.avi")
    assert main([str(video), str(tmp_path / "b.avi"), "--backend", "fake", "--detector", "haar"]) == 0
    assert "b.avi" not in capsys.readouterr().out


def test_no_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    with pytest.raises(DeviceError, match="--headless"):
        window.Window()
    monkeypatch.setenv("DISPLAY", ":4711")
    with pytest.raises(DeviceError, match="DISPLAY=:4711"):
        window.check_display()
