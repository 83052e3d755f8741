"""A library of the system, or a package, that is missing: one line that says what to install."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fer_edge.command import run_command
from fer_edge.errors import MissingDependencyError
from fer_edge.missing import explain

LINKER = "cannot open shared object file: No such file or directory"
NUMPY_PAGE = f"""

IMPORTANT: PLEASE READ THIS FOR ADVICE ON HOW TO SOLVE THIS ISSUE!

Importing the numpy C-extensions failed. Original error was: libopenblas.so.0: {LINKER}
"""


def fake_opencv(folder: Path, library: str) -> dict[str, str]:
    """An environment in which ``import cv2`` fails as the wheel does on a system without ``library``."""
    package = folder / "cv2"
    package.mkdir()
    body = f'def bootstrap():\n    raise ImportError("{library}: {LINKER}")\n'
    (package / "__init__.py").write_text(body + "bootstrap()\n")
    return os.environ | {"PYTHONPATH": str(folder)}


def run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("library", "package"),
    [("libxcb.so.1", "libxcb1"), ("libGL.so.1", "libgl1"), ("libgthread-2.0.so.0", "libglib2.0-0")],
)
def test_opencv_without_its_system_library_is_one_line(tmp_path: Path, library: str, package: str) -> None:
    done = run(fake_opencv(tmp_path, library), "-m", "fer_edge", "--source", "x.png", "--headless")
    assert done.returncode == 3
    (line,) = done.stderr.splitlines()
    assert line.startswith("fer-camera: error: ")
    assert library in line
    assert f"apt install {package};" in line
    assert "opencv-python-headless" in line


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("fer_train.commands.data", ["synth", "--to", "new"]),
        ("fer_train.commands.train", ["--run", "new", "--data", "none"]),
        ("fer_export.cli", ["--int8", "--out", "new"]),
        ("fer_bench.cli", ["--model", "fer_int8.tflite", "--seconds", "1"]),
    ],
)
def test_the_other_commands_say_the_same(tmp_path: Path, module: str, arguments: list[str]) -> None:
    environment = fake_opencv(tmp_path, "libGL.so.1")
    code = f"import os, sys; os.chdir({str(tmp_path)!r}); from {module} import main; sys.exit(main({arguments!r}))"
    done = run(environment, "-c", code)
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    assert "apt install libgl1; or" in done.stderr.splitlines()[-1]


def test_a_program_that_imports_us_reads_the_same_line(tmp_path: Path) -> None:
    done = run(fake_opencv(tmp_path, "libxcb.so.1"), "-c", "from fer_edge import open_classifier")
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("fer_edge.errors.MissingDependencyError: OpenCV needs the system library libxcb.so.1")


def test_numpys_page_becomes_a_line() -> None:
    told = explain(ImportError(NUMPY_PAGE))
    assert told is not None
    assert str(told) == "a Python package needs the system library libopenblas.so.0: sudo apt install libopenblas0"


def test_a_library_that_we_do_not_know_is_named() -> None:
    told = explain(ImportError(f"libstrange-3.so.7: {LINKER}"))
    assert told is not None
    assert "libstrange-3.so.7" in str(told)
    assert "apt-file search libstrange-3.so.7" in str(told)


def test_a_missing_package_names_its_name_on_pypi(capsys: pytest.CaptureFixture[str]) -> None:
    def body() -> int:
        raise ModuleNotFoundError("No module named 'cv2'", name="cv2")

    assert run_command("fer-x", body) == 3
    assert capsys.readouterr().err == (
        "fer-x: error: cv2 is not installed; install it with: pip install 'opencv-python-headless<5'\n"
    )


def test_advice_to_install_a_package_gives_way_to_the_library_that_it_lacks(capsys: pytest.CaptureFixture[str]) -> None:
    def body() -> int:
        try:
            raise ImportError(f"libstdc++.so.6: {LINKER}")
        except ImportError as error:
            raise MissingDependencyError("install it with: pip install onnxruntime") from error

    assert run_command("fer-x", body) == 3
    assert "sudo apt install libstdc++6" in capsys.readouterr().err


@pytest.mark.parametrize(
    "error",
    [
        ModuleNotFoundError("No module named 'fer_edge.wrong'", name="fer_edge.wrong"),
        ImportError("cannot import name 'x' from 'fer_edge.labels'", name="fer_edge.labels"),
    ],
)
def test_a_mistake_in_our_own_imports_is_not_explained_away(error: ImportError) -> None:
    assert explain(error) is None
    with pytest.raises(type(error)):
        run_command("fer-x", lambda: (_ for _ in ()).throw(error))
