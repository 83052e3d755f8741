"""The command itself, killed without warning and resumed."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_edge.labels import EMOTIONS
from fer_train.synthetic.faces import draw_face

pytestmark = pytest.mark.slow
DEADLINE_S = 600


def draw_data(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for split, count in (("train", 12), ("validation", 3)):
        for emotion in EMOTIONS:
            place = folder / split / emotion
            place.mkdir(parents=True)
            for i in range(count):
                assert cv2.imwrite(str(place / f"{i}.png"), cv2.resize(draw_face(emotion, rng, 96), (48, 48)))


def command(data: Path, run: Path, *more: str) -> list[str]:
    return [
        sys.executable, "-m", "fer_train.commands.train", "--data", str(data), "--run", str(run), *more,
    ]  # fmt: skip


def rows(run: Path) -> list[dict[str, str]]:
    path = run / "metrics.csv"
    return list(csv.DictReader(path.read_text().splitlines())) if path.exists() else []


def wait_for_rows(process: subprocess.Popen[bytes], run: Path, count: int) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while len(rows(run)) < count:
        assert process.poll() is None, "fer-train ended early"
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_killed_in_each_stage_and_resumed(tmp_path: Path) -> None:
    data, run = tmp_path / "data", tmp_path / "run"
    draw_data(data)
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    recipe = ["--backbone", "none", "--epochs", "3", "--qat-epochs", "2", "--batch-size", "28", "--input-size", "96"]
    for wanted in (1, 4):  # in the float stage, then behind the calibration of the QAT stage
        more = recipe if wanted == 1 else ["--resume"]
        process = subprocess.Popen(command(data, run, *more), env=environment, start_new_session=True)
        wait_for_rows(process, run, wanted)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    done = subprocess.run(command(data, run, "--resume"), env=environment, timeout=DEADLINE_S, check=False)
    assert done.returncode == 0
    assert [(row["stage"], row["epoch"]) for row in rows(run)] == [
        ("float", "1"), ("float", "2"), ("float", "3"), ("qat", "0"), ("qat", "1"), ("qat", "2"),
    ]  # fmt: skip
    assert {path.name for path in (run / "plots").iterdir()} >= {"accuracy.png", "loss.png", "confusion_int8.png"}
    assert not [path for path in run.rglob("*") if ".tmp" in path.name]
