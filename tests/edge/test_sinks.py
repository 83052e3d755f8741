from __future__ import annotations

import io
import json
import os
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from fer_edge.capture.frames import Frame
from fer_edge.errors import UsageError
from fer_edge.labels import EMOTIONS
from fer_edge.outputs.base import OutputRunner
from fer_edge.outputs.draw import annotate, blur_box
from fer_edge.outputs.jsonl import JsonLines
from fer_edge.outputs.recording import recording_path
from fer_edge.outputs.video import ImageWriter, VideoRecorder, fit, open_recorder
from fer_edge.results import Face, Result


def result(index: int = 0, *, time_s: float | None = None, image: npt.NDArray[np.uint8] | None = None) -> Result:
    picture = np.full((120, 160, 3), 200, np.uint8) if image is None else image
    probabilities = np.full(7, 0.05, np.float32)
    probabilities[3] = 0.7
    face = Face(1, (40, 30, 50, 60), 0.9, "happy", probabilities, probabilities)
    now = time.monotonic()
    return Result(Frame(picture, index, index / 20.0 if time_s is None else time_s, now), (face,), now)


class SlowOutput:
    name = "slow"

    def __init__(self, lossless: bool, pause_s: float = 0.02) -> None:
        self.lossless = lossless
        self.seen: list[int] = []
        self.closed = 0
        self._pause_s = pause_s

    def write(self, result: Result) -> None:
        time.sleep(self._pause_s)
        self.seen.append(result.index)

    def close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize(("lossless", "live"), [(False, False), (False, True), (True, True)])
def test_a_slow_output_never_slows_the_pipeline(lossless: bool, live: bool) -> None:
    output = SlowOutput(lossless)
    runner = OutputRunner(output, live=live)
    began = time.monotonic()
    for index in range(100):
        runner.put(result(index))
    assert time.monotonic() - began < 1.0  # 2 s, had it waited
    runner.close()
    assert runner.dropped + len(output.seen) == 100
    assert runner.dropped > 50
    assert output.seen[-1] == 99  # the newest came through
    assert output.closed == 1


def test_a_file_of_a_file_loses_nothing() -> None:
    output = SlowOutput(lossless=True, pause_s=0.002)
    runner = OutputRunner(output, live=False)
    for index in range(100):
        runner.put(result(index))
    runner.close()
    assert output.seen == list(range(100))
    assert (runner.dropped, runner.failed) == (0, False)


def test_a_dead_output_is_reported_once_and_left_behind(notices: list[str]) -> None:
    class Dead(SlowOutput):
        def write(self, result: Result) -> None:
            raise OSError(28, "No space left on device")

    output = Dead(lossless=True)
    runner = OutputRunner(output, live=False)
    for index in range(50):
        runner.put(result(index))
    runner.close()
    assert notices == ["output slow stopped: No space left on device"]
    assert (runner.ended, runner.failed, output.closed) == (True, True, 1)


def test_an_output_that_hangs_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fer_edge.outputs.base.CLOSE_S", 0.1)
    release = threading.Event()

    class Hanging(SlowOutput):
        def write(self, result: Result) -> None:
            release.wait(10)

    runner = OutputRunner(Hanging(lossless=False), live=False)
    runner.put(result())
    began = time.monotonic()
    runner.close()
    assert time.monotonic() - began < 2
    release.set()


def test_a_reader_that_has_seen_enough_is_no_failure(notices: list[str]) -> None:
    class Gone(SlowOutput):
        def write(self, result: Result) -> None:
            raise BrokenPipeError

    runner = OutputRunner(Gone(lossless=True), live=False)
    runner.put(result())
    runner.close()
    assert (runner.ended, runner.failed, notices) == (True, False, [])


def test_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "new" / "faces.jsonl"
    output = JsonLines(path)
    for index in range(3):
        output.write(result(index))
        assert len(path.read_text().splitlines()) == index + 1  # complete at once, for tail -f
    output.close()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["frame"] for line in lines] == [0, 1, 2]
    assert lines[2]["time_s"] == 0.1
    assert lines[0]["faces"][0]["box"] == [40, 30, 50, 60]
    assert lines[0]["faces"][0]["probabilities"]["happy"] == 0.7


