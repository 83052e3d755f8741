"""A running ``fer-camera`` that is killed, ended, and has its model taken away; and clocks that jump."""

from __future__ import annotations

import random
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from tests.reliability.campaign import Camera, Campaign, figures, playable_frames, wait_for, whole_lines
from tests.reliability.conftest import CLIP_FRAMES, FPS

from fer_edge.capture.frames import CaptureOptions
from fer_edge.capture.open import open_source
from fer_edge.faces.detectors.haar import HaarDetector
from fer_edge.loading.model_files import find_model
from fer_edge.loading.open import open_classifier
from fer_edge.outputs.jsonl import JsonLines
from fer_edge.outputs.recording import recording_path
from fer_edge.outputs.status import StatusBoard
from fer_edge.outputs.video import VideoRecorder
from fer_edge.pipeline import FacePipeline

PLAYED = ("--loop", "--realtime", "--quiet")


def test_killed_at_random_times(campaign: Campaign, clip: Path, tmp_path: Path) -> None:
    """Every finished line is whole, and the video plays but for its last second."""
    rng = random.Random(2026)
    kills = campaign.count(2, 100)
    lines = 0
    missing_s: dict[str, list[float]] = {}
    for number in range(kills):
        folder = tmp_path / str(number)
        folder.mkdir()
        rows, video = folder / "t.jsonl", folder / f"v{('.mp4', '.mkv', '.avi', '.webm')[number % 4]}"
        with Camera(folder, clip, *PLAYED, "--jsonl", rows, "--save", video) as camera:
            camera.wait_for_lines(rows, 1)
            time.sleep(rng.uniform(0.0, 3.0))
            assert camera.end(signal.SIGKILL) == -signal.SIGKILL, camera.said
        found = whole_lines(rows)
        lines += len(found)
        shown_s = found[-1]["time_s"] - found[0]["time_s"]
        recorded = recording_path(video)
        played_s = playable_frames(recorded) / FPS if recorded.exists() else 0.0
        missing_s.setdefault(video.suffix, []).append(max(0.0, shown_s - played_s))
        shutil.rmtree(folder)
    missing = {suffix: figures(values) for suffix, values in missing_s.items()}
    campaign.record(kills=kills, lines=lines, broken_lines=0, video_missing_s=missing)
    assert max(values["max"] for values in missing.values()) <= 1.0 + 2 / FPS


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_ended_by(campaign: Campaign, clip: Path, tmp_path: Path, name: str) -> None:
    """The files are finished, and nothing else is left."""
    times = campaign.count(1, 10)
    seconds = []
    for number in range(times):
        folder = tmp_path / str(number)
        folder.mkdir()
        rows, video = folder / "t.jsonl", folder / "v.mp4"
        with Camera(folder, clip, *PLAYED, "--jsonl", rows, "--save", video) as camera:
            camera.wait_for_lines(rows, 5)
            began = time.monotonic()
            assert camera.end(getattr(signal, name)) == 0, camera.said
            seconds.append(time.monotonic() - began)
        assert rows.read_bytes().endswith(b"\n")
        found = whole_lines(rows)
        assert playable_frames(video) / FPS >= found[-1]["time_s"] - found[0]["time_s"] - 0.5
        assert sorted(path.name for path in folder.iterdir()) == ["stderr.txt", "t.jsonl", "v.mp4"]
    campaign.record(times=times, seconds_to_end=figures(seconds))


def test_model_replaced_while_running(campaign: Campaign, clip: Path, tmp_path: Path) -> None:
    """The answers stay those of the model that was opened."""
    model = tmp_path / "m.tflite"
    rows = tmp_path / "t.jsonl"
    right = find_model().read_bytes()
    rounds = campaign.count(1, 10)
    with_answers: dict[int, object] = {}
    compared = 0
    for _ in range(rounds):
        model.write_bytes(right)
        rows.unlink(missing_ok=True)  # a run goes on behind the lines of an earlier one
        with Camera(tmp_path, clip, *PLAYED, "--no-smoothing", "--model", model, "--jsonl", rows) as camera:
            camera.wait_for_lines(rows, 10)
            model.write_bytes(b"nonsense")  # in place
            camera.wait_for_lines(rows, 20)
            other = tmp_path / "other"
            other.write_bytes(right[: len(right) // 2])
            other.replace(model)  # renamed over it
            camera.wait_for_lines(rows, 30)
            model.unlink()
            camera.wait_for_lines(rows, CLIP_FRAMES + 20)
            assert camera.end(signal.SIGTERM) == 0, camera.said
        for row in whole_lines(rows):
            answer = [face["raw"] for face in row["faces"]]
            compared += row["frame"] % CLIP_FRAMES in with_answers
            assert with_answers.setdefault(row["frame"] % CLIP_FRAMES, answer) == answer
    campaign.record(rounds=rounds, replacements=3 * rounds, answers_compared=compared, different=0)
    assert compared > 0


def test_wall_clock_jumps(campaign: Campaign, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hours forward and back at every look at the clock: times, video and rates stay right."""
    real, rng = time.time, random.Random(1)
    monkeypatch.setattr(time, "time", lambda: real() + rng.uniform(-1e7, 1e7))
    seconds = campaign.count(2, 60)
    rows, video = JsonLines(tmp_path / "t.jsonl"), VideoRecorder(tmp_path / "v.mp4", fps=FPS, live=True)
    source = open_source(clip, CaptureOptions(realtime=True, loop=True))
    pipeline = FacePipeline(source, open_classifier(), HaarDetector(width=160))
    board = StatusBoard(pipeline)
    began = time.monotonic()
    for result in pipeline:
        rows.write(result)
        video.write(result)
        if result.time_s >= seconds:
            break
    took_s = time.monotonic() - began
    status = board.now()
    rows.close()
    video.close()
    times = np.asarray([row["time_s"] for row in whole_lines(tmp_path / "t.jsonl")])
    steps = np.diff(times)
    played_s = playable_frames(tmp_path / "v.mp4") / FPS
    campaign.record(seconds=seconds, frames=len(times), least_step_s=round(float(steps.min()), 4), video_s=played_s)
    assert (steps > 0).all()
    assert steps.max() < 5.0
    assert abs(played_s - seconds) < 1.0
    assert took_s < seconds + 20.0
    assert 0.0 <= status.uptime_s < took_s + 20.0


def test_second_signal_ends_at_once(clip: Path, tmp_path: Path) -> None:
    rows = tmp_path / "t.jsonl"
    with Camera(tmp_path, clip, *PLAYED, "--jsonl", rows) as camera:
        camera.wait_for_lines(rows, 2)
        camera.process.send_signal(signal.SIGTERM)
        camera.process.send_signal(signal.SIGTERM)
        wait_for(lambda: camera.process.poll() is not None, "the end", 15.0)
        assert camera.process.returncode in (0, 130), camera.said
