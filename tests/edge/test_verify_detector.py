"""Golden vectors of the face detector: what `fer-camera --verify` says of right and of wrong ones, and of none."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import yunet_golden
from fer_edge.app import cli
from fer_edge.errors import InputError, MissingDependencyError
from fer_edge.faces import yunet_file
from fer_edge.verification import detector as replay
from fer_edge.verification.detector import DetectorGolden, read_detector_golden, verify_detector

pytest.importorskip("ai_edge_litert")


@pytest.fixture(autouse=True)
def own_cache(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """And no network."""

    def no_network(*_: object, **__: object) -> None:
        raise AssertionError("--verify must not fetch")

    monkeypatch.setattr(yunet_file, "download", no_network)
    return empty_cache


@pytest.mark.parametrize("name", ["auto", "yunet", "yunet-float", "yunet-opencv"])
def test_every_engine_finds_the_recorded_faces(yunet_model: Path, name: str) -> None:
    result = verify_detector(name, yunet_model)
    assert result.passed, result.detail
    assert "5 faces" in result.detail
    assert {"yunet-float": "litert-float", "yunet-opencv": "opencv"}.get(name, "litert-int8") in result.detail


def test_the_vectors_are_those_of_the_program(yunet_model: Path, tmp_path: Path) -> None:
    assert yunet_golden.body([str(yunet_model), "--out", str(tmp_path / "g.npz")]) == 0
    made, kept = read_detector_golden(tmp_path / "g.npz"), read_detector_golden()
    for one, other in zip(made.views, kept.views, strict=True):
        np.testing.assert_array_equal(one, other)
    for scene, recorded in zip(made.maps, kept.maps, strict=True):
        for one_map, other_map in zip(scene, recorded, strict=True):
            np.testing.assert_array_equal(one_map, other_map)
    for engine, rows in kept.rows.items():
        np.testing.assert_allclose(np.concatenate(made.rows[engine]), np.concatenate(rows), atol=0.01)
    assert kept.info["score"] == made.info["score"]


def a_step_off(golden: DetectorGolden) -> DetectorGolden:
    maps = [[values.copy() for values in scene] for scene in golden.maps]
    maps[1][1][0, 0, 5] ^= 1
    return replace(golden, maps=tuple(maps))


def moved(golden: DetectorGolden) -> DetectorGolden:
    rows = {engine: tuple(scene + np.float32(0.1) for scene in scenes) for engine, scenes in golden.rows.items()}
    return replace(golden, rows=rows)


def one_more(golden: DetectorGolden) -> DetectorGolden:
    rows = {engine: (scenes[0].repeat(2, axis=0), *scenes[1:]) for engine, scenes in golden.rows.items()}
    return replace(golden, rows=rows)


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("yunet", a_step_off, "INT8 maps differ by up to 1 step: a delegate or kernel that computes differently"),
        ("yunet", moved, "INT8 maps are identical, but the decoding gives other faces"),
        ("yunet-float", moved, "5 faces, boxes differ by 0.1 pixels at most"),
        ("yunet-opencv", one_more, "[1, 1, 1, 2] faces in 4 scenes, expected [2, 1, 1, 2] (opencv)"),
    ],
)
def test_a_difference_is_named_and_ends_the_command_with_1(
    yunet_model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    change: object,
    words: str,
) -> None:
    assert callable(change)
    wrong = change(read_detector_golden())
    monkeypatch.setattr(replay, "read_detector_golden", lambda: wrong)
    assert cli.main(["--verify", "--detector", name, "--detector-model", str(yunet_model)]) == 1
    said = capsys.readouterr()
    assert "FAIL detector" in said.out
    assert f"the face detector differs: {words}" in said.err


def test_without_its_file_it_is_not_checked(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--verify"]) == 0
    assert "not checked: YuNet's file is not here yet; fer-camera --fetch fetches it" in capsys.readouterr().out


def test_haar_and_other_weights_have_none(yunet_model: Path, tmp_path: Path) -> None:
    content = bytearray(yunet_model.read_bytes())
    at = content.index(np.float32(0.5).tobytes()) if np.float32(0.5).tobytes() in content else 100_000
    content[at : at + 4] = np.float32(0.4).tobytes()
    (tmp_path / "other.onnx").write_bytes(content)
    result = verify_detector("yunet", tmp_path / "other.onnx")
    assert result.passed
    assert "holds other weights than opencv_zoo's" in result.detail
    assert verify_detector("haar").detail == "not applicable: haar has no golden vectors"


def test_where_litert_is_absent(yunet_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """tflite-runtime computes the emotions then, and OpenCV finds the faces."""
    for name in list(sys.modules):
        if name.split(".")[0] == "ai_edge_litert":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    assert "(opencv" in verify_detector("auto", yunet_model).detail
    with pytest.raises(MissingDependencyError, match="pip install ai-edge-litert"):
        verify_detector("yunet-float", yunet_model)


@pytest.mark.parametrize("damage", ["cut", "empty", "format"])
def test_damaged_vectors_are_one_line(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "g.npz"
    content = replay.DETECTOR_GOLDEN.read_bytes()
    path.write_bytes({"cut": content[:9_000], "empty": b"", "format": content}[damage])
    if damage == "format":
        with np.load(path) as stored:
            arrays = dict(stored)
        arrays["info"] = np.array(str(arrays["info"]).replace('"format": 1', '"format": 9'))
        np.savez(path, **arrays)
    with pytest.raises(InputError, match=r"g\.npz (cannot be read as|has format 9)"):
        read_detector_golden(path)
