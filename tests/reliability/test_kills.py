"""Slices of the campaign of kills (the whole: ``kill_run.py``), and what keeps files whole in it."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tests.reliability.kill_run import kill_import
from tests.reliability.kills import contents, leftovers

from fer_edge.errors import ModelError
from fer_edge.files import atomic_path, write_text, write_together
from fer_train.commands.train import main as fer_train
from fer_train.data.staged_folder import staged_folder
from fer_train.evaluation.evaluate import evaluate_classifier
from fer_train.runs.run_folder import RunFolder


def test_import_killed_and_taken_up_again(tmp_path: Path) -> None:
    found = kill_import(tmp_path, 2, random.Random(1), per_class=12)
    assert found["files"] > 80
    assert found["half_written"] == found["different"] == 0


def test_nothing_half_written_moves_into_an_import(tmp_path: Path) -> None:
    """Killed while the manifest was written, taken up again at once."""
    job = {"source": "x"}
    with pytest.raises(KeyboardInterrupt), staged_folder(tmp_path / "to", job) as staging:
        (staging / ".manifest.123.tmp.json").write_text("half")
        (staging / "image.png").write_text("whole")
        raise KeyboardInterrupt
    with staged_folder(tmp_path / "to", job) as staging:
        assert (staging / "image.png").exists()
    assert sorted(contents(tmp_path)) == ["to/image.png"]
    assert leftovers(tmp_path) == []


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    of_dead, of_living, of_others = (
        tmp_path / f".a.{ended.pid}.tmp.txt", tmp_path / f".a.{os.getppid()}.tmp.txt", tmp_path / ".a.b.1.tmp.txt"
    )  # fmt: skip
    for path in (of_dead, of_living, of_others):
        path.write_text("half")
    write_text(tmp_path / "a.txt", "whole")
    assert of_dead.exists()  # perhaps its process is on another machine, and still writes
    for path in (of_dead, of_living, of_others):
        os.utime(path, (time.time() - 60, time.time() - 60))
    write_text(tmp_path / "a.txt", "whole")
    assert leftovers(tmp_path) == sorted(path.name for path in (of_living, of_others))


def test_what_a_library_left_under_a_name_of_its_own_is_removed(tmp_path: Path) -> None:
    """Keras demands its own ending, so its half file has another name than the temporary one."""
    with pytest.raises(OSError, match="full"), atomic_path(tmp_path / "float.weights.h5") as temporary:
        temporary.with_name(temporary.stem + ".weights.h5").write_text("half")
        raise OSError("full")
    assert list(tmp_path.iterdir()) == []
    with atomic_path(tmp_path / "a.txt") as temporary:
        temporary.write_text("whole")
        others = [f".a.b.{os.getpid()}.tmp.txt", f".a.{os.getpid()}.tmp.csv"]
        for name in others:
            (tmp_path / name).write_text("of another")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*others, "a.txt"])


def test_a_full_disk_leaves_the_earlier_set(small_disk: Path) -> None:
    write_together(small_disk, [("a.bin", b"old a"), ("manifest.json", b"old")])
    before = contents(small_disk)
    with pytest.raises(OSError, match="No space left"):
        write_together(small_disk, [("a.bin", b"new a"), ("b.bin", bytes(2 << 20)), ("manifest.json", b"new")])
    assert contents(small_disk) == before
    assert leftovers(small_disk) == []


def test_a_second_process_on_a_run_folder_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    holder = "import sys; from fer_train.runs.run_folder import RunFolder; from pathlib import Path\n"
    holder += "with RunFolder(Path(sys.argv[1])).locked():\n print('held', flush=True); sys.stdin.read()\n"
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(run)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        assert fer_train(["--data", str(tmp_path), "--run", str(run)]) == 2
        assert capsys.readouterr().err.startswith(f"fer-train: error: another process is training in {run};")
        other.kill()  # the lock goes with its process
    with RunFolder(run).locked():
        pass


def test_a_network_without_numbers_is_never_the_best() -> None:
    class RunAway:
        input_size = 8

        def predict(self, faces: np.ndarray) -> np.ndarray:
            return np.full((len(faces), 7), np.nan, np.float32)

    with pytest.raises(ModelError, match="not numbers"):
        evaluate_classifier(RunAway(), np.zeros((3, 8, 8), np.uint8), np.zeros(3, np.int64), "validation")
