"""Input for the tests of the camera side: synthetic scenes, a small video of them, and real files where given."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from tests.edge.browser import CHROMIUM, Browser
from tests.edge.http_server import Server, Write
from tests.edge.mqtt_broker import broker, heard  # noqa: F401 - the fixtures
from tests.edge.web_page import Page

from fer_train.synthetic.faces import draw_scene

WIDTH, HEIGHT, FPS = 320, 240, 20.0


@pytest.fixture(scope="session")
def scene() -> npt.NDArray[np.uint8]:
    """A synthetic scene, ``(240, 320, 3)`` BGR, with one face that Haar finds."""
    return draw_scene("happy", np.random.default_rng(3), WIDTH, HEIGHT)[0]


@pytest.fixture(scope="session")
def make_video(scene: npt.NDArray[np.uint8]) -> Callable[..., Path]:
    """``make_video(path, n_frames=12)``: an MJPG AVI of the scene shifting to the right, 20 frames a second."""

    def make(path: Path, n_frames: int = 12) -> Path:
        writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), FPS, (WIDTH, HEIGHT))
        assert writer.isOpened()
        for number in range(n_frames):
            writer.write(np.roll(scene, 2 * number, axis=1))
        writer.release()
        return path

    return make


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory, make_video: Callable[..., Path]) -> Path:
    return make_video(tmp_path_factory.mktemp("video") / "scene.avi")


@pytest.fixture(scope="session")
def long_video(tmp_path_factory: pytest.TempPathFactory, make_video: Callable[..., Path]) -> Path:
    return make_video(tmp_path_factory.mktemp("video") / "long.avi", 300)


@pytest.fixture(scope="session")
def assets() -> Path:
    """The folder with real faces and detectors that ``FER_ASSETS`` names; skips without it."""
    folder = os.environ.get("FER_ASSETS")
    if not folder or not (Path(folder) / "faces").is_dir():
        pytest.skip("FER_ASSETS does not name a folder with faces/ and detectors/")
    return Path(folder)


@pytest.fixture(scope="session")
def yunet_model(assets: Path) -> Path:
    return assets / "detectors" / "face_detection_yunet_2023mar.onnx"


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache folder of the test's own, without the detector's file."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yield tmp_path / "cache" / "fer-edge-toolkit"


@pytest.fixture
def serve() -> Iterator[Callable[..., Page]]:
    pytest.importorskip("uvicorn", reason="the extra web is not installed")
    pages: list[Page] = []

    def make(**options: Any) -> Page:
        pages.append(Page(**options))
        return pages[-1]

    yield make
    for page in pages:
        page.sink.close()


@pytest.fixture
def served() -> Iterator[Callable[[Callable[[bytes, Write], None]], Server]]:
    running: list[tuple[Server, threading.Thread]] = []

    def start(answer: Callable[[bytes, Write], None]) -> Server:
        server = Server(answer)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        running.append((server, thread))
        return server

    yield start
    for server, thread in running:
        server.ended.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("chromium is not installed (apt-get install chromium)")
    made = Browser(tmp_path / "profile")
    yield made
    made.close()
