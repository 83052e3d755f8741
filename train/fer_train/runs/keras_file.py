"""A Keras file from anywhere, read without running what it carries.

A Keras file may hold a program: a Lambda layer stores Python byte code, a layer may name a class of any module, and an
operation layer any function of TensorFlow, those that write files among them. So the description of the network is read
first, as JSON, and only then given to Keras, with its safe mode on. There is no second way in.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from fer_edge.errors import MissingDependencyError, ModelError
from fer_edge.labels import NUM_EMOTIONS

__all__ = ["MAX_DESCRIPTION_BYTES", "import_tf_keras", "load_keras_file", "refuse_code"]

_MODULES: Final[tuple[str, ...]] = ("keras", "tf_keras", "builtins")
_CODE_LAYERS: Final[frozenset[str]] = frozenset(
    {"Lambda", "__lambda__", "__typespec__", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"}
)
"""Layers that are byte code, a pickle, or a SavedModel beside the file."""
_FILE_LAYERS: Final[frozenset[str]] = frozenset({"StringLookup", "IntegerLookup", "TextVectorization"})
"""Layers that read a file or an address when they are made."""
_ROOMS: Final[frozenset[str]] = frozenset(
    {"activations", "constraints", "dtype_policies", "engine", "initializers", "layers", "losses", "metrics",
     "mixed_precision", "models", "ops", "optimizers", "random", "regularizers"}
)  # fmt: skip
"""The parts of Keras that networks are made of; others fetch files (``utils``) or load further models (``saving``)."""
_PARTS_OF_CONVNEXT: Final[frozenset[tuple[str, str]]] = frozenset(
    ("keras.src.applications.convnext", name) for name in ("LayerScale", "StochasticDepth")
)
"""Layers of arithmetic alone that Keras keeps beside one of its networks."""
_OPERATIONS: Final[tuple[str, ...]] = ("math.", "nn.", "__operators__.", "linalg.", "image.resize", "compat.v1.nn.")
_OPERATIONS_BY_NAME: Final[frozenset[str]] = frozenset(
    {"cast", "clip_by_value", "concat", "expand_dims", "identity", "reshape", "shape", "split", "squeeze", "stack",
     "strided_slice", "tile", "transpose", "unstack", "where", "zeros_like", "ones_like", "pad", "gather",
     "compat.v1.shape", "compat.v1.squeeze", "compat.v1.gather", "keras.activations.swish", "keras.activations.silu",
     "keras.activations.relu", "keras.activations.gelu", "keras.activations.hard_sigmoid"}
)  # fmt: skip
"""TensorFlow functions that operation layers of ``tf.keras`` may name: arithmetic on tensors alone."""
_PRECISIONS: Final[frozenset[str]] = frozenset({"float16", "bfloat16", "float64", "mixed_float16", "mixed_bfloat16"})
_UNKNOWN_CLASS: Final[re.Pattern[str]] = re.compile(
    r"(?:Unknown \w+:|[Cc]ould not locate (?:class|function)|Cannot deserialize object of type) ['\"`]?([\w>]+)"
)
_OWN_KINDS: Final[frozenset[str]] = frozenset({"Functional", "Sequential", "Model"})
"""What one Keras does not find in files of the other."""
_EXPORT_INSTEAD: Final[str] = (
    "save the model with model.export(FOLDER) where that code is, and give the SavedModel folder"
)
MAX_DESCRIPTION_BYTES: Final[int] = 64 * 2**20


def load_keras_file(path: Path, *, any_size: bool = False) -> Any:
    """A user's model from ``.keras`` or ``.h5``, by Keras 3 or, for files that Keras 3 cannot read, by tf_keras.

    Args:
        path: the file.
        any_size: whether S may be left open.

    Returns:
        A Keras model with input ``(N, S, S, 3)`` or ``(N, S, S, 1)`` and output ``(N, 7)``, that computes in float32;
        N is 1 or open.

    Raises:
        ModelError: when it is not a Keras file, carries code, or has another input or output.
    """
    refuse_code(path)
    tf_keras = import_tf_keras()
    import keras

    problems: list[str] = []
    unknown: list[str] = []
    model = None
    for reader in (keras, tf_keras):
        try:
            model = reader.models.load_model(path, compile=False, safe_mode=True)
            break
        except Exception as error:  # the two libraries raise nearly anything for a file that is not theirs
            unknown += [name for name in _UNKNOWN_CLASS.findall(str(error)) if name not in _OWN_KINDS]
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
            problems.append(f"{reader.__name__}: {reason}")
    if model is None and unknown:
        raise ModelError(
            f"{path} needs {unknown[0]}, which is no part of Keras but code of your own, and is not loaded; "
            f"{_EXPORT_INSTEAD}"
        )
    if model is None:
        raise ModelError(f"{path} is not a Keras model that can be read ({'; '.join(problems)})")
    model = _in_float32(path, model)
    shape_in: Any = getattr(model, "input_shape", None)
    shape_out: Any = getattr(model, "output_shape", None)
    square = isinstance(shape_in, tuple) and len(shape_in) == 4 and shape_in[1] == shape_in[2] and shape_in[3] in (1, 3)
    if not square or not (shape_in[1] or any_size) or shape_out not in ((None, NUM_EMOTIONS), (1, NUM_EMOTIONS)):
        raise ModelError(
            f"{path}: expected an input (None, S, S, 3) or (None, S, S, 1) and an output (None, {NUM_EMOTIONS}), "
            f"the model has {shape_in} and {shape_out}"
        )
    return model


def _in_float32(path: Path, model: Any) -> Any:
    """A network that was trained in half precision (``mixed_float16``, ...) again in float32, which TFLite computes in.

    The weights of mixed precision are float32 anyway.
    """
    try:
        config = model.get_config()
    except NotImplementedError:  # a class of its own, which is judged by its shapes
        return model
    changed = _with_plain_dtypes(config)
    if changed == config:
        return model
    try:
        again = type(model).from_config(changed)
        again.set_weights([value.astype(np.float32) for value in model.get_weights()])
    except Exception as error:  # Keras raises nearly anything
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
        raise ModelError(
            f"{path} computes in half or double precision and cannot be read in float32 ({reason}); set the policy "
            "float32, build the network again, give it the weights, and save it"
        ) from error
    return again


def _with_plain_dtypes(value: Any) -> Any:
    """A description with float32 for every other precision; the policies of both Keras are objects with a name."""
    if isinstance(value, (list, tuple)):
        return type(value)(_with_plain_dtypes(item) for item in value)
    if not isinstance(value, dict):
        return value
    if value.get("class_name") in ("DTypePolicy", "Policy") and isinstance(value.get("config"), dict):
        name = value["config"].get("name")
        return value if name not in _PRECISIONS else {**value, "config": {**value["config"], "name": "float32"}}
    return {
        key: "float32" if key == "dtype" and isinstance(item, str) and item in _PRECISIONS else _with_plain_dtypes(item)
        for key, item in value.items()
    }


def refuse_code(path: Path) -> None:
    """Refuse a Keras file whose network holds code.

    Nothing of the file is executed: the description is JSON, in ``config.json`` of a ``.keras`` file and in the
    attribute ``model_config`` of an ``.h5`` file.

    Args:
        path: the file.

    Raises:
        ModelError: the network holds code, or cannot be described.
    """
    for part in (part for description in _descriptions(path) for part in _parts(description)):
        kind = part.get("class_name")
        config = part.get("config")
        name = part.get("name") or (config.get("name") if isinstance(config, dict) else None)
        named = f" ({name})" if isinstance(name, str) else ""
        if isinstance(kind, str) and kind in _CODE_LAYERS:
            raise ModelError(
                f"{path} carries code in a {kind} layer{named}, and is not loaded; build the network from "
                "layers without code (Rescaling, Normalization, Activation) and save it again"
            )
        if set(part) == {"value"} and isinstance(part["value"], list) and isinstance((*part["value"], 0)[0], str):
            raise ModelError(
                f"{path} carries code, a Python lambda as an activation or the like, and is not loaded; name the "
                "function (activation='relu') and save the model again"
            )
        if isinstance(kind, str) and kind in _FILE_LAYERS:
            raise ModelError(f"{path} has a {kind} layer{named}, which reads files, and is not loaded")
        module = part.get("module")
        if isinstance(module, str) and "class_name" in part and (module, kind) not in _PARTS_OF_CONVNEXT:
            _check_module(path, module, named)
        if kind in ("TFOpLambda", "SlicingOpLambda"):
            _check_operation(path, part)


def _check_module(path: Path, module: str, named: str) -> None:
    library, *rest = [word for word in module.split(".") if word not in ("src", "api")]
    if library not in _MODULES:
        raise ModelError(
            f"{path} wants the Python module {module}{named}, and is not loaded; only Keras' own are: {_EXPORT_INSTEAD}"
        )
    if rest and rest[0] not in _ROOMS:
        raise ModelError(f"{path} wants {module}{named}, of which no network is made, and is not loaded")


def _check_operation(path: Path, part: dict[str, Any]) -> None:
    config = part.get("config")
    function = config.get("function") if isinstance(config, dict) else None
    if not isinstance(function, str):
        raise ModelError(f"{path} carries code in an operation layer, and is not loaded")
    if not function.startswith(_OPERATIONS) and function not in _OPERATIONS_BY_NAME:
        raise ModelError(f"{path} calls tf.{function}, which is not arithmetic on tensors, and is not loaded")


def _parts(value: Any) -> Iterator[dict[str, Any]]:
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            yield item
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)


def _descriptions(path: Path) -> list[Any]:
    """The description in the zip and the one in the HDF5 file: a file can be both, and each reader takes another."""
    descriptions = []
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                entry = archive.getinfo("config.json")
                if entry.file_size > MAX_DESCRIPTION_BYTES:
                    raise ModelError(f"{path}: config.json has {entry.file_size} bytes, which no network needs")
                descriptions.append(json.loads(archive.read(entry)))
        import h5py

        if not descriptions or h5py.is_hdf5(path):
            with h5py.File(path, "r") as file:
                text = file.attrs["model_config"]
                descriptions.append(json.loads(text.decode() if isinstance(text, bytes) else text))
    except ImportError as error:
        raise MissingDependencyError.for_extra("h5py", "export") from error
    except KeyError as error:
        raise ModelError(
            f"{path} holds no description of a network; weights alone are not enough: save the whole model with "
            "model.save()"
        ) from error
    except (OSError, ValueError, RecursionError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path} is not a Keras model that can be read: {str(error).splitlines()[0][:120]}") from error
    return descriptions


def import_tf_keras() -> Any:
    """Import ``tf_keras``.

    Returns:
        The module.

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        import tf_keras
    except ImportError as error:
        raise MissingDependencyError.for_extra(error.name or "tf_keras", "train") from error
    return tf_keras