def test_json_lines_begin_anew_but_only_with_the_first_line(tmp_path: Path) -> None:
    path = tmp_path / "faces.jsonl"
    path.write_text("old\n")
    JsonLines(path).close()
    assert path.read_text() == "old\n"
    output = JsonLines(path)
    output.write(result())
    output.close()
    assert "old" not in path.read_text()


@pytest.mark.parametrize(("end", "kept"), [('{"a": 1}', 2), ('{"a": 1}\n', 2), ('{"a": ', 1)])
def test_json_lines_are_continued_behind_whole_ones(tmp_path: Path, end: str, kept: int) -> None:
    """Half a line of a power cut goes; a whole one without its end of line, as editors leave it, stays."""
    path = tmp_path / "faces.jsonl"
    path.write_text('{"a": 0}\n' + end)
    output = JsonLines(path, keep=True)
    output.write(result())
    output.close()
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert rows[:kept] == [{"a": number} for number in range(kept)]
    assert rows[kept]["event"] == "start"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", rows[kept]["time"])
    assert [row["frame"] for row in rows[kept + 1 :]] == [0]


def test_a_rotated_log_of_a_camera_is_not_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "faces.jsonl"
    (tmp_path / "faces.jsonl.1").write_text('{"event": "start", "time": "2026-01-01T00:00:00Z"}\n')
    path.write_text('{"frame": 7}\n')  # a run goes on here, behind what was moved away
    output = JsonLines(path)
    output.write(result())
    output.close()
    assert json.loads(path.read_text().splitlines()[0]) == {"frame": 7}


def test_json_lines_into_a_pipe_with_a_name(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(path.read_text()))
    reader.start()
    output = JsonLines(path, keep=True)
    output.write(result())
    output.close()
    reader.join(10)
    assert [json.loads(line)["frame"] for line in read[0].splitlines()] == [0]


def test_json_lines_rotate_between_lines_and_keep_three(tmp_path: Path) -> None:
    path = tmp_path / "faces.jsonl"
    size = len(json.dumps(result(0).as_dict())) + 1
    for start in (0, 50):  # the second time continues the file, as a service that restarts does
        output = JsonLines(path, max_bytes=int(size * 4.5))
        for index in range(start, start + 50):
            output.write(result(index))
        output.close()
    names = sorted(p.name for p in tmp_path.iterdir())
    assert names == ["faces.jsonl", "faces.jsonl.1", "faces.jsonl.2", "faces.jsonl.3"]
    kept = [
        json.loads(line)["frame"]
        for name in ["faces.jsonl.3", "faces.jsonl.2", "faces.jsonl.1", "faces.jsonl"]
        for line in (tmp_path / name).read_text().splitlines()
    ]
    assert kept == list(range(100 - len(kept), 100))
    assert all(p.stat().st_size <= size * 4.5 for p in tmp_path.iterdir())


def test_json_lines_to_standard_output(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr("sys.stdout", out)
    output = JsonLines("-")
    output.write(result())
    output.close()
    assert json.loads(out.getvalue())["frame"] == 0
    assert not out.closed


@pytest.mark.parametrize("make", [JsonLines, VideoRecorder, ImageWriter])
def test_targets_that_cannot_be_files(tmp_path: Path, make: Callable[[Path], object]) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder.mkv").mkdir()
    with pytest.raises(UsageError, match="cannot be written"):
        make(tmp_path / "file" / "out.mkv")
    with pytest.raises(UsageError, match="is a folder"):
        make(tmp_path / "folder.mkv")


def frames_of(path: Path) -> list[npt.NDArray[np.uint8]]:
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    frames: list[npt.NDArray[np.uint8]] = []
    while True:
        got, image = capture.read()
        if not got:
            return frames
        frames.append(np.asarray(image, np.uint8))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".webm"])
