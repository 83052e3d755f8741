"""The scripts beside fer-bench: models by turns, and accuracy against latency."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

pytest.importorskip("matplotlib", reason="the extra bench is not installed")

CHECKOUT = Path(__file__).resolve().parents[2]
MODEL = CHECKOUT / "models/fer_int8.tflite"


def pareto(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(CHECKOUT / "benchmarks/pareto.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_a_model_beside_itself_is_as_good_and_about_as_fast(tmp_path: Path) -> None:
    picture, record = tmp_path / "p.png", tmp_path / "p.json"
    done = pareto(f"one={MODEL}", f"two={MODEL}", "--rounds", "20", "--png", str(picture), "--json", str(record))
    assert done.returncode == 0, done.stderr
    report = json.loads(record.read_text())
    one, two = report["models"]
    assert one["accuracy"] == two["accuracy"]
    assert one["accuracy_ci95"][0] < one["accuracy"] < one["accuracy_ci95"][1]
    assert one["latency_ratio_to_one"]["median"] == 1.0
    assert 0.5 < two["latency_ratio_to_one"]["median"] < 2.0
    assert report["split"] == "synthetic"
    assert not report["valid"]
    assert any("too short: 20 rounds" in reason for reason in report["invalid_reasons"])
    assert "invalid timing: too short" in done.stdout
    drawn = cv2.imread(str(picture))
    assert drawn is not None
    assert drawn.std() > 5


def test_mistakes_end_in_a_line(tmp_path: Path) -> None:
    for wrong in ("model.tflite", f"one={tmp_path / 'none.tflite'}"):
        done = pareto(wrong)
        assert done.returncode == 2
        assert len(done.stderr.strip().splitlines()) <= 2
        assert "Traceback" not in done.stderr


def test_single_calls_of_the_models_that_are_there(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    record = tmp_path / "r.json"
    command = [sys.executable, str(CHECKOUT / "benchmarks/interleaved_ratios.py"), str(CHECKOUT / "models")]
    command += ["--single", "--rounds", "2", "--json", str(record)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(record.read_text())
    assert list(report["models"]) == ["fer_int8.tflite", "fer_int8.onnx"]
    [(pair, ratio)] = report["ratios"].items()
    assert pair == "fer_int8.onnx / fer_int8.tflite"
    assert 0.5 < ratio["median"] < 5.0
    assert (report["n_rounds"], report["n_calls_a_round"], report["valid"]) == (20, 1, False)
    if Path("/proc/self/clear_refs").exists():  # a call reads all weights, at least: 2.2 million of them
        assert all(2.0 < one["touched_mib"] < 20.0 for one in report["models"].values())


@pytest.mark.slow
def test_two_trees_by_turns_and_what_was_wanted(tmp_path: Path) -> None:
    """This checkout beside itself: a ratio near 1 misses what was wanted of the rework, the same faces meet it."""
    assets = os.environ.get("FER_ASSETS")
    if not assets:
        pytest.skip("FER_ASSETS does not name a folder with faces/ and detectors/")
    faces, record = Path(assets) / "faces", tmp_path / "t.json"
    command = [sys.executable, str(CHECKOUT / "benchmarks/interleaved_trees.py"), str(CHECKOUT), str(CHECKOUT)]
    command += ["--video", str(faces / "talking_head.mp4"), "--photo", str(faces / "four_faces.jpg"), "--rounds", "1"]
    command += ["--detector-model", str(Path(assets) / "detectors" / "face_detection_yunet_2023mar.onnx")]
    done = subprocess.run(
        [*command, "--passes", "1", "--json", str(record)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "| frames/s | " in done.stdout
    assert "| at least 2.40 x | **not met** |" in done.stdout
    assert "| faces in a pass of the video | 115 | 115 | | same | met |" in done.stdout
    assert "| faces in the photos | 4 | 4 | | same | met |" in done.stdout
    report = json.loads(record.read_text())
    assert not report["valid"]
    assert report["float_boxes_px"] < 1e-3
    assert set(report["medians"]) == set(report["wanted"])
    [turn] = report["turns"]["new"]
    assert turn["searched"][0]["whole"] < 115
    assert turn["detect_ms"] < turn["large_ms"]


@pytest.mark.slow
def test_table_of_models_marks_what_is_not_trained(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow")
    record, table, picture = tmp_path / "t.json", tmp_path / "t.md", tmp_path / "t.png"
    command = [sys.executable, str(CHECKOUT / "benchmarks/model_table.py"), "--sizes", "64", "--widths", "0.35"]
    command += ["--rounds", "2", "--json", str(record), "--markdown", str(table), "--png", str(picture)]
    command += ["--keep", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    models = {model["name"]: model for model in json.loads(record.read_text())["models"]}
    architecture, ours = models["untrained_0.35_64"], models["fer_int8.tflite"]
    assert architecture["bytes"] == (tmp_path / "untrained_0.35_64.tflite").stat().st_size < 700_000 < ours["bytes"]
    assert (architecture["trained"], architecture["accuracy"], architecture["accuracy_disturbed"]) == (
        False,
        None,
        None,
    )
    assert ours["trained"] and 0.6 < ours["accuracy"] < 0.8 and 0.5 < ours["accuracy_disturbed"] < ours["accuracy"]
    assert architecture["latency_ratio_of_least"] < ours["latency_ratio_of_least"] == 1.0
    text = table.read_text(encoding="utf-8")
    assert "architecture only, untrained* | 64 px | 0.35 | - | - |" in text and "**Not valid**" in text
    for model in models.values():  # where tflite-micro is installed, and no number where it is not
        assert model["arena_bytes"] is None or 50_000 < model["arena_bytes"] < 1_000_000
    drawn = cv2.imread(str(picture))
    assert drawn is not None and drawn.std() > 5
