"""A Keras model trained elsewhere: ``.keras``, ``.h5`` or a SavedModel folder, by whichever Keras wrote it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fer_edge.arrays import FloatArray
from fer_edge.errors import ModelError
from fer_edge.labels import NUM_EMOTIONS
from fer_edge.preprocess import to_float_input
from fer_export.convert.class_order import ORDERS, OWN_ORDER
from fer_export.convert.messages import one_line
from fer_export.convert.saved_operations import refuse_answering_operations, refuse_saved_operations
from fer_train.networks.build import STUDENT
from fer_train.runs.keras_file import load_keras_file
from fer_train.runs.trained import Trained, load_trained

__all__ = ["INPUT_RANGES", "UserModel", "load_weights"]

INPUT_RANGES: Final[dict[str, tuple[float, float]]] = {
    "ours": (1.0, 0.0),
    "keras": (128.0 / 127.5, 128.0 / 127.5 - 1.0),
    "unit": (128.0 / 255.0, 128.0 / 255.0),
    "pixels": (128.0, 128.0),
}
"""What a model was trained on, as ``(a, b)`` of ``a * x + b`` with our ``x = (pixel - 128) / 128``:
``pixel / 127.5 - 1`` (``keras.applications``), ``pixel / 255``, or the pixel itself."""

_RESCALING: Final[tuple[str, ...]] = ("Rescaling", "Normalization")
_PREDICT_BATCH: Final[int] = 64


class UserModel:
    """What ``fer_train.runs.trained.Trained`` offers, for a model of another origin: no recipe, no QAT.

    Args:
        path: a ``.keras`` or ``.h5`` file, or a SavedModel folder.
        input_range: a key of :data:`INPUT_RANGES`, what the model was trained on.
        order: the emotion (0..6, our order) that each of its outputs stands for.
        input_size: side of the input in pixels, for a network that leaves it open.

    Raises:
        ModelError: for a file that cannot be read or that carries code, or a network with other inputs or outputs.
    """

    config: Final[dict[str, Any]] = {}
    """The recipe: none is known."""

    def __init__(
        self,
        path: Path,
        input_range: str = "ours",
        order: tuple[int, ...] = ORDERS[OWN_ORDER],
        input_size: int | None = None,
    ) -> None:
        self.path, self.input_range, self.order = path, input_range, order
        self._source = (_saved_function if path.is_dir() else _keras_function)(path, input_size)
        self._model = _frozen(self._source, INPUT_RANGES[input_range], order, path)

    @property
    def input_size(self) -> int:
        """Side of the square input in pixels."""
        return self._source.size

    @property
    def rescales_itself(self) -> str | None:
        """Name of a layer that rescales pixels inside the model, None where none is known."""
        return self._source.rescaling

    def float_model(self) -> Any:
        """The network on our input.

        Returns:
            A callable of TensorFlow: ``(1, S, S, 3)`` float32 ``x = (p - 128) / 128`` to ``(1, 7)`` probabilities;
            weights are constants.
        """
        return self._model

    def qat_model(self) -> Any | None:
        """A model from elsewhere is quantised after training.

        Returns:
            None.
        """
        return None

    def predict_with(self, input_range: str, faces: npt.NDArray[np.uint8]) -> FloatArray:
        """What the network answers when faces are fed in another range.

        Args:
            input_range: a key of :data:`INPUT_RANGES`.
            faces: ``(N, S, S)`` uint8.

        Returns:
            Probabilities ``(N, 7)`` float32, in our order.
        """
        factor, offset = INPUT_RANGES[input_range]
        parts = []
        for start in range(0, len(faces), _PREDICT_BATCH):
            x = to_float_input(faces[start : start + _PREDICT_BATCH]) * np.float32(factor) + np.float32(offset)
            parts.append(np.asarray(self._source.network(x[..., : self._source.channels]), np.float32))
        return np.concatenate(parts)[:, _columns(self.order)]


@dataclass(frozen=True)
class _Source:
    """A network as it was saved."""

    network: Callable[[Any], Any]
    size: int
    channels: int
    rescaling: str | None
    keep: Any
    """What owns the variables of ``network``."""


def _columns(order: tuple[int, ...]) -> list[int]:
    """The output that holds each emotion of ours."""
    return [order.index(i) for i in range(NUM_EMOTIONS)]


def load_weights(
    path: Path,
    input_range: str = "ours",
    order: tuple[int, ...] = ORDERS[OWN_ORDER],
    input_size: int | None = None,
) -> Trained | UserModel:
    """A run or packed folder of ours, or a user's own model.

    Args:
        path: a run folder of fer-train, a folder with ``config.json`` and weights, or a Keras model.
        input_range: a key of :data:`INPUT_RANGES`; for a model from elsewhere only.
        order: the emotion (0..6, our order) that each output stands for; for a model from elsewhere only.
        input_size: side of the input in pixels, for a model from elsewhere that leaves it open.

    Returns:
        Something with ``float_model``, ``qat_model`` and ``input_size``.

    Raises:
        ModelError: anything else, and an ``input_range``, ``order`` or ``input_size`` given with weights of ours.
    """
    if path.is_dir() and not (path / "saved_model.pb").exists():
        for option, given in (
            ("--input-range", input_range != "ours"),
            ("--labels", order != ORDERS[OWN_ORDER]),
            ("--input-size", input_size is not None),
        ):
            if given:
                raise ModelError(f"{option} is for models from elsewhere; {path} holds weights of fer-train")
        trained = load_trained(path)
        network = trained.config["network"]
        if network != STUDENT:
            raise ModelError(f"{path} holds a {network} network, which teaches; export the {STUDENT} that it taught")
        return trained
    if not path.exists():
        raise ModelError(f"{path} does not exist; expected a run folder of fer-train or a Keras model file")
    return UserModel(path, input_range, order, input_size)


def _frozen(source: _Source, scaling: tuple[float, float], order: tuple[int, ...], path: Path) -> Any:
    """The network as a callable whose variables have become constants.

    Variables of a Keras 3 model are lost on the way into the TFLite converter, constants are not; and a SavedModel
    that ``model.export`` wrote is no longer a Keras model, only a function.
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    size, channels, network = source.size, source.channels, source.network
    factor, offset = scaling
    reordered = order != ORDERS[OWN_ORDER]

    # Plain calls: there is no Python control flow to translate, and AutoGraph complains where it finds no source.
    @tf.autograph.experimental.do_not_convert  # type: ignore[untyped-decorator]
    def scaled(x: Any) -> Any:
        x = x[..., :1] if channels == 1 else x  # all three are equal
        answer = network(x if (factor, offset) == (1.0, 0.0) else x * factor + offset)
        return tf.gather(answer, _columns(order), axis=1) if reordered else answer

    signature = tf.TensorSpec((1, size, size, 3), tf.float32, name="face")
    try:
        function = convert_variables_to_constants_v2(tf.function(scaled).get_concrete_function(signature))
    except Exception as error:  # of TensorFlow and of Keras, of any kind
        raise ModelError(
            f"{path} cannot be made a network that only answers ({one_line(error)}); take out layers that keep a state "
            "or help in training only, and save it again"
        ) from error
    _check_output(path, function, size)

    class Frozen(tf.Module):  # type: ignore[misc]
        input_shape = (None, size, size, 3)

        @tf.autograph.experimental.do_not_convert  # type: ignore[untyped-decorator]
        def __call__(self, x: Any, training: bool = False) -> Any:
            del training
            return tf.reshape(function(tf.ensure_shape(x, (1, size, size, 3)))[0], (1, NUM_EMOTIONS))

    return Frozen()


