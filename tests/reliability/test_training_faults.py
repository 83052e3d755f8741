"""Training and export on a full disk, and a training that runs away: told in a line, the last good state kept.

Slow, since each starts TensorFlow several times: ``python -m pytest -m slow tests/reliability``.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.reliability.campaign import CHECKOUT
from tests.reliability.kills import Command, broken_files, contents, draw_archive, leftovers, metrics

from fer_train.runs.run_folder import RunFolder
from fer_train.training.checkpoint import load_checkpoint

pytestmark = pytest.mark.slow

RECIPE = ("--backbone", "none", "--input-size", 96, "--batch-size", 28, "--head-epochs", 1, "--qat-epochs", 0)


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("faces") / "faces.zip"
    draw_archive(path, 12)
    return path


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """A disk of so many mebibytes; asked again, the same one with another size."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(mebibytes: int) -> Path:
        again = "remount," if os.path.ismount(folder) else ""
        options = f"{again}size={mebibytes}m"
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(folder)], check=False)
        if done.returncode:
            pytest.skip("a small tmpfs may not be mounted here")
        return folder

    yield mount
    subprocess.run(["umount", "-l", str(folder)], check=False)


def train(faces: Path, run: Path, log: Path, *options: object) -> tuple[int, str]:
    command = Command(
        log, "fer_train.commands.train", "--data", faces, "--run", run, *options, cache=log.parent / "cache"
    )
    return command.process.wait(900), command.said


def last_line(said: str) -> str:
    assert "Traceback" not in said, said
    return said.strip().splitlines()[-1]


def test_disk_full_in_training(faces: Path, disk: Callable[[int], Path], tmp_path: Path) -> None:
    # 9 MiB of weights, 26 MiB of checkpoint: the second checkpoint does not fit beside the first.
    run = disk(50) / "run"
    log = tmp_path / "log"
    code, said = train(faces, run, log, *RECIPE, "--epochs", 3)
    assert code == 2, said
    assert last_line(said).startswith("fer-train: error:")
    assert "No space left on device" in last_line(said)
    assert broken_files(run) == []
    assert leftovers(run) == []
    done = load_checkpoint(RunFolder(run).float_checkpoint).record["epochs_done"]
    assert done >= 1
    disk(200)
    code, said = train(faces, run, log, "--resume")
    assert code == 0, said
    assert f"continues after epoch {done} of 3" in said
    assert sorted(metrics(run)) == [("float", 1), ("float", 2), ("float", 3)]


def test_disk_full_at_the_first_weights(faces: Path, disk: Callable[[int], Path], tmp_path: Path) -> None:
    run = disk(4) / "run"
    code, said = train(faces, run, tmp_path / "log", *RECIPE, "--epochs", 1, "--head-epochs", 1)
    assert code == 2, said
    assert last_line(said).startswith("fer-train: error:")
    assert "space" in last_line(said)
    assert not RunFolder(run).float_weights.exists()
    assert leftovers(run) == []


def test_a_training_that_runs_away(faces: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    code, said = train(faces, run, tmp_path / "log", *RECIPE, "--epochs", 3, "--learning-rate", 1e30)
    assert code in (1, 2), said
    assert "loss became nan" in last_line(said) or "not numbers" in last_line(said)
    assert "kept" in last_line(said)
    checkpoint = load_checkpoint(RunFolder(run).float_checkpoint)
    assert checkpoint.record["epochs_done"] == 1
    assert all(np.isfinite(array).all() for array in checkpoint.network)
    assert broken_files(run) == []


def test_disk_full_in_export(disk: Callable[[int], Path], tmp_path: Path) -> None:
    out = disk(8) / "out"
    out.mkdir()
    (out / "manifest.json").write_text("of an earlier export")
    before = contents(out)
    command = Command(
        tmp_path / "log", "fer_export.cli", "--int8", "--weights", CHECKOUT / "models", "--out", out,
        "--max-drop", 100, "--min-agreement", 0, "--max-recall-loss", 100,
    )  # fmt: skip
    assert command.process.wait(1800) == 2, command.said
    assert "No space left on device" in last_line(command.said)
    assert contents(out) == before
    assert leftovers(out) == []
