"""A Keras model trained elsewhere: ``.keras``, ``.h5`` or a SavedModel folder, by whichever Keras wrote it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Final

from fer_edge.errors import MissingDependencyError, ModelError
from fer_edge.labels import NUM_EMOTIONS
from fer_train.networks.build import STUDENT
from fer_train.runs.trained import Trained, load_keras_file, load_trained

INPUT_RANGES: Final[dict[str, tuple[float, float]]] = {
    "ours": (1.0, 0.0),
    "keras": (128.0 / 127.5, 128.0 / 127.5 - 1.0),
    "unit": (128.0 / 255.0, 128.0 / 255.0),
    "pixels": (128.0, 128.0),
}
"""What a model was trained on, as ``(a, b)`` of ``a * x + b`` with our ``x = (pixel - 128) / 128``:
``pixel / 127.5 - 1`` (``keras.applications``), ``pixel / 255``, or the pixel itself."""


class UserModel:
    """What ``fer_train.runs.trained.Trained`` offers, for a model of another origin: no recipe, no QAT."""

    config: Final[dict[str, Any]] = {}

    def __init__(self, path: Path, input_range: str = "ours") -> None:
        self._model = _frozen(path, *INPUT_RANGES[input_range])
        self.path = path

    @property
    def input_size(self) -> int:
        """Side of the square input in pixels."""
        return int(self._model.input_shape[1])

    def float_model(self) -> Any:
        """``(1, S, S, 3)`` float32 ``x = (p - 128) / 128`` to ``(1, 7)`` probabilities; weights are constants."""
        return self._model

    def qat_model(self) -> Any | None:
        """None: a model from elsewhere is quantised after training."""
        return None


def load_weights(path: Path, input_range: str = "ours") -> Trained | UserModel:
    """A run or packed folder of ours, or a user's own model.

    Raises :class:`ModelError` for anything else, and for an ``input_range`` given with weights of ours.
    """
    if path.is_dir() and not (path / "saved_model.pb").exists():
        if input_range != "ours":
            raise ModelError(f"--input-range is for models from elsewhere; {path} holds weights of fer-train")
        trained = load_trained(path)
        network = trained.config["network"]
        if network != STUDENT:
            raise ModelError(f"{path} holds a {network} network, which teaches; export the {STUDENT} that it taught")
        return trained
    if not path.exists():
        raise ModelError(f"{path} does not exist; expected a run folder of fer-train or a Keras model file")
    return UserModel(path, input_range)


def _frozen(path: Path, factor: float, offset: float) -> Any:
    """The network as a callable whose variables have become constants.

    Variables of a Keras 3 model are lost on the way into the TFLite converter, constants are not; and a SavedModel
    that ``model.export`` wrote is no Keras model any more, only a function.
    """
    try:
        import tensorflow as tf
        from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2
    except ImportError as error:
        raise MissingDependencyError.for_extra("tensorflow", "export") from error
    network, size, keep = _saved_function(path) if path.is_dir() else _keras_function(path)

    # Plain calls: there is no Python control flow to translate, and AutoGraph complains where it finds no source.
    @tf.autograph.experimental.do_not_convert  # type: ignore[untyped-decorator]
    def scaled(x: Any) -> Any:
        return network(x if (factor, offset) == (1.0, 0.0) else x * factor + offset)

    signature = tf.TensorSpec((1, size, size, 3), tf.float32, name="face")
    function = convert_variables_to_constants_v2(tf.function(scaled).get_concrete_function(signature))
    del keep
    _check_output(path, function, size)

    class Frozen(tf.Module):  # type: ignore[misc]
        input_shape = (None, size, size, 3)

        @tf.autograph.experimental.do_not_convert  # type: ignore[untyped-decorator]
        def __call__(self, x: Any, training: bool = False) -> Any:
            del training
            return tf.reshape(function(tf.ensure_shape(x, (1, size, size, 3)))[0], (1, NUM_EMOTIONS))

    return Frozen()


def _keras_function(path: Path) -> tuple[Any, int, Any]:
    model = load_keras_file(path)
    return lambda x: model(x, training=False), int(model.input_shape[1]), model


def _saved_function(path: Path) -> tuple[Any, int, Any]:
    import tensorflow as tf

    try:
        loaded = tf.saved_model.load(str(path))
        serve = loaded.signatures["serving_default"]
        (name, spec), *more = serve.structured_input_signature[1].items()
        result, *others = serve.structured_outputs
    except Exception as error:  # TensorFlow raises its own errors, KeyError or ValueError, by what is damaged
        reason = str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__
        raise ModelError(f"{path} is no SavedModel that can be read: {reason}") from error
    shape = tuple(spec.shape)
    if more or others or len(shape) != 4 or shape[1] != shape[2] or shape[3] != 3 or not shape[1]:
        raise ModelError(
            f"{path}: expected one input (None, S, S, 3) and one output (None, {NUM_EMOTIONS}), the model has "
            f"{1 + len(more)} inputs, the first {shape}, and {1 + len(others)} outputs"
        )
    return lambda x: serve(**{name: x})[result], int(shape[1]), loaded


def _check_output(path: Path, function: Any, size: int) -> None:
    import tensorflow as tf

    shape = tuple(function.outputs[0].shape)
    if shape not in ((1, NUM_EMOTIONS), (None, NUM_EMOTIONS)):
        raise ModelError(f"{path}: expected an output (None, {NUM_EMOTIONS}), the model has {shape}")
    values = function(tf.zeros((1, size, size, 3)))[0].numpy().ravel().tolist()
    if not all(math.isfinite(v) for v in values):
        raise ModelError(f"{path}: the network gives values that are not numbers; are the weights damaged?")
    if abs(sum(values) - 1.0) > 1e-3 or min(values) < 0.0:
        raise ModelError(
            f"{path}: the outputs for one face add up to {sum(values):.4g}, probabilities add up to 1; "
            "put a softmax at the end of the model"
        )
