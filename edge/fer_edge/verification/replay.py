"""Replay of golden vectors: does this device compute what the exporter computed, and if not, from which stage on?

``golden.npz`` lies beside the exported models. It holds synthetic colour frames with face boxes, the INT8 tensor that
preprocessing made of them, the INT8 output of the network, and the label decided. Four stages are replayed, each from
the *recorded* result of the one before, so that the first that differs is the one at fault:

1. preprocessing: frame and box to grey face, identical to the last bit on every processor;
2. quantisation: grey face to the model's input tensor, likewise;
3. network: input tensor to output tensor; identical on LiteRT on x86, within a stated tolerance elsewhere. Outputs are
   recorded by both ways of INT8 rounding, and the runtime is held to the one that it follows, which is named;
4. dequantisation: output tensor to probabilities and the emotion's name.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from fer_edge.arrays import FloatArray, Image
from fer_edge.errors import InputError
from fer_edge.files import sha256_of
from fer_edge.inference.backend import EXACT, Tolerance
from fer_edge.inference.backends import backends
from fer_edge.inference.classifier import Classifier, Prediction
from fer_edge.inference.tensors import dequantize, to_model_input
from fer_edge.labels import EMOTIONS, NUM_EMOTIONS
from fer_edge.loading.open import open_classifier
from fer_edge.preprocess import crop_square, preprocess_face, reduce_detail, resize_gray
from fer_edge.verification.detector import STAGE, verify_detector
from fer_edge.verification.golden import Golden, find_golden, own_outputs_name, read_golden
from fer_edge.verification.stage import StageResult

__all__ = ["FLOAT_TOLERANCE", "STAGES", "VerifyReport", "verify", "verify_classifier"]

STAGES: Final[tuple[str, ...]] = ("preprocessing", "quantisation", "network", "dequantisation")
FLOAT_TOLERANCE: Final[Tolerance] = Tolerance(1e-4, 0.98)
"""For the float models, against the recorded float outputs: summation order differs between runtimes."""


@dataclass(frozen=True)
class VerifyReport:
    """The outcome of a replay; ``stages`` in order of computation."""

    model: Path
    """The model file."""
    golden: Path
    """The file of golden vectors."""
    backend: str
    """Name of the backend."""
    runtime: str
    """Package and version that computed."""
    n_vectors: int
    """How many were replayed."""
    stages: tuple[StageResult, ...]
    """In the order of :data:`STAGES`; the face detector's last, where it was replayed, too."""

    @property
    def passed(self) -> bool:
        """Whether every stage passed."""
        return self.first_difference is None

    @property
    def first_difference(self) -> StageResult | None:
        """The first stage that differs, None when all agree."""
        return next((stage for stage in self.stages if not stage.passed), None)

    @property
    def summary(self) -> str:
        """One line: verified, or the first stage that differs and what it looks like."""
        failed = self.first_difference
        what = f"{self.model} on {self.backend} ({self.runtime})"
        if failed is None:
            return f"{what} computes what the exporter computed on {self.n_vectors} golden vectors"
        if failed.name == STAGE:
            return f"the face detector differs: {failed.diagnosis or failed.detail}"
        return f"{what} differs first in {failed.name}: {failed.diagnosis or failed.detail}"

    def lines(self) -> list[str]:
        """Human-readable lines, one a stage and the summary last.

        Returns:
            The lines without their ends.
        """
        marks = {True: "ok  ", False: "FAIL"}
        rows = [f"{marks[stage.passed]} {stage.name:<15} {stage.detail}" for stage in self.stages]
        return [*rows, self.summary]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values.

        Returns:
            The fields by name, paths as text.
        """
        return {
            "passed": self.passed,
            "model": str(self.model),
            "golden": str(self.golden),
            "backend": self.backend,
            "runtime": self.runtime,
            "n_vectors": self.n_vectors,
            "stages": [vars(stage) for stage in self.stages],
            "summary": self.summary,
        }


def verify(
    model: str | os.PathLike[str] | None = None,
    golden: str | os.PathLike[str] | None = None,
    *,
    backend: str = "auto",
    threads: int = 1,
    trusted: bool = False,
    detector: str | None = None,
    detector_model: str | os.PathLike[str] | None = None,
) -> VerifyReport:
    """Replay golden vectors through preprocessing and a model on this device, and through a face detector.

    Args:
        model: as in :func:`open_classifier`.
        golden: by default the ``golden.npz`` beside the model, else the one in the installed package.
        backend: as in :func:`open_classifier`.
        threads: as in :func:`open_classifier`.
        trusted: as in :func:`open_classifier`.
        detector: as in :func:`fer_edge.verification.detector.verify_detector`; None leaves detectors out.
        detector_model: as there.

    Returns:
        What each stage gave.

    Raises:
        ModelError: the model or the detector's file cannot be loaded.
        InputError: there are no golden vectors for a model of its size.
        MissingDependencyError: the detector asked for by name cannot run here.
    """
    classifier = open_classifier(model, backend=backend, threads=threads, trusted=trusted)
    try:
        report = verify_classifier(classifier, read_golden(find_golden(classifier.model_path, golden)))
    finally:
        classifier.close()
    if detector is None:
        return report
    return replace(report, stages=(*report.stages, verify_detector(detector, detector_model)))


def verify_classifier(classifier: Classifier, golden: Golden) -> VerifyReport:
    """Replay ``golden`` through this device's preprocessing and an opened classifier.

    Args:
        classifier: the open classifier; it stays open.
        golden: the vectors.

    Returns:
        What each stage gave.

    Raises:
        InputError: the vectors are for models of another input size.
    """
    if classifier.input_size != golden.input_size:
        raise InputError(
            f"{golden.path} is for models of input size {golden.input_size}, {classifier.model_path} has "
            f"{classifier.input_size}; both come from one run of fer-export"
        )
    stages = (
        _preprocessing(golden),
        _quantisation(classifier, golden),
        _network(classifier, golden),
        _dequantisation(classifier, golden),
    )
    return VerifyReport(
        model=classifier.model_path,
        golden=golden.path,
        backend=classifier.backend,
        runtime=classifier.runtime_version,
        n_vectors=len(golden.frames),
        stages=stages,
    )


# -- the four stages ------------------------------------------------------------------------------------------------


def _preprocessing(golden: Golden) -> StageResult:
    name, size = STAGES[0], golden.input_size
    got = [preprocess_face(f, size, box) for f, box in zip(golden.frames, golden.boxes, strict=True)]
    wrong = [i for i, (face, want) in enumerate(zip(got, golden.faces, strict=True)) if not np.array_equal(face, want)]
    if not wrong:
        return StageResult(name, True, f"{len(got)} faces identical")
    worst = max(int(np.abs(got[i].astype(int) - golden.faces[i].astype(int)).max()) for i in wrong)
    detail = f"{len(wrong)} of {len(got)} faces differ, by up to {worst} grey levels"
    for cause, variant in _suspects().items():
        made = [variant(golden.frames[i], golden.boxes[i], size) for i in wrong]
        if all(np.array_equal(face, got[i]) for i, face in zip(wrong, made, strict=True)):
            return StageResult(name, False, detail, f"{cause} ({detail})")
    return StageResult(name, False, detail, f"{detail}; a modified fer_edge.preprocess, or OpenCV {cv2.__version__}?")


def _suspects() -> dict[str, Callable[[Image, npt.NDArray[np.int32], int], npt.NDArray[Any]]]:
    """Known mistakes, each as the face that it would produce; computed here by OpenCV directly, for comparison only."""

    def swapped(frame: Image, box: npt.NDArray[np.int32], size: int) -> npt.NDArray[Any]:
        # Whichever way round this device reads channels, the correct order gives the other one's result.
        gray = cv2.cvtColor(np.ascontiguousarray(crop_square(frame, box)), cv2.COLOR_RGB2GRAY)
        return resize_gray(reduce_detail(np.asarray(gray, np.uint8), size), size)

    def resized(interpolation: int) -> Callable[..., npt.NDArray[Any]]:
        def face(frame: Image, box: npt.NDArray[np.int32], size: int) -> npt.NDArray[Any]:
            gray = np.asarray(cv2.cvtColor(np.ascontiguousarray(crop_square(frame, box)), cv2.COLOR_BGR2GRAY), np.uint8)
            return np.asarray(cv2.resize(reduce_detail(gray, size), (size, size), interpolation=interpolation))

        return face

    return {
        "channels are swapped: RGB frames are read as BGR, or vice versa": swapped,
        "another resize is used: INTER_LINEAR instead of INTER_LINEAR_EXACT": resized(cv2.INTER_LINEAR),
        "another resize is used: INTER_AREA instead of INTER_LINEAR_EXACT": resized(cv2.INTER_AREA),
        "another resize is used: INTER_NEAREST instead of INTER_LINEAR_EXACT": resized(cv2.INTER_NEAREST),
        "another resize is used: INTER_CUBIC instead of INTER_LINEAR_EXACT": resized(cv2.INTER_CUBIC),
    }


def _tolerance(backend: str, machine: str) -> Tolerance:
    """What a quantised model on this runtime and processor may differ by; golden vectors are made on x86."""
    spec = backends().get(backend)
    if spec is None:  # a classifier of somebody's own
        return EXACT
    elsewhere = machine.lower() not in ("x86_64", "amd64")
    return spec.tolerance_elsewhere if elsewhere and spec.tolerance_elsewhere is not None else spec.tolerance


def _quantisation(classifier: Classifier, golden: Golden) -> StageResult:
    name, spec = STAGES[1], classifier.input_spec
    if not spec.is_quantized:
        return StageResult(name, True, "not applicable: the model takes float32")
    tensor = to_model_input(golden.faces, spec)
    offset = 128 if spec.dtype == np.uint8 else 0
    difference = np.abs(tensor.astype(int) - offset - golden.tensors_for(spec).astype(int))
    scale, zero = float(golden.info["input_scale"]), int(golden.info["input_zero_point"])
    detail = (
        f"{len(tensor)} tensors identical"
        if not difference.any()
        else (
            f"{np.count_nonzero(difference.any(axis=(1, 2, 3)))} of {len(tensor)} tensors differ, "
            f"by up to {difference.max()} steps"
        )
    )
    same_numbers = (spec.scale, spec.zero_point - offset) == (scale, zero)
    if not difference.any() and same_numbers:
        return StageResult(name, True, detail)
    diagnosis = detail
    if not same_numbers:  # the same stored values stand for others then
        diagnosis = (
            f"the model's input has scale {spec.scale:.8g} and zero point {spec.zero_point}, the golden vectors were "
            f"made with {scale:.8g} and {zero}: another model, or a quantiser of its own ({detail})"
        )
    return StageResult(name, False, detail, diagnosis)


def _network(classifier: Classifier, golden: Golden) -> StageResult:
    name = STAGES[2]
    got = _replay(classifier, golden)
    quantized = classifier.output_spec.is_quantized
    want, arithmetic = _recorded(classifier, golden, got) if quantized else (golden.float_outputs, "")
    tolerance = _tolerance(classifier.backend, platform.machine()) if quantized else FLOAT_TOLERANCE
    difference = np.abs(got - want)
    agreement = float(np.mean(got.argmax(axis=1) == want.argmax(axis=1)))
    identical = int(np.count_nonzero((got == want).all(axis=1)))
    detail = (
        f"{identical} of {len(got)} outputs identical, {agreement:.1%} decided alike, "
        f"probabilities differ by {difference.mean():.4f} on average and {difference.max():.4f} at most"
    )
    limits = (
        "every output must be identical on this runtime"
        if tolerance.is_exact
        else f"allowed: {tolerance.agreement:.0%} alike, {tolerance.mean_difference} on average"
    )
    limits = f"{arithmetic}; {limits}" if arithmetic else limits
    alike = identical == len(got) if tolerance.is_exact else agreement >= tolerance.agreement
    passed = alike and float(difference.mean()) <= tolerance.mean_difference and bool(np.isfinite(got).all())
    if passed:
        return StageResult(name, True, f"{detail} ({limits})")
    cause = _suspect_network(classifier, golden, got, want)
    return StageResult(name, False, f"{detail} ({limits})", f"{cause}; {detail}")


def _recorded(classifier: Classifier, golden: Golden, got: FloatArray) -> tuple[FloatArray, str]:
    """``(n, 7)`` recorded probabilities that a quantised model is held to, and which they are.

    Its own where it holds a network of its own; else those of the arithmetic that the runtime follows: of single and
    double rounding the nearer, since a build of the same package may have XNNPACK or not.
    """
    if golden.own_outputs and classifier.model_path.is_file():
        own = golden.own_outputs.get(own_outputs_name(sha256_of(classifier.model_path)))
        if own is not None:
            return dequantize(own, golden.output_spec), "against outputs of this very file"
    recorded = golden.by_arithmetic
    if len(recorded) == 1:
        return golden.probabilities, ""
    distance = {name: float(np.abs(got - values).mean()) for name, values in recorded.items()}
    nearest = min(distance, key=lambda name: distance[name])  # of equal ones the first
    return recorded[nearest], f"against {nearest} outputs, the {'same' if distance[nearest] == 0.0 else 'nearer'} ones"


def _replay(classifier: Classifier, golden: Golden) -> FloatArray:
    """``(n, 7)`` probabilities of this device's network for the recorded input tensors."""
    spec = classifier.input_spec
    if not spec.is_quantized:
        tensors: npt.NDArray[Any] = to_model_input(golden.faces, spec)
    elif spec.dtype == np.uint8:
        tensors = golden.tensors_for(spec).view(np.uint8) ^ np.uint8(0x80)
    else:
        tensors = golden.tensors_for(spec)
    rows = [dequantize(classifier.infer(tensors[i : i + 1]), classifier.output_spec) for i in range(len(tensors))]
    return np.concatenate(rows)


