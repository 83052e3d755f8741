"""Input of the campaigns."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from tests.reliability.campaign import Campaign

from fer_train.synthetic.faces import draw_scene

FPS = 20.0
CLIP_FRAMES = 60


@pytest.fixture
def campaign(request: pytest.FixtureRequest) -> Campaign:
    return Campaign(request.node.name.removeprefix("test_"))


@pytest.fixture(scope="session")
def scene() -> npt.NDArray[np.uint8]:
    """``(240, 320, 3)`` BGR with one synthetic face."""
    return draw_scene("happy", np.random.default_rng(3), 320, 240)[0]


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory, scene: npt.NDArray[np.uint8]) -> Path:
    """Three seconds of the scene, swaying: MJPG, 20 frames a second."""
    path = tmp_path_factory.mktemp("clip") / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), FPS, (320, 240))
    assert writer.isOpened()
    for number in range(CLIP_FRAMES):
        writer.write(np.roll(scene, round(12 * np.sin(number / CLIP_FRAMES * 2 * np.pi)), axis=1))
    writer.release()
    return path


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one mebibyte."""
    import subprocess

    folder = tmp_path / "disk"
    folder.mkdir()
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("only root may mount a small tmpfs")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder)], check=False)
    if mounted.returncode:
        pytest.skip("this container may not mount a tmpfs")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)
