"""One notice at the end says what was written where, on standard error, and not with --quiet."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from tests.edge.test_camera_command import FAKE, run

from fer_edge.outputs.written import Written, notice


def wrote(stderr: str) -> list[str]:
    return [line.removeprefix("fer-camera: wrote ") for line in stderr.splitlines() if "wrote" in line]


def test_one_line_for_all() -> None:
    out = Path("out")
    assert notice([]) == notice([Written(0, "frame", out / "a.mp4")]) == ""
    assert notice([Written(1, "frame", out / "a.mp4")]) == "wrote 1 frame to out/a.mp4"
    both = [Written(3, "frame", out / "a.mp4"), Written(4, "frame", out / "b.mp4"), Written(7, "line", out / "l.jsonl")]
    assert notice(both) == "wrote 7 frames to 2 files in out, 7 lines to out/l.jsonl"
    assert notice([Written(5, "image", out, is_folder=True)]) == "wrote 5 images to out"


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".webm"])
def test_a_video(video: Path, tmp_path: Path, suffix: str) -> None:
    done = run(["--source", video, *FAKE, "--save", f"out{suffix}", "--max-frames", "5"], cwd=tmp_path)
    assert wrote(done.stderr) == [f"5 frames to out{suffix}"]
    assert done.stderr.splitlines()[-1].startswith("fer-camera: 5 frames, "), "the summary stays the last line"


def test_pictures_into_a_folder_and_lines(scene: npt.NDArray[np.uint8], tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "c.png"):
        cv2.imwrite(str(tmp_path / name), scene)
    done = run(["a.png", "b.png", "c.png", *FAKE, "--save", "out/", "--jsonl", "l.jsonl"], cwd=tmp_path)
    assert wrote(done.stderr) == ["3 images to out, 3 lines to l.jsonl"]


def test_one_picture(scene: npt.NDArray[np.uint8], tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), scene)
    done = run(["a.png", *FAKE, "--save", "marked.jpg"], cwd=tmp_path)
    assert wrote(done.stderr) == ["1 image to marked.jpg"]


def test_several_videos_into_a_folder(video: Path, tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        shutil.copy(video, tmp_path / name)
    done = run(["a.mp4", "b.mp4", *FAKE, "--save", "out/", "--max-frames", "4"], cwd=tmp_path)
    assert wrote(done.stderr) == ["8 frames to 2 files in out"]


@pytest.mark.parametrize("options", [["--quiet", "--save", "out.mp4"], ["--jsonl", "-"], []])
def test_nothing_is_said_where_nothing_is_to_be(video: Path, tmp_path: Path, options: list[str]) -> None:
    done = run(["--source", video, *FAKE, *options, "--max-frames", "4"], cwd=tmp_path)
    assert done.returncode == 0 and wrote(done.stderr) == []


def test_a_recording_that_goes_elsewhere_is_named(video: Path, tmp_path: Path) -> None:
    (tmp_path / "out.mp4").write_bytes(b"earlier")
    done = run(["--source", video, *FAKE, "--realtime", "--save", "out.mp4", "--max-frames", "3"], cwd=tmp_path)
    (line,) = wrote(done.stderr)
    assert line.split()[-1] != "out.mp4" and (tmp_path / line.split()[-1]).is_file()