def test_saved_video_plays_with_all_frames(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    recorder = VideoRecorder(path, fps=20.0)
    for index in range(15):
        recorder.write(result(index))
        assert [p.name for p in tmp_path.iterdir()] == ["out.mkv" if suffix == ".mkv" else "out.recording.mkv"]
    recorder.close()
    assert [p.name for p in tmp_path.iterdir()] == [path.name]  # the others appear when they are whole
    frames = frames_of(path)
    assert len(frames) == 15
    assert frames[0].shape == (120, 160, 3)
    assert cv2.VideoCapture(str(path), cv2.CAP_FFMPEG).get(cv2.CAP_PROP_FPS) == pytest.approx(20.0, rel=0.01)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".webm"])
@pytest.mark.parametrize("quiet", [True, False])
def test_what_was_recorded_until_the_last_second_plays_at_any_time(tmp_path: Path, suffix: str, quiet: bool) -> None:
    recorder = VideoRecorder(tmp_path / f"out{suffix}", fps=20.0)
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (120, 160, 3), np.uint8)
    for index in range(60):
        recorder.write(result(index, image=picture if quiet else rng.integers(0, 256, (120, 160, 3), np.uint8)))
    time.sleep(0.1)
    copy = tmp_path / "killed.mkv"
    copy.write_bytes(recording_path(tmp_path / f"out{suffix}").read_bytes())  # what a kill or a power cut would leave
    recorder.close()
    assert len(frames_of(copy)) >= 40


def test_what_a_killed_run_left_is_kept(tmp_path: Path) -> None:
    for name in ("out.recording.mkv", "out.recording-1.mkv"):
        (tmp_path / name).write_bytes(name.encode())
    recorder = VideoRecorder(tmp_path / "out.mp4", fps=20.0)
    recorder.write(result())
    recorder.close()
    names = {"out.mp4", "out.recording-1.mkv", "out.recording-2.mkv"}
    assert {p.name for p in tmp_path.iterdir()} == names
    assert (tmp_path / "out.recording-2.mkv").read_bytes() == b"out.recording.mkv"


def test_mp4_names_its_decoder_as_encoding_into_it_does(tmp_path: Path) -> None:
    """The decoder's configuration in the file that packets were copied to is the one that OpenCV itself writes."""
    recorder = VideoRecorder(tmp_path / "copied.mp4", fps=20.0)
    code = cv2.VideoWriter.fourcc(*"mp4v")
    direct = cv2.VideoWriter(str(tmp_path / "direct.mp4"), cv2.CAP_FFMPEG, code, 20.0, (160, 120))
    for index in range(5):
        recorder.write(result(index))
        direct.write(annotate(result(index)))
    recorder.close()
    direct.release()

    def decoder(path: Path) -> bytes:
        content = path.read_bytes()
        at = content.index(b"esds")
        return content[at : at + 13] + content[content.index(b"\x00\x00\x01\xb0", at) :][:20]

    assert decoder(tmp_path / "copied.mp4") == decoder(tmp_path / "direct.mp4")
    [copied, encoded] = (frames_of(tmp_path / name) for name in ("copied.mp4", "direct.mp4"))
    assert len(copied) == len(encoded) == 5
    assert all(np.array_equal(a, b) for a, b in zip(copied, encoded, strict=True))


def test_where_pipes_are_missing_the_video_appears_when_it_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fer_edge.outputs.video.can_survive", lambda: False)
    recorder = VideoRecorder(tmp_path / "out.mp4", fps=20.0)
    recorder.write(result())
    assert not (tmp_path / "out.mp4").exists()
    recorder.close()
    assert len(frames_of(tmp_path / "out.mp4")) == 1


def test_half_a_line_of_an_earlier_run_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text('{"frame": 0}\n{"frame": 1}\n{"fra')
    output = JsonLines(path, max_bytes=10**6)
    output.write(result(2))
    output.close()
    assert [json.loads(line)["frame"] for line in path.read_text().splitlines()] == [0, 1, 2]


