"""``fer-camera`` as the user meets it: exit codes, standard output, files, and never more than two lines of error."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from fer_edge.app.cli import main

EDGE = Path(__file__).parents[2] / "edge"
RUN_CAMERA = EDGE / "run_camera.py"
FAKE = ["--headless", "--backend", "fake", "--detector", "haar"]


def run(
    arguments: Sequence[str | Path], script: Path = RUN_CAMERA, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own: only so is seen what the native libraries write."""
    command = [sys.executable, str(script), *map(str, arguments)]
    environment = {**os.environ, "HOME": "/dev/null/none", "XDG_CACHE_HOME": "/dev/null/none"}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False, cwd=cwd)


def count_frames(path: Path) -> int:
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    count = 0
    while capture.read()[0]:
        count += 1
    return count


def test_video_to_json_lines_and_video(video: Path, tmp_path: Path) -> None:
    lines, saved = tmp_path / "new" / "t.jsonl", tmp_path / "new" / "t.mp4"
    done = run(["--source", video, *FAKE, "--jsonl", lines, "--save", saved])
    assert done.returncode == 0, done.stderr
    assert done.stdout == "face 1 in 12 frames: happy 100%\n"
    assert done.stderr.splitlines()[0] == f"fer-camera: wrote 12 frames to {saved}, 12 lines to {lines}"
    assert done.stderr.count("\n") == 2
    assert "12 frames, " in done.stderr
    rows = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [row["frame"] for row in rows] == list(range(12))
    assert any(row["faces"] for row in rows)
    assert count_frames(saved) == 12


def test_json_lines_on_standard_output_and_nothing_else(video: Path) -> None:
    done = run(["--source", video, *FAKE, "--jsonl", "-", "--quiet", "--max-frames", "5"])
    assert (done.returncode, done.stderr) == (0, "")
    assert [json.loads(line)["frame"] for line in done.stdout.splitlines()] == [0, 1, 2, 3, 4]


def test_image_to_image(tmp_path: Path, scene: npt.NDArray[np.uint8], capsys: pytest.CaptureFixture[str]) -> None:
    image, saved = tmp_path / "face.png", tmp_path / "shown.png"
    cv2.imwrite(str(image), scene)
    assert main(["--source", str(image), *FAKE, "--jsonl", "-", "--save", str(saved)]) == 0
    [line] = capsys.readouterr().out.splitlines()
    assert len(json.loads(line)["faces"]) == 1
    shown = cv2.imread(str(saved))
    assert shown is not None
    assert not np.array_equal(shown, scene)


