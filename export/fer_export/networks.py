"""From trained weights to the four model files' contents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from fer_edge.classifier import ClassifierBase
from fer_edge.errors import ModelError
from fer_edge.labels import NUM_EMOTIONS
from fer_edge.preprocess import INPUT_SCALE, resize_gray
from fer_export.onnx import float_onnx, int8_onnx
from fer_export.qdq import Target
from fer_export.user_model import UserModel
from fer_train.artifacts import Trained
from fer_train.dataset import Split
from fer_train.quantize import float_to_tflite, ptq_to_tflite, qat_to_tflite

Method = Literal["QAT", "PTQ"]
FLOAT_TFLITE: Final[str] = "fer_float.tflite"
INT8_TFLITE: Final[str] = "fer_int8.tflite"
FLOAT_ONNX: Final[str] = "fer_float.onnx"
INT8_ONNX: Final[str] = "fer_int8.onnx"
MODEL_FILES: Final[tuple[str, ...]] = (FLOAT_TFLITE, INT8_TFLITE, FLOAT_ONNX, INT8_ONNX)

REPRESENTATIVES_PER_CLASS: Final[int] = 30
OUTPUT_SCALE: Final[float] = 1.0 / 256.0
OUTPUT_ZERO_POINT: Final[int] = -128


@dataclass(frozen=True)
class Networks:
    """The contents of the four model files, and how the INT8 ones were quantised."""

    files: dict[str, bytes]
    method: Method


def build_networks(
    trained: Trained | UserModel,
    representatives: Callable[[int], npt.NDArray[np.uint8]],
    target: Target,
    *,
    force_ptq: bool = False,
    on_step: Callable[[str], None] = lambda _: None,
) -> Networks:
    """Convert; INT8 from the QAT network where there is one, else by post-training quantisation.

    ``representatives(size)`` gives ``(N, size, size)`` uint8 faces and is called for PTQ only; ``on_step`` hears what
    begins. Raises :class:`ModelError` when a file breaks the contract.
    """
    floating = trained.float_model()
    on_step("float TFLite")
    files = {FLOAT_TFLITE: float_to_tflite(floating)}
    on_step("INT8 TFLite")
    qat = None if force_ptq else trained.qat_model()
    if qat is not None:
        files[INT8_TFLITE] = qat_to_tflite(qat)
    else:
        files[INT8_TFLITE] = ptq_to_tflite(floating, representatives(trained.input_size))
    on_step("float ONNX")
    files[FLOAT_ONNX] = float_onnx(floating, trained.input_size)
    on_step("INT8 ONNX")
    files[INT8_ONNX] = int8_onnx(files[INT8_TFLITE], target)
    return Networks({name: files[name] for name in MODEL_FILES}, "QAT" if qat is not None else "PTQ")


def representative_faces(
    split: Split, size: int, per_class: int = REPRESENTATIVES_PER_CLASS, seed: int = 0
) -> npt.NDArray[np.uint8]:
    """A stratified sample ``(N, size, size)`` uint8: up to ``per_class`` images of every class.

    The first images of a folder would be those of one class, and calibrate the network for angry faces only.
    """
    rng = np.random.default_rng(seed)
    chosen = []
    for label in range(NUM_EMOTIONS):
        members = np.flatnonzero(split.labels == label)
        chosen.append(rng.permutation(members)[:per_class])
    indices = np.sort(np.concatenate(chosen))
    return np.stack([resize_gray(np.asarray(split.images[i]), size) for i in indices])


def check_contract(classifier: ClassifierBase | Any) -> None:
    """Raise :class:`ModelError` unless a quantised model's ends are those of the contract.

    int8 with scale 1/128 and zero point 0 in, int8 with scale 1/256 and zero point -128 out.
    """
    source, sink = classifier.input_spec, classifier.output_spec
    if not source.is_quantized:
        return
    if (source.dtype, source.scale, source.zero_point) != (np.int8, INPUT_SCALE, 0):
        raise ModelError(
            f"{classifier.model_path.name}: the input is {source.dtype} with scale {source.scale:.8g} and zero point "
            f"{source.zero_point}; the contract is int8, 1/128 and 0 (pin the input range to [-1, 127/128])"
        )
    if (sink.dtype, sink.scale, sink.zero_point) != (np.int8, OUTPUT_SCALE, OUTPUT_ZERO_POINT):
        raise ModelError(
            f"{classifier.model_path.name}: the output is {sink.dtype} with scale {sink.scale:.8g} and zero point "
            f"{sink.zero_point}; the contract is int8, 1/256 and -128: does the network end in a softmax?"
        )