def test_without_a_frame_there_is_no_file(tmp_path: Path) -> None:
    VideoRecorder(tmp_path / "out.mp4").close()
    assert list(tmp_path.iterdir()) == []


def test_odd_sizes_and_changing_sizes(tmp_path: Path) -> None:
    recorder = VideoRecorder(tmp_path / "out.mp4", fps=1.0)
    for index, shape in enumerate([(121, 161, 3), (300, 100, 3), (60, 60, 3)]):
        recorder.write(result(index, image=np.full(shape, 255, np.uint8)))
    recorder.close()
    assert [frame.shape for frame in frames_of(tmp_path / "out.mp4")] == [(122, 162, 3)] * 3


def test_fit_keeps_proportions() -> None:
    fitted = fit(np.full((300, 100, 3), 255, np.uint8), 160, 120)
    assert fitted.shape == (120, 160, 3)
    assert (fitted[:, 60:100] == 255).all()
    assert (fitted[:, :58] == 0).all()


def test_a_live_recording_plays_at_true_speed(tmp_path: Path) -> None:
    """Frames at 0, 0.3, ... s, some in bursts: at 10 a second the recording must have one frame for each tenth."""
    recorder = VideoRecorder(tmp_path / "out.mkv", fps=10.0, live=True)
    for time_s in (0.0, 0.3, 0.31, 0.32, 1.0, 1.5, 2.0):
        recorder.write(result(time_s=time_s))
    recorder.write(result(time_s=62.0))  # the camera was away for a minute: not filled
    recorder.write(result(time_s=62.5))
    recorder.close()
    assert len(frames_of(tmp_path / "out.mkv")) == 21 + 1 + 5


def test_recorder_by_name(tmp_path: Path) -> None:
    def choose(name: str, single: bool) -> object:
        return open_recorder(tmp_path / name, single_image=single, fps=None, live=False, blur=False)

    assert isinstance(choose("a.png", True), ImageWriter)
    assert isinstance(choose("a.mp4", True), VideoRecorder)
    with pytest.raises(UsageError, match="of a single image"):
        choose("a.png", False)
    with pytest.raises(UsageError, match=r"expected a name ending in \.mp4"):
        choose("a.xyz", True)


def test_saved_image(tmp_path: Path) -> None:
    writer = ImageWriter(tmp_path / "face.png")
    writer.write(result())
    writer.close()
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "face.png")), annotate(result()))


def test_annotation_marks_the_face_and_leaves_the_frame_alone() -> None:
    shown = result(image=np.full((240, 320, 3), 200, np.uint8))
    picture = annotate(shown)
    assert (shown.image == 200).all()
    assert (picture[30, 40:90] != 200).any()  # the upper edge of the box
    assert (picture[200:] == 200).all()  # far away nothing


@pytest.mark.parametrize("box", [(0, 0, 40, 40), (280, 200, 40, 40), (0, 0, 320, 240), (150, 0, 1, 1), (0, 230, 5, 10)])
@pytest.mark.parametrize("emotion", [None, *EMOTIONS])
def test_annotation_anywhere(box: tuple[int, int, int, int], emotion: str | None) -> None:
    face = Face(12, box, 0.9, emotion, np.full(7, 1 / 7, np.float32), np.full(7, 1 / 7, np.float32))
    frame = Frame(np.zeros((240, 320, 3), np.uint8), 0, 0.0, 0.0)
    assert annotate(Result(frame, (face,), 0.0), blur=True).any()


def test_blur_leaves_nothing_to_recognise() -> None:
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (200, 200, 3), np.uint8)
    before = image.copy()
    blur_box(image, (60, 60, 80, 80))
    covered = image[40:160, 40:160]
    assert len(np.unique(covered.reshape(-1, 3), axis=0)) <= 64
    np.testing.assert_array_equal(image[:40], before[:40])
    shown = annotate(result(image=before), blur=True)
    assert not np.array_equal(shown[50:80, 50:80], before[50:80, 50:80])
