"""The one interface behind which every runtime stands, and the arithmetic between numbers and 8-bit integers."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from fer_edge.defaults import DEFAULT_BACKEND, DEFAULT_THREADS
from fer_edge.errors import ModelError
from fer_edge.labels import EMOTIONS, NUM_EMOTIONS
from fer_edge.preprocess import INPUT_SCALE, to_float_input, to_int8_input

_UINT8, _INT8 = np.dtype(np.uint8), np.dtype(np.int8)


@dataclass(frozen=True)
class TensorSpec:
    """Name, shape, dtype and quantisation of a model's input or output.

    ``real = (stored - zero_point) * scale``; ``scale`` is 0 for a float tensor.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    scale: float = 0.0
    zero_point: int = 0

    @property
    def is_quantized(self) -> bool:
        """Whether the tensor holds integers that stand for real numbers."""
        return self.scale != 0.0


@dataclass(frozen=True)
class Prediction:
    """The answer for one face: seven probabilities in the order of :data:`fer_edge.labels.EMOTIONS`."""

    probabilities: npt.NDArray[np.float32]

    @property
    def emotion(self) -> str:
        """Name of the most probable emotion."""
        return EMOTIONS[int(np.argmax(self.probabilities))]

    @property
    def confidence(self) -> float:
        """Probability of :attr:`emotion`, in [0, 1]."""
        return float(np.max(self.probabilities))

    def as_dict(self) -> dict[str, float]:
        """``{emotion: probability}`` with plain floats."""
        return {name: float(value) for name, value in zip(EMOTIONS, self.probabilities, strict=True)}


