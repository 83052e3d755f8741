"""What ``fer-camera`` prints for people: answers, shares, progress."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from fer_edge.app.cli import main
from fer_edge.app.progress_line import ProgressLine, progress_text
from fer_edge.capture.frames import Frame
from fer_edge.command import counted
from fer_edge.labels import EMOTIONS
from fer_edge.outputs.answers import Answers, Shares, face_line, printable
from fer_edge.results import Face, Result

FAKE = ["--headless", "--backend", "fake", "--detector", "haar"]


def face(track: int, emotion: str | None, **probabilities: float) -> Face:
    values = np.array([probabilities.get(name, 0.0) for name in EMOTIONS], np.float32)
    return Face(track, (0, 0, 9, 9), 1.0, emotion, values, values)


def result(index: int, *faces: Face, path: Path | None = None) -> Result:
    return Result(Frame(np.zeros((9, 9, 3), np.uint8), index, index / 10.0, 0.0, path), faces, 0.0)


def test_the_line_of_a_face() -> None:
    assert face_line(face(1, "happy", happy=0.8, neutral=0.1, sad=0.04)) == "face 1: happy 0.80, neutral 0.10"
    assert face_line(face(2, None, happy=0.3, fear=0.28)) == "face 2: uncertain (happy 0.30, fear 0.28)"
    # Over time the answer may lag behind the average: it still stands first.
    assert face_line(face(3, "sad", happy=0.5, sad=0.45)) == "face 3: sad 0.45, happy 0.50"
    # Even where the answer's own probability would not be shown.
    assert face_line(face(4, "sad", happy=0.96, sad=0.04)) == "face 4: sad 0.04, happy 0.96"


def test_shares_of_a_video() -> None:
    shares = Shares()
    for index in range(4):
        faces = [face(1, "happy" if index else "sad")] + ([face(2, None)] if index == 3 else [])
        shares.add(result(index, *faces))
    assert shares.lines() == [
        "all faces in 4 frames: happy 60%, sad 20%, uncertain 20%",
        "face 1 in 4 frames: happy 75%, sad 25%",
        "face 2 in 1 frame: uncertain 100%",
    ]
    assert Shares().lines() == ["no face found in 0 frames"]


def test_a_camera_that_runs_for_weeks_keeps_a_bounded_number_of_faces() -> None:
    shares = Shares()
    for number in range(5000):
        shares.add(result(number, face(number, "happy")))
        shares.add(result(number, face(-1, "sad")))
    assert len(shares.tracks) <= 1001
    assert shares.total == {"happy": 5000, "sad": 5000}
    lines = shares.lines()
    assert lines[0] == "all faces in 10000 frames: happy 50%, sad 50%"
    assert lines[1] == "face -1 in 5000 frames: sad 100%"
    assert len(lines) == 12


def test_changes_of_a_camera_that_nothing_else_shows(capsys: pytest.CaptureFixture[str]) -> None:
    answers = Answers(continuous=True, follow=True)
    for index, emotion in enumerate(["happy", "happy", "sad", "sad"]):
        answers.write(result(index, face(1, emotion, happy=0.5, sad=0.5)))
    answers.close()
    assert capsys.readouterr().out.splitlines() == [
        "0.0 s: face 1: happy 0.50, sad 0.50",
        "0.2 s: face 1: sad 0.50, happy 0.50",
        "face 1 in 4 frames: happy 50%, sad 50%",
    ]


def test_file_names_do_not_command_the_terminal() -> None:
    assert printable("a\x1b[31m\nb.png") == "a?[31m?b.png"
    assert printable("Gesicht ü.png") == "Gesicht ü.png"


def test_an_image_and_its_answer(
    tmp_path: Path, scene: npt.NDArray[np.uint8], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    image, nobody = tmp_path / "face.png", tmp_path / "nobody.png"
    cv2.imwrite(str(image), scene)
    cv2.imwrite(str(nobody), np.zeros_like(scene))
    assert main([str(image), *FAKE, "--quiet"]) == 0
    assert re.fullmatch(r"face 1: happy \d\.\d\d(, \w+ \d\.\d\d)*\n", capsys.readouterr().out)
    assert main([str(nobody), *FAKE]) == 0
    out, err = capsys.readouterr()
    assert out == "no face found\n"
    assert "1 frame, 0 faces" in err
    # Several, with an option in between: each answer says whose it is.
    assert main([str(image), "--quiet", str(nobody), *FAKE]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{image}: face 1: happy")
    assert second == f"{nobody}: no face found"
    # A name that looks like an option, behind the usual mark.
    (tmp_path / "-odd.png").write_bytes(image.read_bytes())
    monkeypatch.chdir(tmp_path)
    assert main([str(nobody), *FAKE, "--quiet", "--", "-odd.png"]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("-odd.png: face 1: happy")
    # Another output gets the answers, and quiet is quiet.
    assert main([str(image), *FAKE, "--quiet", "--save", str(tmp_path / "shown.png")]) == 0
    assert capsys.readouterr().out == ""


def test_answers_do_not_mix_with_json_lines(video: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(video), *FAKE, "--jsonl", "-"]) == 0
    out, err = capsys.readouterr()
    assert [json.loads(line)["frame"] for line in out.splitlines()] == list(range(12))
    assert err.count("\n") == 1


def test_the_source_is_named_once(video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(video), "--source", "0", *FAKE]) == 2
    assert "two sources" in capsys.readouterr().err
    if sys.version_info >= (3, 11):  # on the command line it counts more than in a file
        config = tmp_path / "c.toml"
        config.write_text('source = "missing.mp4"\n')
        assert main([str(video), "--config", str(config), *FAKE, "--quiet"]) == 0
        assert "face 1 in 12 frames" in capsys.readouterr().out


def test_alone_it_opens_the_first_camera(capsys: pytest.CaptureFixture[str]) -> None:
    if Path("/dev/video0").exists():
        pytest.skip("there is a camera")
    assert main(["--headless"]) == 3
    assert "no camera /dev/video0" in capsys.readouterr().err


def test_one_and_many() -> None:
    assert [counted(n, "frame") for n in (0, 1, 2)] == ["0 frames", "1 frame", "2 frames"]


def test_progress_text() -> None:
    assert progress_text(430, 1150, 4.3) == "37 %, 430 of 1150 frames, 100 per second, 0:07 left"
    assert progress_text(10, 40_000, 5.0, "image") == "0 %, 10 of 40000 images, 2.0 per second, 5:33:15 left"
    assert progress_text(10, None, 1.0) == "10 frames, 10 per second"
    assert progress_text(10, 5, 1.0) == "10 frames, 10 per second"  # a container that counted wrong


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("kind", [Terminal, io.StringIO])
def test_progress_comes_late_and_goes_away(kind: Callable[[], io.StringIO]) -> None:
    now = [0.0]
    stream = kind()
    line = ProgressLine(stream, clock=lambda: now[0])
    line.start(100, "a.mp4")
    for done in range(1, 100):
        now[0] += 0.125  # exact in binary
        line.update(done)
    written = stream.getvalue()
    line.stop()
    line.update(100)
    if kind is io.StringIO:
        assert stream.getvalue() == ""  # a log file gets none
    else:
        assert "a.mp4: 12 %, 12 of 100 frames, 8.0 per second, 0:11 left" in written
        assert 20 <= written.count("left") <= 25
        assert stream.getvalue() == written + "\r\x1b[K"


def test_progress_on_a_terminal(long_video: Path) -> None:
    """The whole command on a pseudo-terminal: the line is there while it works and gone when it ends."""
    ours, theirs = pty.openpty()
    at_once = (
        "import fer_edge.app.progress_line as p; p.FIRST_S = p.EVERY_S = 0.0\nfrom fer_edge.app.cli import main; main()"
    )
    command = [sys.executable, "-c", at_once, str(long_video), *FAKE, "--max-frames", "30"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        end = time.monotonic() + 60
        while time.monotonic() < end and select.select([ours], [], [], 10)[0]:
            try:
                more = os.read(ours, 4096)
            except OSError:  # the other side is closed
                break
            shown += more
    os.close(ours)
    assert process.returncode == 0
    text = shown.decode()
    assert re.search(r"\d+ %, \d+ of 30 frames, \d+(\.\d)? per second, 0:\d\d left", text)
    *_, last = text.strip().split("\r\x1b[K")
    assert last.startswith("fer-camera: 30 frames")
