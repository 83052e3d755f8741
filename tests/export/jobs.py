"""What a target starts from, without an export: the shipped network and its golden vectors."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fer_edge.inference.tensors import TensorSpec
from fer_edge.verification.golden import read_golden
from fer_export.check.gate import Limits
from fer_export.convert.tensor_names import name_ends
from fer_export.targets.job import TargetJob
from fer_train.data.dataset import Split
from fer_train.evaluation.evaluate import Evaluation

ROOT = Path(__file__).parents[2]
IN = TensorSpec("input", (1, 96, 96, 3), np.dtype(np.int8), 1 / 128, 0)
OUT = TensorSpec("probabilities", (1, 7), np.dtype(np.int8), 1 / 256, -128)


def target_job(folder: Path, times: int = 7) -> TargetJob:
    """Each golden vector seven times, as if they were the 448 faces of a data set."""
    models, out = folder / "models", folder / "out"
    models.mkdir()
    out.mkdir()
    (models / "fer_int8.tflite").write_bytes(name_ends((ROOT / "models" / "fer_int8.tflite").read_bytes()))
    golden = read_golden(ROOT / "models" / "golden.npz")
    chosen = np.tile(np.arange(len(golden.outputs)), times)
    labels = golden.probabilities.argmax(axis=1)[chosen]
    evaluations = [
        Evaluation("validation", values[chosen], labels) for values in (golden.float_outputs, golden.probabilities)
    ]
    split = Split("validation", golden.faces[chosen], labels, tuple(map(str, range(len(chosen)))))
    return TargetJob(
        models, out, golden, split, True, evaluations[0], evaluations[1], "not computed", Limits(), IN, OUT
    )
