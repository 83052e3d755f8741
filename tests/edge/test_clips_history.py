"""Clips of events, and the history of a day."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_edge.app.cli import main
from fer_edge.capture.frames import Frame
from fer_edge.errors import UsageError
from fer_edge.outputs import clips as clips_module
from fer_edge.outputs.clips import ClipOptions, ClipRecorder
from fer_edge.outputs.history import KEPT_S, History, read_history
from fer_edge.results import Face, Result

FPS = 20.0


def result(time_s: float, emotion: str | None = None, track: int = 1, camera: str | None = None) -> Result:
    image = np.full((120, 160, 3), int(time_s * 10) % 200 + 20, np.uint8)
    p = np.full(7, 1 / 7, np.float32)
    faces = (Face(track, (40, 30, 50, 60), 0.9, emotion, p, p),) if emotion != "nobody" else ()
    return Result(Frame(image, round(time_s * FPS), time_s, time.monotonic()), faces, time.monotonic(), camera)


def play(recorder: ClipRecorder, moments: list[tuple[float, float, str | None]]) -> None:
    """``(from, to, emotion)`` in seconds."""
    for begin, end, emotion in moments:
        for number in range(round(begin * FPS), round(end * FPS)):
            recorder.write(result(number / FPS, emotion))


def length_s(path: Path) -> float:
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    fps = capture.get(cv2.CAP_PROP_FPS)
    n = 0
    while capture.read()[0]:
        n += 1
    capture.release()
    return n / fps


def clips(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix == ".mp4")


def test_a_clip_holds_what_came_before_and_after(tmp_path: Path, notices: list[str]) -> None:
    options = ClipOptions(hold_s=1.0, before_s=2.0, after_s=1.5)
    recorder = ClipRecorder(tmp_path / "new", "front door", options, clock=lambda: 0.0)
    play(recorder, [(0, 5, "neutral"), (5, 8, "happy"), (8, 12, "neutral")])
    recorder.close()
    [clip] = clips(tmp_path / "new")
    assert clip.name.startswith("front_door-1970")
    assert clip.name.endswith("-happy.mp4")
    assert length_s(clip) == pytest.approx(2.0 + 3.0 + 1.5, abs=0.4)
    [notice] = [notice for notice in notices if clip.name in notice and "happy" in notice]
    assert notice.startswith("happy for 1 s: ")


def test_what_is_no_event(tmp_path: Path) -> None:
    options = ClipOptions(hold_s=1.0, emotions=("angry", "sad"))
    recorder = ClipRecorder(tmp_path / "none", "a", options)
    play(recorder, [(0, 0.9, "angry"), (0.9, 1.8, "sad"), (1.8, 4, "happy"), (4, 6, None), (6, 8, "nobody")])
    recorder.close()
    assert clips(tmp_path / "none") == []


def test_one_event_one_clip_and_the_next_is_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clips_module, "MAX_CLIP_S", 4.0)
    options = ClipOptions(hold_s=0.5, before_s=0.0, after_s=0.5)
    recorder = ClipRecorder(tmp_path / "c", "a", options, clock=lambda: 0.0)
    play(recorder, [(0, 1, "sad"), (1, 2, "neutral"), (2, 3, "sad"), (3, 4, "neutral"), (4, 12, "angry")])
    recorder.close()
    names = [clip.name.rpartition("-")[2].partition(".")[0] for clip in clips(tmp_path / "c")]
    assert len(names) == 3  # the long one is cut, and is not begun again
    assert max(length_s(clip) for clip in clips(tmp_path / "c")) < 5.2


def test_old_clips_of_this_camera_are_deleted_and_nothing_else(tmp_path: Path) -> None:
    now_s, day_s = 20 * 86_400.0, 86_400.0
    ages_days = {
        "a-19700110-000000-happy.mp4": 10.0,
        "a-19700110-000000-happy-1.mp4": 10.0,
        "a-19700119-000000-sad.mp4": 1.0,
        "b-19700110-000000-happy.mp4": 10.0,
        "a-b-19700110-000000-happy.mp4": 10.0,
        "a-19700110-000000-happy.mkv": 10.0,
        "holiday.mp4": 10.0,
    }
    for name, days in ages_days.items():
        (tmp_path / name).write_bytes(b"clip")
        os.utime(tmp_path / name, (now_s - days * day_s,) * 2)
    ClipRecorder(tmp_path, "a", clock=lambda: now_s).close()
    assert {path.name for path in tmp_path.iterdir()} == {*ages_days}
    options = ClipOptions(hold_s=0.5, before_s=0.0, after_s=0.5, keep_days=3)
    recorder = ClipRecorder(tmp_path, "a", options, clock=lambda: now_s)
    deleted = {"a-19700110-000000-happy.mp4", "a-19700110-000000-happy-1.mp4"}
    assert {path.name for path in tmp_path.iterdir()} == {*ages_days} - deleted
    (tmp_path / "a-19700110-000001-fear.mp4").write_bytes(b"clip")
    os.utime(tmp_path / "a-19700110-000001-fear.mp4", (0, 0))
    play(recorder, [(0, 1, "sad"), (1, 3, "neutral")])
    recorder.close()
    assert not (tmp_path / "a-19700110-000001-fear.mp4").exists()  # after the clip
    assert len(clips(tmp_path)) == 5


def test_the_pictures_that_wait_are_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = ClipRecorder(tmp_path / "c", "a", ClipOptions(before_s=1.0, hold_s=1.0))
    play(recorder, [(0, 10, "neutral")])
    assert len(recorder._waiting) <= 23  # two seconds at ten pictures per second
    monkeypatch.setattr(clips_module, "WAITING_BYTES", 5_000)
    play(recorder, [(10, 12, "neutral")])
    assert recorder._bytes <= 5_000
    recorder.close()


def test_blurred_clips(tmp_path: Path) -> None:
    variances = []
    for blur in (False, True):
        options = ClipOptions(hold_s=0.2, before_s=0.0, after_s=0.1, blur=blur)
        recorder = ClipRecorder(tmp_path / str(blur), "a", options)
        for number in range(20):
            noisy = result(number / FPS, "happy")
            noisy.image[:] = np.random.default_rng(0).integers(0, 255, noisy.image.shape, np.uint8)
            recorder.write(noisy)
        recorder.close()
        capture = cv2.VideoCapture(str(clips(tmp_path / str(blur))[0]), cv2.CAP_FFMPEG)
        picture = capture.read()[1]
        capture.release()
        variances.append(float(np.asarray(cv2.Laplacian(picture[60:80, 50:80], cv2.CV_64F)).std()))
    assert variances[1] < 0.5 * variances[0]


def test_clips_of_a_command(video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = [str(video), "--headless", "--backend", "fake", "--detector", "haar", "--clips", str(tmp_path / "c")]
    assert main([*common, "--clip-hold-s", "0.2", "--clip-emotion", "happy"]) == 0
    assert [clip.name.startswith("scene-") for clip in clips(tmp_path / "c")] == [True]
    assert main([*common, "--clip-emotion", "joy"]) == 2
    assert "expected one of angry, disgust" in capsys.readouterr().err


def test_history_adds_up_and_forgets_after_a_day(tmp_path: Path) -> None:
    path = tmp_path / "day.db"
    now = [1_700_000_000.0]
    for _ in range(2):  # a second run goes on
        history = History(path, clock=lambda: now[0])
        for number in range(21):
            history.write(result(number / 10, "happy", camera="door"))
            history.write(result(number / 10, None, camera="hall"))
        history.write(result(9.0, "happy", camera="door"))  # the camera was away: one second counts
        history.close()
    assert read_history(path, "door", now[0]) == [{"ago_s": pytest.approx(0, abs=600), "seconds": {"happy": 6.0}}]
    assert read_history(path, "hall", now[0])[0]["seconds"] == {"uncertain": 4.0}
    assert read_history(path, "nobody", now[0]) == []
    now[0] += KEPT_S + 120
    history = History(path, clock=lambda: now[0])
    history.write(result(0.0, "sad", camera="door"))
    history.write(result(0.5, "sad", camera="door"))
    history.close()
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT camera, emotion, seconds FROM seen").fetchall() == [("door", "sad", 0.5)]
    database.close()
    assert (path.stat().st_mode & 0o777) == 0o600


def test_a_history_that_is_none(tmp_path: Path, video: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as database:
        database.execute("CREATE TABLE contacts (name TEXT)")
    database.close()
    with pytest.raises(UsageError, match="database of another program"):
        History(other)
    with pytest.raises(UsageError, match="is a folder"):
        History(tmp_path)
    text = tmp_path / "notes.txt"
    text.write_text("no database, but longer than sixteen bytes")
    assert main([str(video), "--headless", "--backend", "fake", "--detector", "haar", "--history", str(text)]) == 2
    assert "does not hold an SQLite database" in capsys.readouterr().err
    assert text.read_text().startswith("no database")
