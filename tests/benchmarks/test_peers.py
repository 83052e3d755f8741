"""The script that measures other packages: everything but the packages themselves."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from fer_edge.errors import FerError

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "peers" / "run_peers.py"


@pytest.fixture(scope="module")
def peers() -> ModuleType:
    spec = importlib.util.spec_from_file_location("run_peers", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def fake_python(folder: Path, body: str) -> Path:
    """Stands for the interpreter of the other environment."""
    path = folder / "python"
    path.write_text(f"#!{sys.executable}\n{body}\n")
    path.chmod(0o755)
    return path


def test_a_peer_s_decisions_are_scored(peers: ModuleType, tmp_path: Path) -> None:
    answer = {
        "package": "fer", "version": "25.10.3", "detector": "haar", "n_frames": 115, "n_faces": 120,
        "throughput_fps": 23.0, "first_result_ms": 11_000.0, "peak_rss_mib": 724.0,
        "decided": ["happy", "sad", "happy", "neutral"],
    }  # fmt: skip
    python = fake_python(tmp_path, f"import json; print('noise'); print(json.dumps({answer!r}))")
    labels = np.array(["happy", "sad", "angry", "neutral"])
    row = peers.peer("fer", python, tmp_path / "faces.npz", tmp_path / "v.mp4", labels)
    assert row["accuracy"] == 0.75
    assert row["name"] == "fer 25.10.3, faces by haar"
    assert "decided" not in row
    report = {
        "machine": {"board": None, "cpu_model": "AMD EPYC", "n_cpus": 2, "python": "3.11.7"},
        "created_utc": "2026-11-23T17:00:00+00:00", "split": "validation", "n_images": 4, "video": "v.mp4",
        "invalid_reasons": ["busy neighbour: x"], "results": [row],
    }  # fmt: skip
    text = peers.markdown(report)
    assert "| fer 25.10.3, faces by haar | 75.0 ± " in text
    assert "| 23 | 120 in 115 frames | 11.0 s | 724 MiB |" in text
    assert "AMD EPYC, 2 CPUs, Python 3.11.7, 2026-11-23" in text
    assert "**Invalid speeds**: busy neighbour: x." in text


def test_a_peer_that_fails_is_reported_in_a_line(peers: ModuleType, tmp_path: Path) -> None:
    python = fake_python(tmp_path, "raise SystemExit('first\\nno such module')")
    with pytest.raises(FerError, match="fer failed: no such module"):
        peers.peer("fer", python, tmp_path / "faces.npz", tmp_path / "v.mp4", np.array(["sad"]))


def test_every_version_is_pinned(peers: ModuleType) -> None:
    lines = [line for line in peers.REQUIREMENTS.read_text().splitlines() if line and not line.startswith("#")]
    assert len(lines) > 5
    assert all("==" in line for line in lines if not line.startswith("setuptools"))
