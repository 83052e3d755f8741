"""What a target starts from, without an export: the shipped network and its golden vectors."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path

import numpy as np

from fer_edge import open_classifier
from fer_edge.inference.tensors import TensorSpec
from fer_edge.verification.golden import read_golden
from fer_export.check.gate import Limits
from fer_export.convert.tensor_names import name_ends
from fer_export.targets.job import TargetJob
from fer_train.data.dataset import Split, load_dataset
from fer_train.evaluation.evaluate import Evaluation, evaluate_classifier

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


def job_with_faces(folder: Path, data: str, at_most: int) -> TargetJob:
    """As :func:`target_job`, but judged on faces of FER-2013's validation split, where a target's own limits count."""
    job = target_job(folder)
    whole = load_dataset(data).split("validation")
    chosen = np.linspace(0, len(whole) - 1, at_most).astype(np.int64)
    images, labels = np.asarray(whole.images[chosen]), whole.labels[chosen]
    with contextlib.closing(open_classifier(job.int8_tflite)) as classifier:
        int8 = evaluate_classifier(classifier, images, labels, whole.name)
    split = Split(whole.name, images, labels, tuple(whole.names[i] for i in chosen))
    return dataclasses.replace(job, split=split, floating=int8, int8=int8)
