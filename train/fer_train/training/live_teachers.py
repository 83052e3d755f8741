"""Teachers that answer while the student learns, for the very faces that it sees, but never disturbed.

Stored logits are of the plain image; what a mixed, turned or half-erased one shows they cannot say. Trained networks
asked about the same changed image can: the student then copies a function instead of a list of answers, and gains from
long training and strong augmentation (Beyer et al. 2022, "Knowledge distillation: a good teacher is patient and
consistent", arXiv:2106.05237).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from fer_edge.labels import NUM_EMOTIONS
from fer_edge.preprocess import to_float_input
from fer_train.networks.engine import to_numpy
from fer_train.runs.network_of import network_of
from fer_train.runs.recipe import load_recipe
from fer_train.runs.run_folder import RunFolder
from fer_train.runs.trained import load_float_weights

_LEAST = 1e-7
"""Below it a probability's logarithm is of no use to the temperature."""


class LiveTeachers(keras.layers.Layer):  # type: ignore[misc]
    """The mean answer ``(B, 7)`` float32 of frozen networks to faces ``(B, S, S, 3)`` float32 in [-1, 127/128].

    Each answer is ``softmax(logits / temperature)`` (Hinton et al. 2015, equation 1). No gradient flows back.
    """

    def __init__(self, networks: Sequence[Any], temperature: float, input_size: int, **kwargs: Any) -> None:
        super().__init__(trainable=False, dtype="float32", autocast=False, name="teachers", **kwargs)
        self.networks = list(networks)
        self.temperature = temperature
        self.input_size = input_size
        for network in self.networks:
            network.trainable = False
        self.built = True

    def call(self, faces: Any) -> Any:
        """Ask every network and average."""
        total: Any = 0.0
        for network in self.networks:
            answer = ops.cast(network(self._seen_by(network, faces), training=False), "float32")
            if self.temperature != 1.0:
                answer = ops.softmax(ops.log(ops.maximum(answer, _LEAST)) / self.temperature)
            total = total + answer
        return ops.stop_gradient(total / len(self.networks))

    @staticmethod
    def _seen_by(network: Any, faces: Any) -> Any:
        """The faces in the network's own size, where that is another than the student's."""
        size = int(network.input_shape[1])
        if int(faces.shape[1]) == size:
            return faces
        return ops.image.resize(faces, (size, size), interpolation="bilinear", data_format="channels_last")

    def compute_output_shape(self, input_shape: Any) -> Any:
        """One row of seven an image."""
        return (input_shape[0], NUM_EMOTIONS)

    def predict(self, faces: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Probabilities ``(N, 7)`` of grey faces ``(N, S, S)`` uint8, as any classifier gives them."""
        inputs = to_float_input(faces)
        answers = [network.predict_on_batch(to_numpy(self._seen_by(network, inputs))) for network in self.networks]
        return np.asarray(np.mean(answers, axis=0), np.float32)


def load_teachers(
    runs: Sequence[Path], input_size: int, temperature: float, runner: Callable[[Any], Any]
) -> LiveTeachers:
    """The float networks of finished runs or released folders, wrapped in what ``runner`` makes of each.

    ``input_size`` is the student's. Raises :class:`ModelError` for a network that does not load.
    """
    networks: list[Any] = []
    for run in runs:
        recipe = load_recipe(RunFolder(run).config)
        # Keras on PyTorch tells variables apart by their paths where it clears gradients: without names of their own,
        # teachers would hide a student of the same architecture, whose gradients would then add up step by step.
        with keras.name_scope(f"teacher_{len(networks)}"):
            network = network_of(recipe, keras)
        load_float_weights(run, network)
        networks.append(runner(network))
    return LiveTeachers(networks, temperature, input_size)
