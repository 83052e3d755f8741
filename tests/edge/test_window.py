"""The window, on a virtual X server (Debian's package xvfb) where there is one."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

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


def start(display: str, *arguments: str | Path) -> subprocess.Popen[str]:
    command = [sys.executable, str(RUN_CAMERA), "--backend", "fake", "--detector", "haar", *map(str, arguments)]
    environment = {**os.environ, "DISPLAY": display}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


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
