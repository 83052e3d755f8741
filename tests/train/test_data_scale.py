"""How time and memory grow with the size of a set. ``python -m pytest tests/train/test_data_scale.py -m slow -s``"""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.train.data_sets import encode

from fer_edge.labels import EMOTIONS
from fer_train.synthetic.faces import synthetic_split

SIZES = (10_000, 30_000, 100_000)

MEASURE = """
import json, resource, sys, time
start, cpu = time.perf_counter(), time.process_time()
from fer_train.data.dataset import load_dataset
from fer_train.audit.checks import audit
from fer_train.data.cleaning import clean_train
what, source, cache = sys.argv[1:]
dataset = load_dataset(source, cache_dir=cache)
if what == "audit":
    start, cpu = time.perf_counter(), time.process_time()
    audit(dataset)
if what == "clean":
    start, cpu = time.perf_counter(), time.process_time()
    clean_train(dataset)
print(json.dumps({
    "seconds": time.perf_counter() - start,
    "cpu_seconds": time.process_time() - cpu,
    "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
}))
"""


def write_large_zip(path: Path, n: int) -> Path:
    """``n`` different faces: drawn ones blended in pairs, shifted, with noise."""
    base = synthetic_split(100, 0, name="train")
    rng = np.random.default_rng(0)
    of_class = [base.images[base.labels == k].astype(np.float32) for k in range(7)]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for i in range(n):
            faces = of_class[i % 7]
            a, b = rng.integers(len(faces), size=2)
            share = rng.uniform(0.2, 0.8)
            mixed = share * faces[a] + (1 - share) * np.roll(faces[b], rng.integers(-4, 5, 2), (0, 1))
            noisy = np.clip(mixed + rng.normal(0, 6, mixed.shape), 0, 255).astype(np.uint8)
            folder = "train" if i % 10 else "test"
            prefix = "Training" if i % 10 else "PublicTest"
            archive.writestr(f"{folder}/{EMOTIONS[i % 7]}/{prefix}_{i:06d}.jpg", encode(noisy, ".jpg"))
    return path


def measure(what: str, source: Path, cache: Path) -> dict[str, Any]:
    command = [sys.executable, "-c", MEASURE, what, str(source), str(cache)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.mark.slow
def test_time_is_near_linear_and_memory_bounded(tmp_path: Path) -> None:
    figures: dict[str, list[dict[str, Any]]] = {"cold": [], "warm": [], "clean": [], "audit": []}
    for n in SIZES:
        source = write_large_zip(tmp_path / f"{n}.zip", n)
        for what, rows in figures.items():
            rows.append(measure(what, source, tmp_path / "cache"))
            last = rows[-1]
            wall, cpu, peak = last["seconds"], last["cpu_seconds"], last["peak_mib"]
            print(f"{what:6} n={n:7,} {wall:7.2f} s, {cpu:7.2f} s of processors, {peak:6.0f} MiB", flush=True)
        source.unlink()
    pixels_mib = SIZES[-1] * 48 * 48 / 2**20
    for what, rows in figures.items():
        growth = rows[-1]["peak_mib"] - rows[0]["peak_mib"]
        # The images themselves would add 198 MiB from the smallest to the largest set.
        assert growth < 0.6 * pixels_mib, (what, rows)
    # Processor time, because the clock also shows what else runs on the machine.
    ratio = figures["audit"][-1]["cpu_seconds"] / figures["audit"][0]["cpu_seconds"]
    assert ratio < 2.0 * SIZES[-1] / SIZES[0], figures["audit"]
