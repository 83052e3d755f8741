"""The comparison with emulated Arm: it must see every difference. The emulation itself is `make arm`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.arm import emulate
from tests.arm.check_here import draw_frames, sha256
from tests.arm.emulate import A72, debian_mirror, differences, write_cpuinfo

from fer_edge.errors import MissingDependencyError
from fer_edge.faces.yunet_file import YUNET

HERE: dict[str, Any] = {
    "verify_exit": 0,
    "verify_said": ["fine"],
    "faces_sha256": "f",
    "tensors_sha256": "t",
    "logits_sha256": "l",
    "outputs": [[-128, 100], [3, 4]],
    "reference_outputs": [[-128, 90], [3, 14]],
    "detector": {"file_sha256": "d", "maps_sha256": "m", "views_sha256": "v", "faces": [[[1, 2, 3, 4], 0.9, []]]},
}


def test_identical() -> None:
    assert differences("a72", HERE, HERE, reference=False) == []
    assert (
        differences(
            "a15",
            HERE,
            {**HERE, "outputs": HERE["reference_outputs"], "logits_sha256": None, "detector": None},
            reference=True,
        )
        == []
    )


def test_without_the_detectors_file_the_rest_is_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> Path:
        raise MissingDependencyError("cannot fetch it")

    monkeypatch.setattr(emulate, "yunet_file", fail)
    monkeypatch.delenv("FER_ASSETS", raising=False)
    assert emulate.detector_file() is None
    assert "the face detector is left out: cannot fetch it" in capsys.readouterr().err
    without = {**HERE, "detector": None}
    assert differences("a72", without, without, reference=False) == []
    file = tmp_path / "detectors" / YUNET.name
    file.parent.mkdir()
    file.touch()
    monkeypatch.setenv("FER_ASSETS", str(tmp_path))
    assert emulate.detector_file() == file


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"verify_exit": 1, "verify_said": ["x", "differs first in network"]},
            "ended with 1: differs first in network",
        ),
        ({"faces_sha256": "?"}, "preprocessed faces differ"),
        ({"tensors_sha256": "?"}, "input tensors differ"),
        ({"logits_sha256": "?"}, "before SOFTMAX differ"),
        ({"outputs": [[-128, 98], [3, 4]]}, "INT8 outputs differ by 2 steps"),
        ({"detector": {**HERE["detector"], "file_sha256": "?"}}, "the detector's INT8 file differs"),
        ({"detector": {**HERE["detector"], "maps_sha256": "?"}}, "the detector's maps differ"),
        ({"detector": {**HERE["detector"], "views_sha256": "?"}}, "shrunken views differ"),
        ({"detector": {**HERE["detector"], "faces": []}}, "faces differ"),
    ],
)
def test_every_difference_is_seen(change: dict[str, Any], words: str) -> None:
    (found,) = differences("a72", HERE, {**HERE, **change}, reference=False)
    assert words in found


def test_a_step_of_the_softmax_is_allowed() -> None:
    assert differences("a72", HERE, {**HERE, "outputs": [[-128, 99], [3, 5]]}, reference=False) == []


def test_32_bit_must_match_the_reference_kernels() -> None:
    assert len(differences("a15", HERE, HERE, reference=True)) == 1


@pytest.mark.parametrize(
    ("files", "mirror"),
    [
        ({"sources.list": "# x\ndeb http://mirror.example/debian bookworm main\n"}, "http://mirror.example/debian"),
        ({"sources.list.d/debian.sources": "Types: deb\nURIs: http://m.example/debian/\n"}, "http://m.example/debian/"),
        ({"sources.list": "deb [signed-by=/k] http://m.example/debian sid main\n"}, "http://m.example/debian"),
        ({"sources.list": "deb http://archive.ubuntu.com/ubuntu noble main\n"}, "http://deb.debian.org/debian"),
        ({}, "http://deb.debian.org/debian"),
    ],
)
def test_the_mirror_is_the_host_s(tmp_path: Path, files: dict[str, str], mirror: str) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert debian_mirror(tmp_path) == mirror


def test_cpuinfo_names_the_part(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    write_cpuinfo(tmp_path, A72)
    assert "CPU part\t: 0xd08" in (tmp_path / "proc" / "cpuinfo").read_text()


def test_frames_for_the_check_are_the_same_everywhere() -> None:
    """A checksum of what numpy draws: were it another on Arm's older numpy, the comparison would be void."""
    frames = draw_frames(24)
    boxes = [box for _, box in frames]
    assert len({frame.shape for frame, _ in frames}) > 12
    assert any(x < 0 or y < 0 for x, y, _, _ in boxes)
    assert sha256(frames[0][0]) == "fb7bc69adeb8e269fd3d1fcbf319be6db3ec224f31f58eeeee1c6529cd78587a"


def test_a_missing_tool_is_named(tmp_path: Path) -> None:
    script = Path(__file__).with_name("emulate.py")
    done = subprocess.run(
        [sys.executable, str(script)], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 3
    assert "apt-get install qemu-user-static mmdebstrap" in done.stderr
    assert len(done.stderr.splitlines()) == 1
