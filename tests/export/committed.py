"""The committed INT8 file as targets get it, without an export: no TensorFlow, a second instead of a minute."""

from __future__ import annotations

import contextlib
import functools
import shutil
from pathlib import Path

import numpy as np

from fer_edge.loading.open import open_classifier
from fer_edge.verification.golden import DOUBLE_ROUNDING_OUTPUTS, GOLDEN_NAME, read_golden
from fer_export.check.arithmetic import compare_arithmetic
from fer_export.check.gate import Limits
from fer_export.convert.tensor_names import name_ends
from fer_export.describe.golden_vectors import add_outputs
from fer_export.file_names import INT8_TFLITE
from fer_export.request import Steps
from fer_export.targets.job import TargetJob
from fer_train.evaluation.evaluate import Evaluation, evaluate_classifier
from fer_train.quantization.reference_kernels import on_reference_kernels
from fer_train.synthetic.faces import SYNTHETIC_SPLIT, synthetic_split

MODELS = Path(__file__).parents[2] / "models"
FACES_PER_CLASS = 3


@functools.cache
def double_rounding() -> np.ndarray:
    """Golden outputs of the committed file by the reference kernels."""
    golden = read_golden(MODELS / GOLDEN_NAME)
    with contextlib.closing(on_reference_kernels(MODELS / INT8_TFLITE)) as network:
        return np.concatenate([network.infer(tensor[None]) for tensor in golden.tensors])


def committed_job(folder: Path) -> TargetJob:
    """A job in a folder, with the folder ``out`` for the targets."""
    models, out = folder / "models", folder / "targets"
    models.mkdir()
    out.mkdir()
    (models / INT8_TFLITE).write_bytes(name_ends((MODELS / INT8_TFLITE).read_bytes()))
    shutil.copy(MODELS / GOLDEN_NAME, models)
    add_outputs(models / GOLDEN_NAME, {DOUBLE_ROUNDING_OUTPUTS: double_rounding()})
    split = synthetic_split(FACES_PER_CLASS, seed=5, name=SYNTHETIC_SPLIT)
    with contextlib.closing(open_classifier(models / INT8_TFLITE, trusted=True)) as network:
        found: Evaluation = evaluate_classifier(network, split.images, split.labels, split.name)
        ends = network.input_spec, network.output_spec
    return TargetJob(
        models=models,
        out=out,
        golden=read_golden(models / GOLDEN_NAME),
        split=split,
        labelled=False,
        floating=found,
        int8=found,
        arithmetic=compare_arithmetic(models / INT8_TFLITE, split.images, found, found, Steps()),
        limits=Limits(),
        input_spec=ends[0],
        output_spec=ends[1],
    )