def _chosen_size(path: Path, shape: tuple[int | None, ...], chosen: int | None) -> int:
    """The side of the input: the network's own, or ``--input-size`` where it leaves it open."""
    own = shape[1]
    if own is None and chosen is None:
        raise ModelError(
            f"{path} leaves the size of its input open, {shape}; say with --input-size on how many pixels it was "
            "trained (faces of FER-2013 have 48)"
        )
    if own is not None and chosen not in (None, own):
        raise ModelError(f"{path} takes {own}x{own} pixels; leave --input-size {chosen} out")
    return int(own or chosen or 0)


def _keras_function(path: Path, chosen_size: int | None) -> _Source:
    model = load_keras_file(path, any_size=True)
    rescaling = next((layer.name for layer in _layers(model) if type(layer).__name__ in _RESCALING), None)
    for layer in _layers(model):
        if getattr(layer, "groups", 1) > 1 and hasattr(layer, "dilation_rate"):
            _compute_groups_plainly(layer)
        if hasattr(layer, "generator"):
            layer.generator = 0  # some augmentation layers draw numbers, and count them, even while they do nothing
    batch, channels = model.input_shape[0], model.input_shape[3]
    size = _chosen_size(path, model.input_shape, chosen_size)
    # Saved by tf_keras, the input of some is a list of one: Keras warns when it gets another structure.
    in_list = isinstance(getattr(model, "_inputs_struct", None), list)

    def network(x: Any) -> Any:
        return model([x] if in_list else x, training=False)

    answers = _one_by_one(network) if batch == 1 else network
    return _Source(answers, size, int(channels), rescaling, model)


def _one_by_one(network: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A network that takes any number of faces, from one whose batch is fixed to 1."""

    def answers(x: Any) -> Any:
        import tensorflow as tf

        return network(x) if x.shape[0] == 1 else tf.concat([network(x[i : i + 1]) for i in range(x.shape[0])], 0)

    return answers


def _compute_groups_plainly(layer: Any) -> None:
    """Both Keras compile a convolution with groups by XLA, of which tf2onnx makes a call of an unknown function."""
    import tensorflow as tf

    def convolution(inputs: Any, kernel: Any) -> Any:
        return tf.nn.convolution(
            inputs, kernel, list(layer.strides), layer.padding.upper(), dilations=list(layer.dilation_rate)
        )

    layer.convolution_op = layer._jit_compiled_convolution_op = convolution


def _layers(model: Any) -> Iterator[Any]:
    for layer in model.layers:
        yield layer
        if hasattr(layer, "layers"):
            yield from _layers(layer)


def _saved_function(path: Path, chosen_size: int | None) -> _Source:
    refuse_saved_operations(path)
    import tensorflow as tf

    try:
        loaded = tf.saved_model.load(str(path))
        serve = loaded.signatures["serving_default"]
        (name, spec), *more = serve.structured_input_signature[1].items()
        result, *others = serve.structured_outputs
    except Exception as error:  # TensorFlow raises its own errors, KeyError or ValueError, by what is damaged
        reason = str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__
        raise ModelError(f"{path} is not a SavedModel that can be read: {reason}") from error
    refuse_answering_operations(path, serve.graph.as_graph_def())
    shape = tuple(spec.shape)
    if more or others or len(shape) != 4 or shape[1] != shape[2] or shape[3] not in (1, 3):
        raise ModelError(
            f"{path}: expected one input (None, S, S, 3) and one output (None, {NUM_EMOTIONS}), the model has "
            f"{1 + len(more)} inputs, the first {shape}, and {1 + len(others)} outputs"
        )

    def network(x: Any) -> Any:
        return serve(**{name: tf.convert_to_tensor(x)})[result]

    size = _chosen_size(path, shape, chosen_size)
    return _Source(_one_by_one(network) if shape[0] == 1 else network, size, int(shape[3]), None, loaded)


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