def _suspect_network(classifier: Classifier, golden: Golden, got: FloatArray, want: FloatArray) -> str:
    order = _permutation(got, want)
    if order is not None:
        return f"the model's outputs are in another label order ({', '.join(order)}) than {', '.join(EMOTIONS)}"
    path = classifier.model_path
    recorded = golden.info.get("model_sha256")
    if path.name == golden.info.get("model") and path.is_file() and recorded and sha256_of(path) != recorded:
        return f"{path.name} is corrupt or replaced: its sha256 is not that of the file the golden vectors are from"
    if not np.isfinite(got).all() or len(np.unique(got, axis=0)) == 1:
        return "the network gives the same or no answer for every face: a corrupt model or a broken delegate"
    spec = backends().get(classifier.backend)
    if spec is not None and spec.is_tflite and path.name == golden.info.get("model"):
        return (
            f"the file is the right one, but {classifier.runtime_version} computes differently from "
            f"{golden.info.get('runtime')}: a delegate or kernel that does not match"
        )
    return "not the network that the golden vectors were made with, or a runtime with wrong results"


def _permutation(got: FloatArray, want: FloatArray) -> list[str] | None:
    """The emotions in the order of the columns of ``got``, if those are the columns of ``want`` in another order."""
    distance = np.abs(got[:, :, None] - want[:, None, :]).mean(axis=0)
    nearest = distance.argmin(axis=1)
    is_permutation = sorted(nearest) == list(range(NUM_EMOTIONS)) and not np.array_equal(nearest, range(NUM_EMOTIONS))
    if not is_permutation or float(distance.min(axis=1).max()) > 0.005:
        return None
    return [EMOTIONS[int(i)] for i in nearest]


