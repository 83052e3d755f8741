"""The two requirements files, each installed into an environment of its own, run a copied ``edge/`` folder."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "models" / "fer_int8.tflite"

pytestmark = pytest.mark.slow  # downloads a hundred megabytes where no cache holds them


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, cwd=cwd, timeout=600)


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-tflite-runtime.txt"])
def test_the_copied_folder_with_only_its_requirements(name: str, tmp_path: Path, video: Path) -> None:
    if name != "requirements.txt" and sys.version_info >= (3, 12):
        pytest.skip("tflite-runtime has no wheels for Python 3.12 and newer")
    if not MODEL.is_file():
        pytest.skip("models/fer_int8.tflite is not there")
    shutil.copytree(ROOT / "edge", tmp_path / "edge", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(MODEL, tmp_path / "model.tflite")
    python = tmp_path / "venv" / "bin" / "python"
    made = run(sys.executable, "-m", "venv", tmp_path / "venv", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    installed = run(python, "-m", "pip", "install", "-q", "-r", tmp_path / "edge" / name, cwd=tmp_path)
    assert installed.returncode == 0, installed.stderr
    done = run(
        python, "edge/run_camera.py", "--source", video, "--model", "model.tflite", "--detector", "haar", "--headless",
        "--jsonl", "-", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == 12
    faces = [face for row in rows for face in row["faces"]]
    assert faces
    assert sum(faces[0]["raw"].values()) == pytest.approx(1.0, abs=0.03)
