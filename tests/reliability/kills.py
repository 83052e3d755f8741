"""Commands that are killed without warning, and what may lie in their folders afterwards."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from fer_edge.labels import EMOTIONS
from fer_train.runs.run_folder import RunFolder
from fer_train.synthetic.faces import draw_face
from fer_train.training.checkpoint import load_checkpoint

DEADLINE_S: Final[float] = 900.0
TEMPORARY: Final[str] = ".tmp"


class Command:
    """A command of the toolkit in a process group of its own, its output in a file."""

    def __init__(self, log: Path, module: str, *arguments: object, cache: Path | None = None) -> None:
        self.log = log
        environment = {**os.environ, **({"XDG_CACHE_HOME": str(cache)} if cache else {}), "PYTHONUNBUFFERED": "1"}
        environment |= {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}  # the machine has other work
        with log.open("w") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module, *map(str, arguments)],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )
        self.began = time.monotonic()

    @property
    def said(self) -> str:
        """All output so far."""
        return self.log.read_text(errors="replace")

    def wait_until(self, condition: Callable[[], object], limit_s: float = DEADLINE_S, poll_s: float = 0.02) -> bool:
        """Whether ``condition`` came true before the command ended and before ``limit_s``."""
        end = time.monotonic() + limit_s
        while self.process.poll() is None and time.monotonic() < end:
            if condition():
                return True
            time.sleep(poll_s)
        return False

    def kill(self) -> bool:
        """SIGKILL to all of it; False when it had ended by itself."""
        alive = self.process.poll() is None
        if alive:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        return alive

    def finish(self) -> str:
        """Wait for a good end; what it said."""
        code = self.process.wait(DEADLINE_S)
        assert code == 0, self.said
        return self.said


def draw_archive(path: Path, per_class: int) -> None:
    """A zip of synthetic faces in the form that Kaggle's has."""
    rng = np.random.default_rng(0)
    drawn = {name: [draw_face(name, rng, 96) for _ in range(6)] for name in EMOTIONS}
    with zipfile.ZipFile(path, "w") as archive:
        for split, count in (("train", per_class), ("test", max(1, per_class // 6))):
            for name in EMOTIONS:
                for number in range(count):
                    face = cv2.resize(drawn[name][number % 6], (48, 48)).astype(np.int16)
                    face += rng.integers(-9, 10, face.shape, dtype=np.int16)  # no two alike
                    encoded = cv2.imencode(".png", face.clip(0, 255).astype(np.uint8))[1]
                    prefix = "Training" if split == "train" else "PublicTest"
                    archive.writestr(f"{split}/{name}/{prefix}_{number}.png", encoded.tobytes())


def contents(folder: Path) -> dict[str, str]:
    """Relative name -> sha256 of every file, the temporary ones of killed processes apart."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and TEMPORARY not in path.name
    }


def leftovers(folder: Path) -> list[str]:
    """Temporary files of killed processes."""
    return sorted(path.name for path in folder.rglob("*") if TEMPORARY in path.name)


def being_written(folder: Path) -> Callable[[], bool]:
    """Whether a temporary file is there now that was not there before: the moment to kill in."""
    before = set(leftovers(folder)) if folder.exists() else set()
    return lambda: (
        folder.exists()
        and any(
            TEMPORARY in name and name not in before
            for name in os.listdir(folder)  # noqa: PTH208 - quick, to be in time
        )
    )


def broken_files(run: Path) -> list[str]:
    """Files of a training run that are not whole (none, whatever happened)."""
    import h5py

    folder = RunFolder(run)
    broken = []
    checks: dict[Path, Callable[[Path], object]] = {
        folder.config: lambda path: json.loads(path.read_text()),
        folder.summary: lambda path: json.loads(path.read_text()),
        folder.metrics: _check_rows,
        folder.float_checkpoint: load_checkpoint,
        folder.qat_checkpoint: load_checkpoint,
        folder.float_weights: lambda path: _read_all(h5py.File(path, "r")),
        folder.qat_weights: lambda path: _read_all(h5py.File(path, "r")),
    }
    for path, check in checks.items():
        if path.exists():
            try:
                check(path)
            except Exception as error:  # whatever a reader says of half a file
                broken.append(f"{path.name}: {type(error).__name__}: {error}")
    for picture in folder.plots.glob("*.png") if folder.plots.exists() else ():
        if cv2.imread(str(picture)) is None and TEMPORARY not in picture.name:
            broken.append(picture.name)
    return broken


def _check_rows(path: Path) -> None:
    for row in csv.DictReader(path.read_text().splitlines()):
        assert None not in row.values(), row
        float(row["val_loss"])


def _read_all(file: object) -> None:
    import h5py

    assert isinstance(file, h5py.File)
    with file:
        seen: list[int] = []
        file.visititems(lambda _, item: seen.append(np.asarray(item).size) if isinstance(item, h5py.Dataset) else None)
        assert seen


def metrics(run: Path) -> dict[tuple[str, int], tuple[float, ...]]:
    """``(stage, epoch)`` -> loss, accuracy, loss and accuracy of validation, and accuracy of the INT8 model."""
    names = ("loss", "accuracy", "val_loss", "val_accuracy", "val_accuracy_int8")
    path = RunFolder(run).metrics
    rows = csv.DictReader(path.read_text().splitlines()) if path.exists() else ()
    return {(row["stage"], int(row["epoch"])): tuple(float(row[name] or "nan") for name in names) for row in rows}
