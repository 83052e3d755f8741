"""The one interface that every runtime implements, and the arithmetic between numbers and 8-bit integers."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from fer_edge.arrays import FloatArray, Image
from fer_edge.inference.tensors import TensorSpec, check_specs, dequantize, to_model_input
from fer_edge.labels import EMOTIONS, NUM_EMOTIONS

__all__ = ["Classifier", "ClassifierBase", "FunctionClassifier", "Prediction"]


@dataclass(frozen=True)
class Prediction:
    """The answer for one face: seven probabilities in the order of :data:`fer_edge.labels.EMOTIONS`."""

    probabilities: FloatArray
    """``(7,)`` float32, each in [0, 1]."""

    @property
    def emotion(self) -> str:
        """Name of the most probable emotion."""
        return EMOTIONS[int(np.argmax(self.probabilities))]

    @property
    def confidence(self) -> float:
        """Probability of :attr:`emotion`, in [0, 1]."""
        return float(np.max(self.probabilities))

    def as_dict(self) -> dict[str, float]:
        """``{emotion: probability}`` with plain floats.

        Returns:
            Seven pairs in the order of :data:`fer_edge.labels.EMOTIONS`.
        """
        return {name: float(value) for name, value in zip(EMOTIONS, self.probabilities, strict=True)}


@runtime_checkable
class Classifier(Protocol):
    """Seven-class emotion classifier on some runtime. Open one with :func:`open_classifier`."""

    backend: str
    """Name of the runtime, one of ``fer_edge.inference.backends``."""
    model_path: Path
    """The file that was opened."""
    input_spec: TensorSpec
    """Of the input: ``(1, S, S, 3)``, or of one channel, or with the channels first."""
    output_spec: TensorSpec
    """Of the output ``(1, 7)``."""

    @property
    def runtime_version(self) -> str:
        """Package and version that computes, for example ``ai-edge-litert 2.3.0``."""
        ...

    @property
    def input_size(self) -> int:
        """Side of the square input in pixels."""
        ...

    def infer(self, tensor: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Bare network: a tensor as :attr:`input_spec` says to ``(1, 7)`` of the output's dtype.

        The result is the caller's own: it does not change with the next call.

        Args:
            tensor: of :attr:`input_spec`'s shape and dtype (see ``to_model_input``).

        Returns:
            ``(1, 7)`` of :attr:`output_spec`'s dtype.
        """
        ...

    def predict(self, faces: Image) -> FloatArray:
        """Probabilities ``(N, 7)`` float32 of ``(N, S, S)`` uint8 grey faces (see ``preprocess_face``).

        Args:
            faces: ``(N, S, S)`` uint8 grey, S being :attr:`input_size`.

        Returns:
            ``(N, 7)`` float32 in the order of :data:`fer_edge.labels.EMOTIONS`.

        Raises:
            ModelError: ``faces`` has another shape or dtype.
        """
        ...

    def close(self) -> None:
        """Give the runtime's resources back."""
        ...


class ClassifierBase:
    """What all runtimes do alike around their bare network; a backend adds loading and :meth:`infer`.

    Args:
        model_path: the file that was opened.
        input_spec: of the input, see :attr:`Classifier.input_spec`.
        output_spec: of the output ``(1, 7)``.
        runtime_version: package and version that computes, or what finds it out when it is asked for.

    Raises:
        ModelError: the specs are not those of an emotion model.
    """

    backend = ""

    def __init__(
        self,
        model_path: Path,
        input_spec: TensorSpec,
        output_spec: TensorSpec,
        runtime_version: str | Callable[[], str],
    ) -> None:
        check_specs(model_path, input_spec, output_spec)
        self.model_path = model_path
        self.input_spec = input_spec
        self.output_spec = output_spec
        self._version = runtime_version
        self._values: FloatArray | None = None
        if output_spec.is_quantized and output_spec.dtype.itemsize == 1:
            self._values = dequantize(np.arange(256, dtype=np.uint8).view(output_spec.dtype), output_spec)

    @functools.cached_property
    def runtime_version(self) -> str:
        """Package and version that computes."""
        return self._version if isinstance(self._version, str) else self._version()

    @property
    def input_size(self) -> int:
        """Side of the square input in pixels."""
        return self.input_spec.shape[2]  # with the channels first or last

    def infer(self, tensor: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Bare network. See :meth:`Classifier.infer`."""
        raise NotImplementedError

    def predict(self, faces: Image) -> FloatArray:
        """Probabilities of grey faces. See :meth:`Classifier.predict`."""
        tensor = to_model_input(faces, self.input_spec)
        if len(tensor) == 1:  # nothing to take apart or put together: a twentieth of a small network's time
            return self._probabilities(self.infer(tensor))
        out = np.empty((len(tensor), NUM_EMOTIONS), np.float32)
        for i in range(len(tensor)):
            out[i] = self._probabilities(self.infer(tensor[i : i + 1]))[0]
        return out

    def _probabilities(self, stored: npt.NDArray[Any]) -> FloatArray:
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


class FunctionClassifier(ClassifierBase):
    """A classifier from a function that computes the bare network: what most backends need.

    Args:
        backend: name of the backend.
        model_path: the file that was opened.
        input_spec: of the input, see :attr:`Classifier.input_spec`.
        output_spec: of the output ``(1, 7)``.
        runtime_version: package and version that computes.
        compute: from a tensor of ``input_spec`` to a new one of ``output_spec``, see :meth:`Classifier.infer`.

    Raises:
        ModelError: the specs are not those of an emotion model.
    """

    def __init__(
        self,
        backend: str,
        model_path: Path,
        input_spec: TensorSpec,
        output_spec: TensorSpec,
        runtime_version: str,
        compute: Callable[[npt.NDArray[Any]], npt.NDArray[Any]],
    ) -> None:
        super().__init__(model_path, input_spec, output_spec, runtime_version)
        self.backend = backend
        self._compute = compute

    def infer(self, tensor: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """See :meth:`Classifier.infer`."""
        return self._compute(tensor)
