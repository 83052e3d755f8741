"""What a target gets, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fer_edge.arrays import FloatArray
from fer_edge.inference.tensors import TensorSpec, to_model_input
from fer_edge.preprocess import resize_gray
from fer_edge.verification.golden import Golden
from fer_export.check.arithmetic import Arithmetic
from fer_export.check.gate import Comparison, Limits, Verdict
from fer_export.file_names import CALIBRATION, FLOAT_NCHW_ONNX, FLOAT_TFLITE, INT8_ONNX, INT8_TFLITE
from fer_train.data.dataset import Split
from fer_train.evaluation.evaluate import Evaluation

__all__ = ["Conversion", "TargetJob", "TargetResult"]


@dataclass(frozen=True)
class TargetJob:
    """What every target starts from. The model files have passed the gate already."""

    models: Path
    """Folder with the exported model files, not to be changed."""
    out: Path
    """Folder of this target alone, empty; every file left in it is published when all checks have passed."""
    golden: Golden
    """Golden vectors of the INT8 TFLite file: ``tensors`` int8 ``(n, S, S, 3)``, outputs by both ways of rounding."""
    split: Split
    """The faces to judge on."""
    labelled: bool
    """Whether accuracy on them means anything."""
    floating: Evaluation
    """Of the float TFLite file on the split."""
    int8: Evaluation
    """Of the INT8 TFLite file by XNNPACK (single rounding) on the split."""
    arithmetic: Arithmetic | str
    """The INT8 TFLite file on TFLite's reference kernels (double rounding); a reason where they do not compute it."""
    limits: Limits
    """What the gate demands of quantised models."""
    input_spec: TensorSpec
    """Of the INT8 TFLite file."""
    output_spec: TensorSpec
    """Of the INT8 TFLite file."""

    @property
    def int8_tflite(self) -> Path:
        """The INT8 TFLite file; its tensors are called ``input`` and ``probabilities``."""
        return self.models / INT8_TFLITE

    @property
    def int8_onnx(self) -> Path:
        """The INT8 ONNX file."""
        return self.models / INT8_ONNX

    @property
    def float_tflite(self) -> Path:
        """The float TFLite file."""
        return self.models / FLOAT_TFLITE

    @property
    def float_nchw_onnx(self) -> Path:
        """The float ONNX file of the QAT weights: NCHW, batch 1, pads folded; for targets with ``takes_float``."""
        return self.models / FLOAT_NCHW_ONNX

    @property
    def calibration(self) -> Path:
        """Folder of faces to calibrate on: ``npz/`` (array ``input``, float32 ``(1, 3, S, S)``) and ``png/``, listed in
        ``npz.txt`` and ``png.txt``; for targets with ``takes_float``."""
        return self.models / CALIBRATION

    def sample(self, at_most: int) -> npt.NDArray[np.int64]:
        """Which faces of the split to compute where all would take too long.

        Args:
            at_most: how many.

        Returns:
            Their indices, evenly spread over the split; all where there are no more.
        """
        n = len(self.split)
        return np.arange(n) if n <= at_most else np.linspace(0, n - 1, at_most).astype(np.int64)

    def tensors(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.int8]:
        """The INT8 network's input for some faces of the split.

        Args:
            indices: of the faces.

        Returns:
            ``(n, S, S, 3)`` int8.
        """
        size = self.input_spec.shape[1]
        faces = np.stack([resize_gray(np.asarray(self.split.images[i]), size) for i in indices])
        return np.asarray(to_model_input(faces, self.input_spec), np.int8)

    def compare(self, indices: npt.NDArray[np.int64], probabilities: FloatArray) -> tuple[Comparison, Comparison]:
        """What a target computed, beside our own models on the same faces.

        Args:
            indices: of the faces in the split.
            probabilities: ``(n, 7)`` float32, the target's.

        Returns:
            Compared with the INT8 TFLite file by XNNPACK, and with the float model.
        """
        answers = Evaluation(self.split.name, probabilities, self.int8.labels[indices])
        own, floating = (
            Evaluation(each.split, each.probabilities[indices], each.labels[indices])
            for each in (self.int8, self.floating)
        )
        return Comparison(own, answers), Comparison(floating, answers)


@dataclass(frozen=True)
class Conversion:
    """What the maker's tool made of the network, and what it says of it."""

    model: Path
    """The file for the device, whose size and checksum count."""
    tool: str
    """Name and version of the tool that ran."""
    accelerator_operators: int | None = None
    """Operators that run on the accelerator; None where there is none."""
    cpu_operators: int | None = None
    """Operators left to the CPU; None where there is no accelerator."""
    memory_bytes: int | None = None
    """Working memory that the network needs beside its file."""
    memory_kind: str = ""
    """Which memory, and who says so: ``SRAM, estimate of vela 5.2.0``, ``arena, measured``."""
    time_ms: float | None = None
    """One inference as the tool estimates it."""
    time_source: str = ""
    """Who estimates the time, and for which clock and memory."""
    facts: dict[str, Any] = field(default_factory=dict)
    """More for the manifest, plain JSON values: accelerator, system configuration, cycles ..."""


@dataclass(frozen=True)
class TargetResult:
    """A converted network, judged."""

    target: str
    """Name of the target."""
    arithmetic: str
    """Which golden outputs it was held to: ``single-rounding``, ``double-rounding``, ``own``."""
    conversion: Conversion
    """What the tool made."""
    computed_by: str
    """What computed the answers: a simulator, or an implementation of the same arithmetic, and why that represents
    the device."""
    against_int8: Comparison | None
    """Beside the INT8 TFLite file by XNNPACK, on faces of the split; None where nothing can compute it here."""
    against_float: Comparison | None
    """Beside the float model, on the same faces."""
    verdict: Verdict
    """Failures forbid writing anything."""
    golden_outputs: npt.NDArray[np.int8] | None = None
    """``(n, 7)`` of its own for the golden tensors, which go into ``golden.npz`` by the checksum of the model file;
    None where it must repeat one of the two ways of rounding."""

    @property
    def largest_difference(self) -> float | None:
        """Largest difference of one probability from the INT8 TFLite file by XNNPACK, in [0, 1]."""
        if self.against_int8 is None:
            return None
        one, other = self.against_int8.reference.probabilities, self.against_int8.other.probabilities
        return float(np.abs(one - other).max())

    @property
    def identical_values(self) -> float | None:
        """Fraction of single probabilities that equal those by XNNPACK, in [0, 1]."""
        if self.against_int8 is None:
            return None
        return float(np.mean(self.against_int8.reference.probabilities == self.against_int8.other.probabilities))
