"""The script that measures other packages: everything but the packages themselves."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from fer_bench.measure.accuracy import Faces
from fer_edge.errors import FerError, UsageError
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
    assert sum("fer" in line for line in said if line.startswith("start")) == 2
    row = peers.row(other, first)
    assert row["name"] == "fer 1.2, faces by haar"
    assert row["accuracy"] == 0.75
    assert row["throughput_fps"] == 23.0
    assert row["ratio_of_time_to_first"] == pytest.approx(5.0)
    assert row["first_result_each_ms"] == [5000.0, 5000.0]
    text = peers.markdown(report([row]) | {"invalid_reasons": ["busy neighbour: x"]})
    assert "| fer 1.2, faces by haar | 23 | 5.00 (5.00 to 5.00) | 120 in 115 frames | 5.0 s | 724 MiB | 75.0 ± " in text
    assert "AMD EPYC, 2 CPUs, Python 3.11.7, 2026-11-23" in text
    assert "**Invalid speeds**: busy neighbour: x." in text


def report(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "machine": {"board": None, "cpu_model": "AMD EPYC", "n_cpus": 2, "python": "3.11.7"},
        "created_utc": "2026-11-23T17:00:00+00:00", "split": "validation", "video": "v.mp4",
        "n_rounds": 3, "n_starts": 2, "invalid_reasons": [], "results": rows,
    }  # fmt: skip


def test_one_that_does_not_work_here_is_left_out_with_the_reason(
    peers: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "PAUSE_S", 0.0)
    first = contestant(peers, tmp_path, "ours", 1.0)
    absent = contestant(peers, tmp_path, "rmn", 1.0, "raise SystemExit('cannot download the weights')")
    # The second round is too much for this one.
    dies = WORKER.replace("request = json.loads(line)", "request = json.loads(line); sys.argv.append('x'); ") + "\n"
    dies = dies.replace(
        "for line in sys.stdin:", "for line in sys.stdin:\n    if len(sys.argv) > 2: sys.exit('no more')"
    )
    later = contestant(peers, tmp_path, "later", 1.0, dies)
    faces = Faces(np.zeros((4, 48, 48), np.uint8), np.zeros(4, np.int64), "validation")
    known = {("ours 1.2", None, "validation"): {"n_right": 2, "n_images": 3}}
    peers.measure([first, absent, later], faces, 1, 3, lambda said: None, known)
    assert [one.failed for one in (first, absent, later)] == [
        None,
        "rmn failed: cannot download the weights",
        "later 1.2 failed: no more",
    ]
    rows = [peers.row(one, first) for one in (first, absent, later)]
    assert rows[0]["n_frames"] == 115
    assert rows[0]["accuracy"] == pytest.approx(2 / 3)  # known; not 1 of 4, as the worker would decide
    assert rows[1]["failed"] == "rmn failed: cannot download the weights"
    text = peers.markdown(report(rows))
    assert "| rmn | does not work here: rmn failed: cannot download the weights | | | | | |" in text


def test_accuracies_of_another_run_must_be_of_the_same_version(peers: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    row = {"name": "fer 1.2", "model_sha256": None, "accuracy": 0.75, "n_right": 3, "n_images": 4}
    path.write_text(json.dumps({"split": "validation", "results": [row, {"name": "rmn", "failed": "x"}]}))
    known = peers.read_accuracies(path)
    same, newer = (peers.Contestant(f"fer {version}, faces by haar", []) for version in ("1.2", "1.3"))
    assert peers.take_accuracy(same, known, "validation")
    assert (same.n_right, same.n_images) == (3, 4)
    assert not peers.take_accuracy(newer, known, "validation")
    assert not peers.take_accuracy(same, known, "test")
    retrained = peers.Contestant("fer 1.2, faces by haar", [], sha256="ab")
    assert not peers.take_accuracy(retrained, known, "validation")
    assert retrained.n_right is None
    path.write_text("[]")
    with pytest.raises(UsageError, match=r"a\.json is not a JSON file written by this script"):
        peers.read_accuracies(path)


def test_a_package_that_fails_is_reported_in_a_line(peers: ModuleType, tmp_path: Path) -> None:
    broken = contestant(peers, tmp_path, "fer", 1.0, "raise SystemExit('first\\nno such module')")
    with pytest.raises(FerError, match="fer failed: no such module"):
        peers.Running(broken)


def test_every_version_is_pinned(peers: ModuleType) -> None:
    lines = [line for line in peers.REQUIREMENTS.read_text().splitlines() if line and not line.startswith("#")]
    assert len(lines) > 5
    assert all("==" in line for line in lines if not line.startswith("setuptools"))