def _dequantisation(classifier: Classifier, golden: Golden) -> StageResult:
    name, spec = STAGES[3], classifier.output_spec
    recorded = tuple(golden.info["emotions"])
    if recorded != EMOTIONS:
        wrong = f"labels are in the order {', '.join(EMOTIONS)}; the golden vectors have {', '.join(recorded)}"
        return StageResult(name, False, wrong, f"wrong label order: {wrong}")
    if not spec.is_quantized:
        return StageResult(name, True, "not applicable: the model gives float32")
    outputs = golden.outputs
    offset = 128 if spec.dtype == np.uint8 else 0
    if (spec.scale, spec.zero_point - offset) != (golden.output_spec.scale, golden.output_spec.zero_point):
        wrong = (
            f"the output has scale {spec.scale:.8g} and zero point {spec.zero_point}; the golden vectors have "
            f"{golden.output_spec.scale:.8g} and {golden.output_spec.zero_point}"
        )
        return StageResult(name, False, wrong)
    stored = (outputs.astype(np.int16) + offset).astype(spec.dtype)
    values = dequantize(stored, spec)
    # In float64 and from the recorded integers, so that a wrapped subtraction cannot hide in both.
    expected = (outputs.astype(np.float64) - golden.output_spec.zero_point) * golden.output_spec.scale
    worst = float(np.abs(values - expected).max())
    names = [Prediction(row).emotion for row in values]
    mistaken = sum(got != want for got, want in zip(names, golden.labels, strict=True))
    detail = f"{len(names)} labels, {mistaken} wrong; probabilities differ by {worst:.2g} at most"
    if mistaken:
        return StageResult(name, False, detail, f"wrong label order or decision: {detail}")
    return StageResult(name, worst < 1e-6, detail)
