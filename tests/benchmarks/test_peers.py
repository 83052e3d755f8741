"""The script that measures other packages: everything but the packages themselves."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from fer_bench.accuracy import Faces
from fer_edge.errors import FerError
from fer_edge.labels import EMOTIONS

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "peers" / "run_peers.py"
WORKER = """
import json, sys
print(json.dumps({"first_result_ms": 1000.0 * float(sys.argv[1]), "version": "1.2", "detector": "haar"}), flush=True)
for line in sys.stdin:
    request = json.loads(line)
    answer = {
        "watch": {"seconds": float(sys.argv[1]), "n_frames": 115, "n_faces": 120},
        "memory": {"peak_rss_mib": 724.0},
        "classify": {"decided": ["happy", "sad", "happy", "neutral"]},
    }[request["op"]]
    print(json.dumps(answer), flush=True)
"""


@pytest.fixture(scope="module")
def peers() -> ModuleType:
    spec = importlib.util.spec_from_file_location("run_peers", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["run_peers"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def contestant(peers: ModuleType, folder: Path, name: str, seconds: float, code: str = WORKER) -> Any:
    """Stands for a package in its own environment: speaks the worker's protocol."""
    script = folder / f"{name}.py"
    script.write_text(code)
    return peers.Contestant(f"{name} {{version}}, faces by {{detector}}", [sys.executable, str(script), str(seconds)])


def test_packages_take_turns_and_are_scored(peers: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "PAUSE_S", 0.0)
    first, other = contestant(peers, tmp_path, "ours", 1.0), contestant(peers, tmp_path, "fer", 5.0)
    labels = np.array([EMOTIONS.index(name) for name in ("happy", "sad", "angry", "neutral")])
    faces = Faces(images=np.zeros((4, 48, 48), np.uint8), labels=labels, split="validation")
    said: list[str] = []
    peers.measure([first, other], faces, 2, 3, said.append)
    assert said.count("round 2 of 3") == 1
    assert sum("fer" in line for line in said) == 2  # each is started twice
    row = peers.row(other, first, 4)
    assert row["name"] == "fer 1.2, faces by haar"
    assert row["accuracy"] == 0.75
    assert row["throughput_fps"] == 23.0
    assert row["ratio_of_time_to_first"] == pytest.approx(5.0)
    assert row["first_result_each_ms"] == [5000.0, 5000.0]
    report = {
        "machine": {"board": None, "cpu_model": "AMD EPYC", "n_cpus": 2, "python": "3.11.7"},
        "created_utc": "2026-11-23T17:00:00+00:00", "split": "validation", "n_images": 4, "video": "v.mp4",
        "n_rounds": 3, "n_starts": 2, "invalid_reasons": ["busy neighbour: x"], "results": [row],
    }  # fmt: skip
    text = peers.markdown(report)
    assert "| fer 1.2, faces by haar | 75.0 ± " in text
    assert "| 120 in 115 frames | 5.0 s | 724 MiB |" in text
    assert "AMD EPYC, 2 CPUs, Python 3.11.7, 2026-11-23" in text
    assert "**Invalid speeds**: busy neighbour: x." in text


def test_a_package_that_fails_is_reported_in_a_line(peers: ModuleType, tmp_path: Path) -> None:
    broken = contestant(peers, tmp_path, "fer", 1.0, "raise SystemExit('first\\nno such module')")
    with pytest.raises(FerError, match="fer failed: no such module"):
        peers.Running(broken)


def test_every_version_is_pinned(peers: ModuleType) -> None:
    lines = [line for line in peers.REQUIREMENTS.read_text().splitlines() if line and not line.startswith("#")]
    assert len(lines) > 5
    assert all("==" in line for line in lines if not line.startswith("setuptools"))
