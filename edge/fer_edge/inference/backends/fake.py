"""A classifier without a network: for trying cameras, outputs and services without a model or a runtime."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer_edge.inference.backend import BackendSpec
from fer_edge.labels import NUM_EMOTIONS

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from fer_edge.inference.classifier import Classifier

FAKE_INPUT_SIZE = 96


def open_model(model_path: Path, *, threads: int = 1) -> Classifier:
    """Answers by mean brightness alone: repeatable, different for different images, and meaningless."""
    import numpy as np

    from fer_edge.inference.classifier import FunctionClassifier
    from fer_edge.inference.tensors import TensorSpec
    from fer_edge.preprocess import INPUT_SCALE, OUTPUT_SCALE, OUTPUT_ZERO_POINT

    del threads  # nothing to compute
    int8 = np.dtype(np.int8)
    source = TensorSpec("fake_input", (1, FAKE_INPUT_SIZE, FAKE_INPUT_SIZE, 3), int8, INPUT_SCALE, 0)
    answer = TensorSpec("fake_output", (1, NUM_EMOTIONS), int8, OUTPUT_SCALE, OUTPUT_ZERO_POINT)
    return FunctionClassifier(BACKEND.name, model_path, source, answer, "fake", _by_brightness)


def _by_brightness(tensor: npt.NDArray[Any]) -> npt.NDArray[np.int8]:
    """The emotion whose number is the mean brightness, in seven equal steps, gets 250/256."""
    import numpy as np

    level = (float(tensor.mean()) + 128.0) / 256.0
    result = np.full((1, NUM_EMOTIONS), -127, np.int8)
    result[0, min(int(level * NUM_EMOTIONS), NUM_EMOTIONS - 1)] = 122
    return result


BACKEND = BackendSpec(name="fake", open=open_model, needs_model=False, offered=False)
