"""The program that measures ``fer-analyze``: what it makes, what it compares, and how it ends on a mistake."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest

PROGRAM = Path(__file__).resolve().parents[2] / "benchmarks/analyze_many.py"


@pytest.fixture(scope="module")
def program() -> ModuleType:
    spec = importlib.util.spec_from_file_location("analyze_many", PROGRAM)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_drawn_images_are_all_different_and_the_same_each_time(program: ModuleType, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        program.draw(tmp_path / name, 230)
    contents = [path.read_bytes() for path in sorted((tmp_path / "one").iterdir())]
    assert len(set(contents)) == 230
    assert contents == [path.read_bytes() for path in sorted((tmp_path / "two").iterdir())]


def test_clips_have_the_frames_that_were_asked_for(program: ModuleType, tmp_path: Path) -> None:
    source = tmp_path / "source.avi"
    writer = cv2.VideoWriter(str(source), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for number in range(9):
        writer.write(np.full((48, 64, 3), 20 * number, np.uint8))
    writer.release()
    (tmp_path / "clips").mkdir()
    program.cut(source, tmp_path / "clips", 3, 30)
    for path in (tmp_path / "clips").iterdir():
        capture = cv2.VideoCapture(str(path))
        count = 0
        while capture.read()[0]:
            count += 1
        assert count == 30
    assert len({path.read_bytes() for path in (tmp_path / "clips").iterdir()}) == 3


def test_columns_are_compared_without_the_numbers_of_faces(program: ModuleType) -> None:
    from fer_edge.rows import COLUMNS

    theirs = ["box0", "angry0", "happy0", "box1", "angry1", "surprise1"]
    assert program.lacking(theirs, COLUMNS) == []
    assert program.lacking([*theirs, "age0"], COLUMNS) == ["age"]
    assert program.lacking(theirs, ["x", "y", "w", "angry", "happy", "surprise"]) == ["box"]


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").is_file(), reason="no /proc/self/smaps_rollup")
def test_memory_counts_the_processes_below(program: ModuleType) -> None:
    alone = program.pss_mib(os.getpid())
    child = subprocess.Popen([sys.executable, "-c", "x = bytearray(b'1') * (80 << 20); print(1); input()"],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip
    assert child.stdout is not None and child.stdin is not None
    child.stdout.readline()
    both = program.pss_mib(os.getpid())
    child.communicate(b"\n")
    assert alone > 5 and 75 < both - alone < 200


def test_mistakes_end_in_a_line(tmp_path: Path) -> None:
    for arguments, code in ((["scaling", "--clip", str(tmp_path / "none.mp4")], 2), (["nothing"], 2), (["--help"], 0)):
        done = subprocess.run([sys.executable, str(PROGRAM), *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == code and "Traceback" not in done.stderr
        assert len(done.stderr.strip().splitlines()) == (1 if code else 0)
