"""A Keras model through the part of the Classifier interface that evaluation needs."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fer_edge.preprocess import to_float_input

__all__ = ["KerasClassifier"]


class KerasClassifier:
    """Predicts with a Keras 3 or tf_keras model that takes ``(N, S, S, 3)`` and gives ``(N, 7)`` probabilities.

    Args:
        model: the Keras model.
    """

    def __init__(self, model: Any) -> None:
        self.model = model

    @property
    def input_size(self) -> int:
        """Side of the square input in pixels."""
        return int(self.model.input_shape[1])

    def predict(self, faces: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Probabilities of faces.

        Args:
            faces: ``(N, S, S)`` uint8, grey.

        Returns:
            ``(N, 7)`` float32.
        """
        return np.asarray(self.model.predict_on_batch(to_float_input(faces)), dtype=np.float32)
