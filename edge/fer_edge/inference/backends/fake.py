"""A classifier with no network behind it: for trying cameras, outputs and services without a model or a runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fer_edge.inference.classifier import ClassifierBase
from fer_edge.inference.tensors import TensorSpec
from fer_edge.labels import NUM_EMOTIONS

FAKE_INPUT_SIZE = 96


class FakeClassifier(ClassifierBase):
    """Answers by mean brightness alone: repeatable, different for different images, and meaningless."""

    backend = "fake"

    def __init__(self, model_path: Path, *, threads: int = 1) -> None:
        del threads  # nothing to compute
        input_spec = TensorSpec(
            "fake_input", (1, FAKE_INPUT_SIZE, FAKE_INPUT_SIZE, 3), np.dtype(np.int8), 1.0 / 128.0, 0
        )
        output_spec = TensorSpec("fake_output", (1, NUM_EMOTIONS), np.dtype(np.int8), 1.0 / 256.0, -128)
        super().__init__(model_path, input_spec, output_spec, "fake")

    def infer(self, tensor: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The emotion whose number is the mean brightness, in seven equal steps, gets 250/256."""
        level = (float(tensor.mean()) + 128.0) / 256.0
        result = np.full((1, NUM_EMOTIONS), -127, np.int8)
        result[0, min(int(level * NUM_EMOTIONS), NUM_EMOTIONS - 1)] = 122
        return result