@runtime_checkable
class Classifier(Protocol):
    """Seven-class emotion classifier on some runtime. Open one with :func:`open_classifier`."""

    backend: str
    """Name of the runtime, as in the table of ``fer_edge.backends``."""
    runtime_version: str
    """Package and version that computes, for example ``ai-edge-litert 2.3.0``."""
    model_path: Path
    input_spec: TensorSpec
    output_spec: TensorSpec

    @property
    def input_size(self) -> int:
        """Side of the square input in pixels."""
        ...

    def infer(self, tensor: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Bare network: ``(1, S, S, 3)`` of the input's dtype to ``(1, 7)`` of the output's dtype.

        The result is the caller's own: it does not change with the next call.
        """
        ...

    def predict(self, faces: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Probabilities ``(N, 7)`` float32 of ``(N, S, S)`` uint8 grey faces (see ``preprocess_face``)."""
        ...

    def close(self) -> None:
        """Give the runtime's resources back."""
        ...


class ClassifierBase:
    """What all runtimes do alike around their bare network; a backend adds loading and :meth:`infer`."""

    backend = ""

    def __init__(self, model_path: Path, input_spec: TensorSpec, output_spec: TensorSpec, runtime_version: str) -> None:
        check_specs(model_path, input_spec, output_spec)
        self.model_path = model_path
        self.input_spec = input_spec
        self.output_spec = output_spec
        self.runtime_version = runtime_version
        self._values: npt.NDArray[np.float32] | None = None
        if output_spec.is_quantized and output_spec.dtype.itemsize == 1:
            self._values = dequantize(np.arange(256, dtype=np.uint8).view(output_spec.dtype), output_spec)

    @property
    def input_size(self) -> int:
        """Side of the square input in pixels."""
        return self.input_spec.shape[1]

    def infer(self, tensor: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Bare network, see :meth:`Classifier.infer`."""
        raise NotImplementedError

    def predict(self, faces: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Probabilities of grey faces, see :meth:`Classifier.predict`."""
        tensor = to_model_input(faces, self.input_spec)
        if len(tensor) == 1:  # nothing to take apart or put together: a twentieth of a small network's time
            return self._probabilities(self.infer(tensor))
        out = np.empty((len(tensor), NUM_EMOTIONS), np.float32)
        for i in range(len(tensor)):
            out[i] = self._probabilities(self.infer(tensor[i : i + 1]))[0]
        return out

    def _probabilities(self, stored: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """:func:`dequantize` of the output, by a table of its 256 values where it has no more."""
        if self._values is None:
            return dequantize(stored, self.output_spec)
        return self._values[stored.view(np.uint8)]

    def close(self) -> None:
        """Give the runtime's resources back."""

    def __enter__(self) -> ClassifierBase:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def quantize(values: npt.NDArray[np.float32], spec: TensorSpec) -> npt.NDArray[Any]:
    """Real numbers to the integers of ``spec``: round half to even, saturate (as LiteRT's QUANTIZE does)."""
    info = np.iinfo(spec.dtype)
    steps = np.rint(values / np.float32(spec.scale)) + spec.zero_point
    stored: npt.NDArray[Any] = np.clip(steps, info.min, info.max).astype(spec.dtype)
    return stored


def dequantize(stored: npt.NDArray[Any], spec: TensorSpec) -> npt.NDArray[np.float32]:
    """Integers of ``spec`` to real numbers; a float tensor passes through.

    Widened to int32 before the subtraction: int8 -128 minus a zero point of -128 would wrap around.
    """
    if not spec.is_quantized:
        return stored.astype(np.float32, copy=False)
    return (stored.astype(np.int32) - spec.zero_point).astype(np.float32) * np.float32(spec.scale)


def to_model_input(faces: npt.NDArray[np.uint8], spec: TensorSpec) -> npt.NDArray[Any]:
    """Grey faces ``(N, S, S)`` uint8 to the tensor ``(N, S, S, 3)`` that a model with input ``spec`` takes."""
    size = spec.shape[1]
    if faces.ndim != 3 or faces.shape[1:] != (size, size) or faces.dtype != _UINT8:
        raise ModelError(f"expected faces of shape (N, {size}, {size}) uint8, got {faces.shape} {faces.dtype}")
    if spec.dtype == _INT8 and spec.scale == INPUT_SCALE and spec.zero_point == 0:
        return to_int8_input(faces)
    tensor = to_float_input(faces)
    return quantize(tensor, spec) if spec.is_quantized else tensor


def check_specs(model_path: Path, input_spec: TensorSpec, output_spec: TensorSpec) -> None:
    """Raise :class:`ModelError` unless the model takes ``(1, S, S, 3)`` and gives ``(1, 7)`` in a known dtype."""
    shape = input_spec.shape
    if len(shape) != 4 or shape[0] != 1 or shape[1] != shape[2] or shape[3] != 3 or shape[1] < 1:
        raise ModelError(f"{model_path}: expected an input of shape (1, S, S, 3), the model has {shape}")
    if output_spec.shape != (1, NUM_EMOTIONS):
        raise ModelError(
            f"{model_path}: expected an output of shape (1, {NUM_EMOTIONS}), one value an emotion, "
            f"the model has {output_spec.shape}"
        )
    for spec in (input_spec, output_spec):
        if spec.dtype not in (np.dtype(np.float32), np.dtype(np.int8), np.dtype(np.uint8)):
            raise ModelError(f"{model_path}: tensor {spec.name} has dtype {spec.dtype}; float32, int8 or uint8 work")
        if spec.dtype != np.float32 and not spec.is_quantized:
            raise ModelError(f"{model_path}: tensor {spec.name} is {spec.dtype} but has no quantisation scale")


def open_classifier(
    model: str | os.PathLike[str] | None = None, *, backend: str = DEFAULT_BACKEND, threads: int = DEFAULT_THREADS
) -> Classifier:
    """Open a model file on a runtime.

    ``model`` is a ``.tflite`` or ``.onnx`` file, or a bare name looked up by :func:`fer_edge.models.find_model`;
    None means the INT8 model that comes with the package. ``backend`` is ``auto`` (by the file's suffix) or a name
    from :data:`fer_edge.backends.BACKENDS`. ``threads`` is the number of CPU threads of one inference. A file that no
    ``manifest.json`` beside it vouches for is first checked and tried in a process of its own (``model_check.py``).

    Raises :class:`ModelError` for a bad file, :class:`MissingDependencyError` when the runtime is not installed,
    :class:`UsageError` for an unknown backend.
    """
    from fer_edge.backends import backend_for, load_backend
    from fer_edge.model_check import check_model
    from fer_edge.models import find_model

    chosen = None if backend == "auto" else load_backend(backend)  # a wrong name is told before a missing model
    path = Path("fake") if backend == "fake" else find_model(model)
    name = backend_for(path) if backend == "auto" else backend
    if name != "fake":
        check_model(path, name)
    opened: Classifier = (chosen or load_backend(name))(path, threads=threads)
    return opened