def test_folder(tmp_path: Path, scene: npt.NDArray[np.uint8], capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("b.png", "a.png"):
        cv2.imwrite(str(tmp_path / name), scene)
    assert main(["--source", str(tmp_path), *FAKE, "--jsonl", "-"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [Path(row["file"]).name for row in rows] == ["a.png", "b.png"]


def _bad(tmp_path: Path) -> dict[str, Path]:
    """Files that are not what their names say."""
    made = {}
    for name, content in {
        "empty.mp4": b"",
        "empty.jpg": b"",
        "-face.jpg": b"this is text\n",
        "empty.tflite": b"",
        "text.jpg": b"this is text\n",
        "text.mp4": b"this is text\n",
        "text.tflite": b"this is text\n",
        "text.onnx": b"this is text\n",
        "cut.tflite": b"\x1c\x00\x00\x00TFL3" + bytes(range(200)),
        "bad.toml": b"source = \n",
    }.items():
        made[name] = tmp_path / name
        made[name].write_bytes(content)
    return made


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ("--source missing.mp4", 2, "no source missing.mp4"),
        ("--source missing/", 2, "no source missing/"),
        ("--source bad", 2, "none of the 3 sources can be read"),  # two videos and the images, all broken
        ("--source empty.mp4", 2, "empty.mp4 is empty"),
        ("--source empty.jpg", 2, "empty.jpg is empty"),
        ("--source text.jpg", 2, "text.jpg cannot be decoded"),
        ("--source text.mp4", 2, "text.mp4 cannot be read as a video"),
        ("--source 63", 3, "no camera /dev/video63"),
        ("--source /dev/v4l/by-id/usb-none-video-index0", 3, "no camera /dev/v4l/by-id/usb-none"),
        ("--source srt://cam:9?mode=caller", 2, "srt://cam:9?mode=caller is no address that is read; expected rtsp://"),
        ("--source scene.avi --backend auto --model missing.tflite", 2, "no model file missing.tflite"),
        ("--source scene.avi --backend auto --model empty.tflite", 2, "empty.tflite is empty"),
        ("--source scene.avi --backend auto --model text.tflite", 2, "text.tflite is damaged or no such model"),
        ("--source scene.avi --backend auto --model cut.tflite", 2, "cut.tflite is damaged or no such model"),
        ("--source scene.avi --backend auto --model text.jpg", 2, "ending in .tflite, .rknn or .onnx"),
        ("--source scene.avi --backend tfite", 2, "unknown backend 'tfite'"),
        ("--source scene.avi --detector yunet --detector-model missing.onnx", 2, "no face detector file"),
        ("--source scene.avi --detector yunet --detector-model text.onnx", 2, "cannot be used as YuNet"),
        ("--source scene.avi --detector haar --detector-model text.onnx", 2, "belongs to YuNet"),
        ("--source scene.avi --detector yolo", 2, "invalid choice: 'yolo'"),
        ("--source scene.avi --save out.xyz", 2, "expected a name ending in"),
        ("--source scene.avi --save text.jpg/out.mp4", 2, "cannot be written"),
        ("--source scene.avi --save scene.avi", 2, "write over the source"),
        ("--source scene.avi --save a.mkv --jsonl ./a.mkv", 2, "both name a.mkv"),
        ("--source scene.avi --jsonl text.jpg/out.jsonl", 2, "cannot be written"),
        ("--sorce scene.avi", 2, "unknown argument --sorce; did you mean --source?"),
        ("-face.jpg", 2, "unknown argument -face.jpg; if the file of that name is meant: ./-face.jpg"),
        ("scene.avi --jsonl a.jsonl --jsonl=b.jsonl", 2, "--jsonl is given twice; it takes one value"),
        ("scene.avi --save a.mp4 --save b.mp4", 2, "--save is given twice; it takes one value"),
        ("--source scene.avi --detect-every 0", 2, "expected a number from 1 to 1000"),
        ("--source scene.avi --detect-every much", 2, "expected a whole number"),
        ("--source scene.avi --fps nan", 2, "expected a number from"),
        ("--source scene.avi --size 12", 2, "expected WIDTHxHEIGHT"),
        ("--source scene.avi --cores 999", 2, "this machine has cores"),
        ("--source scene.avi --cores a", 2, "expected core numbers"),
        ("--config missing.toml", 2, "No such file"),
        ("--config bad.toml", 2, "is not TOML"),
    ],
)
def test_mistakes_are_answered_in_one_line(
    arguments: str, code: int, message: str, tmp_path: Path, video: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    _bad(tmp_path)
    shutil.copy(video, tmp_path)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tmp_path, tmp_path / "bad", ignore=shutil.ignore_patterns("scene.avi", "*.t*l*", "*.onnx"))
    common = [option for option in FAKE if f"--{option}" not in arguments]
    before = sorted(tmp_path.iterdir())
    # What is given later counts, so the defaults come first.
    assert main([*common, *arguments.split()]) == code
    out, err = capfd.readouterr()
    lines = [line for line in err.splitlines() if "skipped:" not in line]
    assert out == ""
    assert 1 <= len(lines) <= 2, err
    assert lines[-1].startswith("fer-camera: error: ")
    assert message in lines[-1]
    assert "Traceback" not in err
    assert sorted(tmp_path.iterdir()) == before  # nothing half-written is left


@pytest.mark.parametrize("name", ["text.mp4", "cut.jpg", "cut.avi"])
def test_native_libraries_keep_silent(name: str, tmp_path: Path, video: Path, scene: npt.NDArray[np.uint8]) -> None:
    _bad(tmp_path)
    cv2.imwrite(str(tmp_path / "whole.jpg"), scene)
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:2000])
    (tmp_path / "cut.avi").write_bytes(video.read_bytes()[: video.stat().st_size * 2 // 3])
    done = run(["--source", tmp_path / name, *FAKE])
    assert all(line.startswith("fer-camera: ") for line in done.stderr.splitlines()), done.stderr
    assert done.stderr.count("\n") <= 2
    assert done.returncode == (0 if name.startswith("cut") and "frames" in done.stderr else 2)


def test_without_a_display_it_goes_on_and_says_so(
    video: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    arguments = [str(video), "--backend", "fake", "--detector", "haar"]
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    assert out == "face 1 in 12 frames: happy 100%\n"
    assert "no display to open a window on: continuing without a window, as with --headless" in err
    assert main([*arguments, "--no-headless"]) == 3  # asked for in so many words
    assert "--headless" in capsys.readouterr().err


def test_a_full_disk_is_told_once_and_the_rest_goes_on(video: Path, tmp_path: Path) -> None:
    done = run(["--source", video, *FAKE, "--jsonl", "/dev/full", "--save", tmp_path / "t.avi"])
    assert done.returncode == 2
    assert "output JSON lines stopped: No space left on device" in done.stderr
    assert "wrote 12 frames to " in done.stderr and "lines to" not in done.stderr
    assert done.stderr.count("\n") == 3
    assert count_frames(tmp_path / "t.avi") == 12


def test_a_reader_that_goes_away_ends_the_command_quietly(long_video: Path) -> None:
    command = [sys.executable, str(RUN_CAMERA), "--source", str(long_video), *FAKE, "--jsonl", "-", "--quiet"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["frame"] == 0
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(30) == 0


@pytest.mark.parametrize(("number", "live", "code"), [(signal.SIGTERM, True, 0), (signal.SIGINT, False, 130)])
def test_signals_finish_the_files(number: int, live: bool, code: int, long_video: Path, tmp_path: Path) -> None:
    saved = tmp_path / "t.mp4"
    command = [
        sys.executable,
        str(RUN_CAMERA),
        "--source",
        str(long_video),
        *FAKE,
        "--jsonl",
        "-",
        "--save",
        str(saved),
    ]
    command += ["--realtime"] if live else []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(5):
            process.stdout.readline()
        time.sleep(0.2)
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
    assert process.returncode == code, err
    assert "frames per second" in err
    assert ("capture to result p50" in err) == live
    assert count_frames(saved) >= 5


def wait_until_full(pipe: int) -> None:
    """Until nothing has come into a pipe that nobody reads for half a second."""
    held, since = -1, time.monotonic()
    while time.monotonic() - since < 0.5:
        time.sleep(0.05)
        now = int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)
        if now != held:
            held, since = now, time.monotonic()


def test_a_second_signal_waits_for_no_output_but_still_reports(long_video: Path) -> None:
    command = [sys.executable, str(RUN_CAMERA), "--source", str(long_video), *FAKE, "--jsonl", "-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        reading = process.stdout.fileno()
        assert os.read(reading, 1) == b"{"
        if hasattr(fcntl, "F_SETPIPE_SZ"):
            fcntl.fcntl(reading, fcntl.F_SETPIPE_SZ, 4096)  # soon full: the output then hangs
        wait_until_full(reading)
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert process.poll() is None, "it waits for the reader"
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(30) == 130
        finally:
            process.kill()
        err = process.stderr.read()
    summary, interrupted = err.splitlines()[-2:]
    assert re.match(r"fer-camera: [1-9]\d* frames?, .* frames per second", summary)
    assert interrupted == "fer-camera: interrupted"


def test_list_cameras_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list-cameras"]) == 0
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    assert "--detect-every" in capsys.readouterr().out


def test_fetch_without_network_or_with(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from fer_edge.errors import MissingDependencyError
    from fer_edge.faces import yunet_file as detector_file

    monkeypatch.setattr(detector_file, "yunet_file", lambda: Path("/cache/yunet.onnx"))
    assert main(["--fetch"]) == 0
    assert capsys.readouterr().out == "/cache/yunet.onnx\n"

    def fail() -> Path:
        raise MissingDependencyError("cannot fetch")

    monkeypatch.setattr(detector_file, "yunet_file", fail)
    assert main(["--fetch"]) == 3
    assert capsys.readouterr().err == "fer-camera: error: cannot fetch\n"


def test_options_reach_the_answer(video: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--source", str(video), *FAKE, "--jsonl", "-", "--quiet", "--min-confidence", "1"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    faces = [face for row in rows for face in row["faces"]]
    assert faces
    assert {face["emotion"] for face in faces} == {None}


def test_the_copied_folder_runs_elsewhere(video: Path, tmp_path: Path) -> None:
    """Only ``edge/``, nothing installed: the toolkit of the checkout must not be found by another way."""
    shutil.copytree(EDGE, tmp_path / "edge", ignore=shutil.ignore_patterns("__pycache__"))
    probe = tmp_path / "edge" / "probe.py"
    probe.write_text("import fer_edge, sys; sys.stdout.write(fer_edge.__file__)")
    assert run([], probe, cwd=tmp_path).stdout.startswith(str(tmp_path))
    done = run(["--source", video, *FAKE, "--jsonl", "-"], tmp_path / "edge" / "run_camera.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 12


def test_the_real_video(assets: Path, yunet_model: Path, tmp_path: Path) -> None:
    """The acceptance line of the project: 115 lines with one face each, and a video that plays."""
    source, lines, saved = assets / "faces" / "talking_head.mp4", tmp_path / "t.jsonl", tmp_path / "t.mp4"
    arguments: list[str | Path] = ["--source", source, "--headless", "--backend", "fake", "--detector", "yunet"]
    done = run([*arguments, "--detector-model", yunet_model, "--jsonl", lines, "--save", saved])
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [len(row["faces"]) for row in rows] == [1] * 115
    assert count_frames(saved) == 115


def test_requirements_of_the_copied_folder_equal_the_base_dependencies() -> None:
    tomllib = pytest.importorskip("tomllib", reason="new in Python 3.11")
    project = tomllib.loads((EDGE.parent / "pyproject.toml").read_text())["project"]
    lines = (EDGE / "requirements.txt").read_text().splitlines()
    assert [line for line in lines if not line.startswith("#")] == project["dependencies"]
