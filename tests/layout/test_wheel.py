"""What a maker gets: the wheel in a bare environment."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import cv2
import numpy as np
import pytest

import fer_edge
from fer_edge.extras import EXTRAS
from fer_train.synthetic.faces import draw_scene

ROOT = Path(__file__).parents[2]
INSTALL_TIMEOUT_S = 240
DRAW_FEW = ["--train", "1", "--validation", "1", "--test", "1"]


def run(*command: str | Path, cwd: Path | None = None, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """A command in an environment without this checkout's packages on any path."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        timeout=timeout,
        capture_output=True,
        text=True,
        check=False,
    )


def checked(*command: str | Path, cwd: Path | None = None, timeout: float = 60) -> str:
    done = run(*command, cwd=cwd, timeout=timeout)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    checked(
        sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, ROOT, timeout=INSTALL_TIMEOUT_S
    )
    return next(out.glob("*.whl"))


def bare_environment(folder: Path, requirements: Path) -> Path:
    """Python of a new environment that holds the requirements and nothing else."""
    checked(sys.executable, "-m", "uv", "venv", "--python", sys.executable, folder)
    python = folder / "bin" / "python"
    checked(
        sys.executable, "-m", "uv", "pip", "install", "--python", python, "-r", requirements, timeout=INSTALL_TIMEOUT_S
    )
    return python


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("device") / "venv"
    yield bare_environment(folder, ROOT / "edge" / "requirements.txt")
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scene") / "scene.png"
    frame, _ = draw_scene("happy", np.random.default_rng(0), 320, 240)
    assert cv2.imwrite(str(path), frame)
    return path


def only_line(text: str) -> dict[str, object]:
    lines = text.strip().splitlines()
    assert len(lines) == 1, text
    parsed: dict[str, object] = json.loads(lines[0])
    return parsed


def test_wheel_holds_packages_and_model_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {
        "fer_edge",
        "fer_train",
        "fer_export",
        "fer_bench",
    }
    for package in ("fer_edge", "fer_train", "fer_export", "fer_bench"):
        assert f"{package}/py.typed" in names
    templates = [path for room in ("edge", "train", "export", "benchmarks") for path in (ROOT / room).rglob("*.html")]
    assert len(templates) >= 8
    for path in (*templates, ROOT / "edge/fer_edge/html/style.css"):
        assert "/".join(path.relative_to(ROOT).parts[1:]) in names, path
    for name in ("fer_int8.tflite", "golden.npz", "manifest.json"):
        assert f"fer_edge/models/{name}" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert wheel.stat().st_size < 10_000_000


def test_wheel_runs_in_a_bare_environment(device: Path, wheel: Path, scene: Path, tmp_path: Path) -> None:
    checked(sys.executable, "-m", "uv", "pip", "install", "--python", device, wheel, timeout=INSTALL_TIMEOUT_S)
    camera = device.parent / "fer-camera"
    out = checked(camera, "--source", scene, "--detector", "haar", "--headless", "--jsonl", "-", cwd=tmp_path)
    assert only_line(out)["frame"] == 0
    verified = run(camera, "--verify", cwd=tmp_path)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    installed = checked(
        device, "-c", "import importlib.util as u; print(u.find_spec('tensorflow'), u.find_spec('rich'))"
    )
    assert installed.split() == ["None", "None"]
    data = device.parent / "fer-data"
    checked(data, "synth", "--to", "drawn", "--train", "2", "--validation", "1", "--test", "1", cwd=tmp_path)
    audited = run(data, "audit", "--data", "drawn", "--cache-dir", "cache", "--json", "audit.json", cwd=tmp_path)
    assert (audited.returncode, audited.stderr) == (0, "fer-data: wrote audit.json\n")
    assert (tmp_path / "audit.json").is_file()
    for command, extra in (("fer-train", "train"), ("fer-export", "export"), ("fer-bench", "bench")):
        done = run(device.parent / command, *bare_arguments(command), cwd=tmp_path)
        assert done.returncode == 3, (command, done.stdout + done.stderr)
        [line] = done.stderr.strip().splitlines()
        assert line.endswith(f"pip install {' '.join(EXTRAS[extra])}")


def test_wheel_runs_with_the_headless_build_of_opencv(wheel: Path, scene: Path, tmp_path: Path) -> None:
    """The build that a server or a minimal system takes: it needs no library of the system, and opens no window."""
    requirements = tmp_path / "requirements.txt"
    listed = (ROOT / "edge" / "requirements.txt").read_text()
    requirements.write_text(listed.replace("opencv-python", "opencv-python-headless"))
    python = bare_environment(tmp_path / "venv", requirements)
    checked(
        sys.executable, "-m", "uv", "pip", "install", "--python", python, "--no-deps", wheel, timeout=INSTALL_TIMEOUT_S
    )
    out = checked(
        python.parent / "fer-camera",
        "--source",
        scene,
        "--detector",
        "haar",
        "--headless",
        "--jsonl",
        "-",
        cwd=tmp_path,
    )
    assert only_line(out)["frame"] == 0
    versions = checked(python.parent / "fer-camera", "--version", cwd=tmp_path)
    assert "opencv-python-headless" in versions
    assert "opencv-python " not in versions
    assert versions.splitlines()[0] == f"fer-camera {fer_edge.__version__}"  # an installed package has no commit
    checked(python.parent / "fer-data", "synth", "--to", tmp_path / "synth", *DRAW_FEW, cwd=tmp_path)


def bare_arguments(command: str) -> list[str]:
    """Valid usage that needs an extra which the bare environment lacks."""
    return {
        "fer-train": ["--run", "r", "--data", "d"],
        "fer-export": ["--int8", "--weights", "."],
        "fer-bench": ["--model", "fer_int8.tflite"],
    }[command]


def test_base_dependencies_are_the_device_runtime_alone(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        message = metadata.PathDistribution(zipfile.Path(archive, name.rsplit("/", 1)[0] + "/")).metadata
    required = [line for line in message.get_all("Requires-Dist") or [] if "extra ==" not in line]
    assert sorted(line.split(">")[0].split("<")[0] for line in required) == ["ai-edge-litert", "numpy", "opencv-python"]


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="tflite-runtime has no wheel for Python 3.12 and newer")
def test_tflite_runtime_alternative_gives_the_golden_answers(wheel: Path, scene: Path, tmp_path: Path) -> None:
    python = bare_environment(tmp_path / "venv", ROOT / "edge" / "requirements-tflite-runtime.txt")
    checked(
        sys.executable, "-m", "uv", "pip", "install", "--python", python, "--no-deps", wheel, timeout=INSTALL_TIMEOUT_S
    )
    camera = python.parent / "fer-camera"
    verified = run(camera, "--verify", cwd=tmp_path)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert "tflite-runtime" in verified.stdout + verified.stderr
    out = checked(camera, "--source", scene, "--detector", "haar", "--headless", "--jsonl", "-", cwd=tmp_path)
    assert only_line(out)["frame"] == 0
