"""What tools that quantise by themselves start from: ``fer_float_nchw.onnx``, and faces to calibrate on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from fer_edge.dependencies import import_onnxruntime
from fer_edge.errors import CheckFailedError
from fer_edge.files import sha256_of, write_text
from fer_edge.preprocess import resize_gray, to_float_input
from fer_export.check.gate import Comparison, Verdict, check_quantized
from fer_export.convert.onnx_files import float_nchw_onnx
from fer_export.convert.qdq_graph import INPUT_NAME, NHWC_TO_NCHW
from fer_export.convert.representative_faces import representative_faces
from fer_export.file_names import CALIBRATION, FLOAT_NCHW_ONNX, FLOAT_ONNX, INT8_TFLITE
from fer_export.request import ExportRequest
from fer_train.evaluation.evaluate import Evaluation

__all__ = ["MAX_FACES", "ForQuantisers", "write_for_quantisers"]

MAX_FACES: Final[int] = 1024
"""Of more faces, so many are judged, evenly spread: it is the float form of a network that was judged on all."""


@dataclass(frozen=True)
class ForQuantisers:
    """The float NCHW file, measured."""

    path: Path
    """The file."""
    against_float: Comparison
    """With the float model, on the same faces."""
    against_int8: Comparison
    """With the INT8 TFLite file, whose weights it has."""
    n_calibration: int
    """How many faces there are to calibrate on."""
    verdict: Verdict
    """Judged as quantised models are, since its weights are."""

    def as_dict(self, *, labelled: bool) -> dict[str, Any]:
        """The figures as plain JSON values.

        Args:
            labelled: whether accuracy means anything.

        Returns:
            As the manifest holds them.
        """
        answers = self.against_float.other
        return {
            "sha256": sha256_of(self.path),
            "bytes": self.path.stat().st_size,
            "accuracy": answers.accuracy if labelled else None,
            "n_images": answers.n_images,
            "top1_agreement_with_int8": self.against_int8.agreement,
            "top1_agreement_with_float": self.against_float.agreement,
            "calibration_faces": self.n_calibration,
        }

    def fact(self, *, labelled: bool) -> str:
        """The figures as a line of the reports.

        Args:
            labelled: whether accuracy means anything.

        Returns:
            One line.
        """
        answers = self.against_float.other
        accuracy = f"accuracy {answers.accuracy:.2%}, " if labelled else ""
        return (
            f"{FLOAT_NCHW_ONNX}, {accuracy}decides like the INT8 TFLite file on {self.against_int8.agreement:.2%} of "
            f"{answers.n_images} images; {self.n_calibration} faces in {CALIBRATION}/"
        )


def write_for_quantisers(
    request: ExportRequest, folder: Path, size: int, floating: Evaluation, int8: Evaluation
) -> ForQuantisers:
    """Write ``fer_float_nchw.onnx`` and ``calibration/``, and measure the network.

    Args:
        request: what is exported.
        folder: with the model files; gets the new ones.
        size: side of the network's input, in pixels.
        floating: of the float model on the split.
        int8: of the INT8 TFLite file on the split.

    Returns:
        The measured file.

    Raises:
        ModelError: the network cannot be written.
        CheckFailedError: its answers are not numbers.
    """
    path = folder / FLOAT_NCHW_ONNX
    path.write_bytes(float_nchw_onnx((folder / INT8_TFLITE).read_bytes(), (folder / FLOAT_ONNX).read_bytes()))
    faces = representative_faces(request.representatives, size)
    _write_calibration(folder / CALIBRATION, faces)
    n = len(request.split)
    keep = np.arange(n) if n <= MAX_FACES else np.linspace(0, n - 1, MAX_FACES).astype(np.int64)
    judged = np.stack([resize_gray(np.asarray(request.split.images[i]), size) for i in keep])
    answers = Evaluation(request.split.name, _answers(path, judged), int8.labels[keep])
    reference, twin = (Evaluation(each.split, each.probabilities[keep], each.labels[keep]) for each in (floating, int8))
    against = Comparison(reference, answers)
    verdict = check_quantized(FLOAT_NCHW_ONNX, against, request.limits, labelled=request.labelled)
    return ForQuantisers(path, against, Comparison(twin, answers), len(faces), verdict)


def _answers(path: Path, faces: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    session = import_onnxruntime().InferenceSession(str(path), providers=["CPUExecutionProvider"])
    inputs = to_float_input(faces).transpose(NHWC_TO_NCHW)
    answers = np.concatenate([session.run(None, {INPUT_NAME: x[None]})[0] for x in np.ascontiguousarray(inputs)])
    if not np.isfinite(answers).all():
        raise CheckFailedError(f"{path.name} gives values that are not numbers; no file was written")
    return np.asarray(answers, np.float32)


def _write_calibration(folder: Path, faces: npt.NDArray[np.uint8]) -> None:
    """Each face as a picture, for tools that normalise by themselves, and as the tensor that the network takes."""
    for kind in ("png", "npz"):
        (folder / kind).mkdir(parents=True)
    tensors = np.ascontiguousarray(to_float_input(faces).transpose(NHWC_TO_NCHW))
    names = [f"{i:03d}" for i in range(len(faces))]
    for name, face, tensor in zip(names, faces, tensors, strict=True):
        np.savez_compressed(folder / "npz" / f"{name}.npz", **{INPUT_NAME: tensor[None]})
        encoded, content = cv2.imencode(".png", cv2.cvtColor(face, cv2.COLOR_GRAY2BGR))
        if not encoded:
            raise CheckFailedError(f"OpenCV cannot write a face as PNG; {CALIBRATION}/ is not complete")
        (folder / "png" / f"{name}.png").write_bytes(content.tobytes())
    for kind in ("png", "npz"):
        write_text(folder / f"{kind}.txt", "".join(f"{kind}/{name}.{kind}\n" for name in names))
