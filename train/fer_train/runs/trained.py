"""Trained weights and the networks they make: a run folder, the packed form in ``models/``, or a user's Keras model."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fer_edge.errors import ModelError
from fer_edge.preprocess import resize_gray, to_float_input
from fer_train.evaluation.temperature import Temperatures, fold, load_temperatures
from fer_train.logs import LOG
from fer_train.networks.build import copy_weights
from fer_train.networks.narrowing import narrow_weights
from fer_train.runs.keras_file import import_tf_keras, load_keras_file
from fer_train.runs.network_of import network_of
from fer_train.runs.packed_weights import read_packed
from fer_train.runs.recipe import Recipe, load_recipe
from fer_train.runs.run_folder import RunFolder

__all__ = ["PACKED_FLOAT", "PACKED_QAT", "Trained", "begin_with", "load_float_weights", "load_trained"]

PACKED_FLOAT, PACKED_QAT = "float.npz", "qat.npz"
_NARROWING_FACES: Final[int] = 384


@dataclass
class Trained:
    """Weights on disk, and the networks built from them on demand."""

    path: Path
    """The folder or file."""
    recipe: Recipe | None
    """None for a user's own Keras model."""
    fold: bool = True
    """Whether the networks get the temperatures of ``temperature.json``."""
    _cache: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def config(self) -> dict[str, Any]:
        """The recipe as a plain dictionary; empty for a user's own model."""
        return dataclasses.asdict(self.recipe) if self.recipe else {}

    @property
    def temperatures(self) -> Temperatures | None:
        """What temperature scaling found, None without it. Raises :class:`ModelError` for a damaged record."""
        return load_temperatures(self.path) if self.recipe else None

    @property
    def input_size(self) -> int:
        """Side of the square input in pixels."""
        return self.recipe.input_size if self.recipe else int(self.float_model().input_shape[1])

    def float_model(self) -> Any:
        """The float network: ``(None, S, S, 3)`` float32 ``x = (p - 128) / 128`` to ``(None, 7)`` probabilities.

        Returns:
            A tf_keras model; for a user's own file whichever Keras could read it.

        Raises:
            ModelError: the weights cannot be loaded.
        """
        if "float" not in self._cache:
            model = self._load_float() if self.recipe else load_keras_file(self.path)
            temperatures = self.temperatures
            if temperatures is not None and self.fold and not temperatures.folded:
                fold(model, temperatures.float_, temperatures.float_biases)
            self._cache["float"] = model
        return self._cache["float"]

    def qat_model(self) -> Any | None:
        """The tfmot-wrapped network after QAT.

        Returns:
            The network, a tf_keras model; None without a QAT stage.

        Raises:
            ModelError: the weights cannot be loaded.
        """
        if self.recipe is None:
            return None
        if "qat" not in self._cache:
            model, temperatures = self._load_qat(), self.temperatures
            folds = self.fold and temperatures is not None and not temperatures.folded
            if folds and model is not None and temperatures is not None and temperatures.qat is not None:
                fold(model, temperatures.qat, temperatures.qat_biases)
            self._cache["qat"] = model
        return self._cache["qat"]

    def _network(self, keras: Any) -> Any:
        assert self.recipe is not None
        return network_of(self.recipe, keras)

    def _load_float(self) -> Any:
        tf_keras = import_tf_keras()
        network = self._network(tf_keras)
        if (self.path / PACKED_FLOAT).exists():
            load_float_weights(self.path, network)
            return network
        import keras

        source = self._network(keras)
        load_float_weights(self.path, source)
        copy_weights(source, network)
        return network

    def _load_qat(self) -> Any | None:
        packed, weights = self.path / PACKED_QAT, RunFolder(self.path).qat_weights
        if not packed.exists() and not weights.exists():
            return None
        from fer_train.quantization.qat_network import wrap_for_qat

        qat = wrap_for_qat(self._network(import_tf_keras()))
        if packed.exists():
            _set_weights(qat, read_packed(packed), packed)
            return qat
        try:
            qat.load_weights(weights)
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(f"{weights} cannot be loaded, truncated or damaged? {error}") from error
        return qat


def load_trained(path: Path, *, fold: bool = True) -> Trained:
    """Trained weights of a run, or a model of somebody else.

    Args:
        path: a run folder, a packed folder (``config.json`` and weights), or a Keras model file.
        fold: whether the networks answer with the probabilities that temperature scaling made, or as trained.

    Returns:
        The weights, from which networks are built on demand.

    Raises:
        ModelError: there is nothing usable at ``path``.
    """
    if not path.exists():
        raise ModelError(f"{path} does not exist; expected a run folder of fer-train or a Keras model file")
    if path.is_dir() and not (path / "saved_model.pb").exists():
        return Trained(path, load_recipe(path / "config.json"), fold)
    return Trained(path, None, fold)


def load_float_weights(path: Path, network: Any) -> None:
    """Give ``network`` the float weights of a run.

    Args:
        path: a run folder or a packed folder.
        network: of Keras 3; packed weights fit tf_keras, too. Changed in place.

    Raises:
        ModelError: there are none, or those of another network.
    """
    packed, weights = path / PACKED_FLOAT, RunFolder(path).float_weights
    LOG.debug(f"float weights: {packed if packed.exists() else weights}")
    if packed.exists():
        _set_weights(network, read_packed(packed), packed)
        return
    if not weights.exists() and RunFolder(path).best_half.exists():
        _set_weights(network, read_packed(RunFolder(path).best_half), RunFolder(path).best_half)
        return
    if not weights.exists():
        raise ModelError(f"no {weights.name} or {PACKED_FLOAT} in {path}; has its float stage finished an epoch?")
    try:
        network.load_weights(weights)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"{weights} cannot be loaded, truncated or damaged? {error}") from error


def begin_with(path: Path, recipe: Recipe, network: Any, images: npt.NDArray[np.uint8]) -> None:
    """Give a network its first weights: those of another run, or what a wider one makes of it (:func:`narrow_weights`).

    Args:
        path: a run folder or a packed folder.
        recipe: of ``network``.
        network: of Keras 3, changed in place.
        images: ``(N, H, W)`` uint8 faces of the train split, of which some are looked at where the networks differ.

    Raises:
        ModelError: there are no weights, or those of another network.
    """
    earlier = load_recipe(RunFolder(path).config)
    if (earlier.network, earlier.width, earlier.last_channels) == (recipe.network, recipe.width, recipe.last_channels):
        load_float_weights(path, network)
        return
    import keras

    wide = network_of(earlier, keras, input_size=int(network.input_shape[1]))
    load_float_weights(path, wide)
    chosen = np.random.default_rng(recipe.seed).permutation(len(images))[:_NARROWING_FACES]
    faces = np.stack([resize_gray(images[i], int(network.input_shape[1])) for i in chosen])
    narrow_weights(wide, network, (to_float_input(faces[i : i + 64]) for i in range(0, len(faces), 64)))
    LOG.info(f"first weights fitted to those of {path} on {len(faces)} faces")


def _set_weights(model: Any, arrays: list[npt.NDArray[Any]], path: Path) -> None:
    try:
        model.set_weights(arrays)
    except ValueError as error:
        raise ModelError(f"{path} holds the weights of another network: {str(error).splitlines()[0][:160]}") from error
