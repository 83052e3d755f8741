"""Is the INT8 file as good where hardware rounds otherwise? XNNPACK against TFLite's reference kernels.

TFLite's specification leaves the last bit of an INT8 operator open. XNNPACK, which ``fer-camera`` computes with, rounds
in floating point; microcontrollers and many NPUs compute as the reference kernels do, with a fixed-point multiplier and
a rounding shift (Jacob et al. 2018, arXiv:1712.05877, section 2.2). Both are right, and decide some faces differently.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from fer_edge.errors import ModelError
from fer_export.check.gate import Comparison, Limits, Verdict, check_quantized
from fer_export.file_names import INT8_TFLITE
from fer_train.evaluation.evaluate import Evaluation, evaluate_classifier
from fer_train.quantization.reference_kernels import reference_classifier

__all__ = ["MAX_IMAGES", "REFERENCE_NAME", "Arithmetic", "check_arithmetic", "compare_arithmetic"]

MAX_IMAGES: Final[int] = 4096
"""The reference kernels take 24 ms per face, 35 times as long as XNNPACK: a minute and a half on one core."""
REFERENCE_NAME: Final[str] = f"{INT8_TFLITE} on reference kernels"
"""What reports and messages call it."""


class _OnImages(Protocol):
    def begin(self, name: str, total: int | None = None) -> None: ...

    def advance(self, done: int) -> None: ...


@dataclass(frozen=True)
class Arithmetic:
    """What the reference kernels make of the INT8 file."""

    against_float: Comparison
    """With the float model, as the other files are judged."""
    against_xnnpack: Comparison
    """With the same file on XNNPACK, on the same images."""

    @property
    def identical_outputs(self) -> float:
        """Fraction of images whose seven probabilities are the same on both, in [0, 1]."""
        own, other = self.against_xnnpack.reference.probabilities, self.against_xnnpack.other.probabilities
        return float(np.mean((own == other).all(axis=1)))

    @property
    def largest_difference(self) -> float:
        """Largest difference of one probability, in [0, 1]."""
        own, other = self.against_xnnpack.reference.probabilities, self.against_xnnpack.other.probabilities
        return float(np.abs(own - other).max())

    def as_dict(self) -> dict[str, Any]:
        """The figures as plain JSON values; differences in percentage points.

        Returns:
            As the manifest holds them.
        """
        return {
            "n_images": self.against_float.other.n_images,
            "accuracy": self.against_float.other.accuracy,
            "against_float": self.against_float.as_dict(),
            "against_xnnpack": self.against_xnnpack.as_dict(),
            "identical_outputs": self.identical_outputs,
            "largest_probability_difference": self.largest_difference,
        }


def compare_arithmetic(
    path: Path,
    images: npt.NDArray[np.uint8],
    reference: Evaluation,
    xnnpack: Evaluation,
    steps: _OnImages,
    max_images: int = MAX_IMAGES,
) -> Arithmetic | str:
    """Evaluate an INT8 TFLite file on the reference kernels.

    Args:
        path: the file.
        images: ``(N, H, W)`` uint8, grey, which the evaluations are of.
        reference: of the float model.
        xnnpack: of the file itself on XNNPACK.
        steps: is called as it begins and advances.
        max_images: more are thinned out evenly.

    Returns:
        The comparison; a reason where the reference kernels do not compute this network.
    """
    n = len(images)
    keep = np.arange(n) if n <= max_images else np.linspace(0, n - 1, max_images).astype(np.int64)
    steps.begin(f"accuracy of {REFERENCE_NAME}", len(keep))
    try:
        with reference_classifier(path, workers=len(keep)) as several:
            evaluation = evaluate_classifier(
                several, images[keep], xnnpack.labels[keep], xnnpack.split, on_progress=steps.advance
            )
    except (ModelError, RuntimeError, ValueError) as error:
        return str(error).strip().splitlines()[0]
    return Arithmetic(Comparison(_some(reference, keep), evaluation), Comparison(_some(xnnpack, keep), evaluation))


def check_arithmetic(arithmetic: Arithmetic | str, limits: Limits, *, labelled: bool) -> Verdict:
    """Judge the file on the reference kernels as it is judged on XNNPACK, and how far the two agree.

    Args:
        arithmetic: what was compared; a reason why it could not be.
        limits: what is demanded.
        labelled: False for faces without a true label, where only agreement counts.

    Returns:
        Failures and remarks.
    """
    if isinstance(arithmetic, str):
        line = f"{REFERENCE_NAME}: not judged, they do not compute this network ({arithmetic})"
        return Verdict((), (line,))
    verdict = check_quantized(REFERENCE_NAME, arithmetic.against_float, limits, labelled=labelled)
    agreement = arithmetic.against_xnnpack.agreement
    if not agreement >= (limits.min_agreement if labelled else limits.min_agreement_synthetic):
        line = f"{REFERENCE_NAME}: agrees with XNNPACK on {agreement:.1%} of images; train longer with QAT"
        return Verdict((*verdict.failures, line), verdict.remarks)
    if labelled and agreement < limits.min_agreement_arithmetic:
        line = (
            f"{REFERENCE_NAME}: agrees with XNNPACK on {agreement:.1%} of images "
            f"({limits.min_agreement_arithmetic:.1%} wanted): microcontrollers and NPUs may decide others differently"
        )
        return Verdict(verdict.failures, (*verdict.remarks, line))
    return verdict


def _some(evaluation: Evaluation, keep: npt.NDArray[np.int64]) -> Evaluation:
    return Evaluation(evaluation.split, evaluation.probabilities[keep], evaluation.labels[keep])
