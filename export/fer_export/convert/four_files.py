"""From trained weights to the four model files' contents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from fer_export.convert.keras_model import UserModel
from fer_export.convert.onnx_files import float_onnx, int8_onnx
from fer_export.convert.qdq_graph import Target
from fer_export.file_names import FLOAT_ONNX, FLOAT_TFLITE, INT8_ONNX, INT8_TFLITE, MODEL_FILES
from fer_train.quantization.tflite import float_to_tflite, ptq_to_tflite, qat_to_tflite
from fer_train.runs.trained import Trained

Method = Literal["QAT", "PTQ"]


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
