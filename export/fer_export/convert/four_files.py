"""From trained weights to the four model files' contents."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from fer_edge.loading.open import open_classifier
from fer_export.convert.keras_model import UserModel
from fer_export.convert.messages import conversion_of, one_line
from fer_export.convert.onnx_files import float_onnx, int8_onnx
from fer_export.convert.onnxruntime_quantizer import quantize_with_onnxruntime
from fer_export.convert.qdq_graph import OnnxTarget, UnknownOperatorError
from fer_export.convert.tensor_names import name_ends
from fer_export.file_names import FLOAT_ONNX, FLOAT_TFLITE, INT8_ONNX, INT8_TFLITE, MODEL_FILES
from fer_export.log import LOG
from fer_export.tflite_file import read_tflite
from fer_train.quantization.tflite import float_to_tflite, ptq_to_tflite, qat_to_tflite
from fer_train.runs.trained import Trained

__all__ = [
    "MAX_TWIN_DIFFERENCE",
    "MIN_TWIN_AGREEMENT",
    "TWIN_FACES",
    "Method",
    "Networks",
    "build_networks",
]

Method = Literal["QAT", "PTQ"]
TWIN_FACES: Final[int] = 105
MIN_TWIN_AGREEMENT: Final[float] = 0.97
MAX_TWIN_DIFFERENCE: Final[float] = 0.003
"""On :data:`TWIN_FACES` faces: what two files that hold one network must reach before the gate looks closer."""


@dataclass(frozen=True)
class Networks:
    """The contents of the four model files, and how the INT8 ones were quantised."""

    files: dict[str, bytes]
    """``{file name: content}``."""
    method: Method
    """``QAT`` or ``PTQ`` (post-training quantisation)."""
    onnx_quantiser: str | None = None
    """Why ONNX Runtime's own quantiser made the INT8 ONNX file; None where it holds the network of the TFLite file."""


def build_networks(
    trained: Trained | UserModel,
    representatives: Callable[[int], npt.NDArray[np.uint8]],
    onnx_target: OnnxTarget,
    *,
    force_ptq: bool = False,
    on_step: Callable[[str], None] = lambda _: None,
) -> Networks:
    """Convert; INT8 from the QAT network where there is one, else by post-training quantisation.

    Args:
        trained: weights of ours, or a model from elsewhere.
        representatives: ``representatives(size)`` gives ``(N, size, size)`` uint8 faces to calibrate on; not called
            for QAT of ours.
        onnx_target: ``x86`` for unsigned activations of the INT8 ONNX file, ``arm`` for signed ones, ``npu`` for signed
            ones with equal scales.
        force_ptq: quantise after training even where there is a QAT network.
        on_step: gets the name of what begins.

    Returns:
        The contents of the files.

    Raises:
        ModelError: a file breaks the contract, or cannot be made.
        MissingDependencyError: a package for the conversion is not installed.
    """
    floating = trained.float_model()
    foreign = trained.path if isinstance(trained, UserModel) else None
    on_step("float TFLite")
    with conversion_of(foreign, "TFLite"):
        files = {FLOAT_TFLITE: name_ends(float_to_tflite(floating))}
        _refuse_recurrence(files[FLOAT_TFLITE])
    on_step("INT8 TFLite")
    qat = None if force_ptq else trained.qat_model()
    with conversion_of(foreign, "INT8 TFLite"):
        if qat is not None:
            files[INT8_TFLITE] = qat_to_tflite(qat)
        else:
            files[INT8_TFLITE] = ptq_to_tflite(floating, representatives(trained.input_size))
        files[INT8_TFLITE] = name_ends(files[INT8_TFLITE])
    on_step("float ONNX")
    with conversion_of(foreign, "ONNX"):
        files[FLOAT_ONNX] = float_onnx(floating, trained.input_size)
    on_step("INT8 ONNX")
    reason = None
    try:
        files[INT8_ONNX] = int8_onnx(files[INT8_TFLITE], onnx_target)
        if isinstance(trained, UserModel):
            reason = _other_answers(files, representatives(trained.input_size)[:TWIN_FACES])
    except Exception as error:  # onnx and ONNX Runtime have exceptions of their own
        if not isinstance(trained, UserModel) and not isinstance(error, UnknownOperatorError):
            raise
        reason = one_line(error).partition("; known:")[0]
    if reason is not None:
        on_step("INT8 ONNX by ONNX Runtime's quantiser")
        faces = representatives(trained.input_size)
        files[INT8_ONNX] = quantize_with_onnxruntime(files[FLOAT_ONNX], faces, onnx_target)
    for name, content in files.items():
        LOG.debug("%s: %d bytes", name, len(content))
    return Networks({name: files[name] for name in MODEL_FILES}, "PTQ" if qat is None else "QAT", reason)


def _refuse_recurrence(tflite: bytes) -> None:
    """Refuse loops and memory, which TensorFlow (2.21) cannot quantise after training, before it tries."""
    model = read_tflite(tflite)
    recurrent = [op.name for op in model.operators if "LSTM" in op.name or "RNN" in op.name or op.name == "WHILE"]
    if recurrent or model.subgraphs > 1:
        raise ValueError(f"recurrent layers (LSTM, GRU, ...; {', '.join(recurrent) or 'a loop'}) cannot be quantised")


def _other_answers(files: dict[str, bytes], faces: npt.NDArray[np.uint8]) -> str | None:
    """Whether the written INT8 ONNX file answers otherwise than its TFLite twin; None when they agree.

    Some runtimes round operators of networks from elsewhere differently, which adds up.
    """
    answers = []
    with tempfile.TemporaryDirectory(prefix="fer-twins-") as folder:
        for name in (INT8_TFLITE, INT8_ONNX):
            path = Path(folder) / name
            path.write_bytes(files[name])
            with contextlib.closing(open_classifier(path, trusted=True)) as classifier:
                answers.append(classifier.predict(faces))
    agreement = float(np.mean(answers[0].argmax(axis=1) == answers[1].argmax(axis=1)))
    difference = float(np.abs(answers[0] - answers[1]).mean())
    LOG.debug("INT8 ONNX against INT8 TFLite: agreement %.4f, mean difference %.5f", agreement, difference)
    if agreement >= MIN_TWIN_AGREEMENT and difference <= MAX_TWIN_DIFFERENCE:
        return None
    return f"written operator by operator it agreed with {INT8_TFLITE} on {agreement:.0%} of {len(faces)} faces only"
