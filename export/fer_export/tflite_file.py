"""The one reader of ``.tflite`` files: operators with versions, tensors with their scales, sizes.

It reads the flatbuffer itself through ``ai_edge_litert.schema_py_generated``. The interpreter's own tensor details are
no substitute: they repeat a single scale once per channel for FULLY_CONNECTED, and hide operator versions.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fer_edge.arrays import FloatArray
from fer_edge.errors import MissingDependencyError, ModelError

__all__ = ["FILE_IDENTIFIER", "Operator", "TFLiteModel", "Tensor", "read_tflite"]

FILE_IDENTIFIER: Final[bytes] = b"TFL3"

_DTYPES: Final[dict[str, str]] = {
    "FLOAT32": "float32",
    "FLOAT16": "float16",
    "INT32": "int32",
    "UINT8": "uint8",
    "INT64": "int64",
    "BOOL": "bool",
    "INT16": "int16",
    "INT8": "int8",
    "FLOAT64": "float64",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "UINT16": "uint16",
}


@dataclass(frozen=True)
class Tensor:
    """One tensor of a model; ``real = (stored - zero_points) * scales``, along ``channel_axis`` if there are several.

    ``scales`` and ``zero_points`` have length 0 (not quantised), 1 (per tensor) or the channel count.
    """

    index: int
    """Place in the model's list of tensors."""
    name: str
    """As the converter gave it."""
    shape: tuple[int, ...]
    """Sizes of the axes; NHWC for images."""
    shape_signature: tuple[int, ...]
    """Like ``shape``, with -1 for an axis whose size the file leaves open."""
    type_name: str
    """The schema's name: ``INT8``, ``FLOAT32``, ``INT4``, ..."""
    scales: FloatArray
    """``(0,)``, ``(1,)`` or ``(channels,)`` float32."""
    zero_points: npt.NDArray[np.int64]
    """The same length, int64."""
    channel_axis: int
    """Axis that several scales belong to."""
    data: bytes | None
    """Content of a constant in C order, None for a computed tensor."""

    @property
    def is_quantized(self) -> bool:
        """Whether the tensor holds integers that stand for real numbers."""
        return len(self.scales) > 0

    @property
    def is_per_channel(self) -> bool:
        """Whether the file has one scale per channel (also when there is one channel only, it does not)."""
        return len(self.scales) > 1

    @property
    def is_constant(self) -> bool:
        """Whether the content is stored in the file."""
        return self.data is not None

    @property
    def dtype(self) -> np.dtype[Any]:
        """The numpy type of the elements.

        Raises:
            ModelError: a type that numpy lacks (INT4, STRING).
        """
        try:
            return np.dtype(_DTYPES[self.type_name])
        except KeyError:
            raise ModelError(f"tensor {self.name} has type {self.type_name}, which is not supported here") from None

    @property
    def scale(self) -> float:
        """The one scale of a per-tensor quantised tensor.

        Raises:
            ModelError: it has none, or several.
        """
        if len(self.scales) != 1:
            raise ModelError(f"tensor {self.name} has {len(self.scales)} scales, expected one")
        return float(self.scales[0])

    @property
    def zero_point(self) -> int:
        """The one zero point of a per-tensor quantised tensor.

        Raises:
            ModelError: it has none, or several.
        """
        if len(self.zero_points) != 1:
            raise ModelError(f"tensor {self.name} has {len(self.zero_points)} zero points, expected one")
        return int(self.zero_points[0])

    @cached_property
    def _array(self) -> npt.NDArray[Any]:
        if self.data is None:
            raise ModelError(f"tensor {self.name} is computed by the network; a constant was expected")
        values = np.frombuffer(self.data, dtype=self.dtype)
        if values.size != int(np.prod(self.shape, dtype=np.int64)):
            raise ModelError(f"tensor {self.name} holds {values.size} values, its shape is {self.shape}")
        return values.reshape(self.shape)

    def array(self) -> npt.NDArray[Any]:
        """Content of a constant.

        Returns:
            Shaped, read-only.

        Raises:
            ModelError: the tensor is computed by the network.
        """
        return self._array


@dataclass(frozen=True)
class Operator:
    """One step of the network; ``inputs`` holds tensor indices, -1 for an optional input that is absent."""

    index: int
    """Place in run order."""
    name: str
    """``CONV_2D``, ``ADD``, ...; for a custom operator its own name, such as ``edgetpu-custom-op``."""
    version: int
    """Of the operator, as the file says."""
    is_custom: bool
    """Whether it is not one of TFLite's own."""
    inputs: tuple[int, ...]
    """Indices of tensors, -1 for an optional input that is absent."""
    outputs: tuple[int, ...]
    """Indices of tensors."""
    options: dict[str, Any]
    """The schema's option fields in camelCase (``strideW``, ``padding``, ``fusedActivationFunction``, ...)."""

    @property
    def activation(self) -> str:
        """Name of the fused activation: ``NONE``, ``RELU``, ``RELU6``, ..."""
        schema = _schema()
        return _enum_name(schema.ActivationFunctionType, int(self.options.get("fusedActivationFunction", 0)))

    @property
    def padding(self) -> str:
        """``SAME`` or ``VALID``, for operators that have a padding."""
        return _enum_name(_schema().Padding, int(self.options.get("padding", 1)))


@dataclass(frozen=True)
class TFLiteModel:
    """A parsed ``.tflite`` file with one subgraph (further ones are counted only)."""

    source: str
    """Path of the file, or ``model`` for bytes."""
    n_bytes: int
    """Size of the file."""
    description: str
    """As the converter wrote it."""
    subgraphs: int
    """How many the file holds; the first is parsed."""
    tensors: tuple[Tensor, ...]
    """All, by index."""
    operators: tuple[Operator, ...]
    """In run order."""
    inputs: tuple[int, ...]
    """Indices of tensors."""
    outputs: tuple[int, ...]
    """Indices of tensors."""

    @property
    def operator_counts(self) -> dict[tuple[str, int], int]:
        """``{(name, version): count}`` in order of first appearance."""
        return dict(Counter((op.name, op.version) for op in self.operators))

    @property
    def parameter_bytes(self) -> int:
        """Bytes of all constants that operators read: weights, biases, axes."""
        used = {i for op in self.operators for i in op.inputs if i >= 0}
        return sum(len(self.tensors[i].data or b"") for i in used)

    def producer(self, tensor: int) -> Operator | None:
        """The operator that computes a tensor.

        Args:
            tensor: its index.

        Returns:
            The operator; None for an input or a constant.
        """
        return next((op for op in self.operators if tensor in op.outputs), None)

    def consumers(self, tensor: int) -> list[Operator]:
        """The operators that read a tensor.

        Args:
            tensor: its index.

        Returns:
            In run order.
        """
        return [op for op in self.operators if tensor in op.inputs]


def read_tflite(model: bytes | str | os.PathLike[str]) -> TFLiteModel:
    """Parse a ``.tflite`` file, or its content.

    Args:
        model: path, or bytes.

    Returns:
        The network.

    Raises:
        ModelError: a file that is missing, truncated or something else.
        MissingDependencyError: ai-edge-litert is not installed.
    """
    if isinstance(model, bytes):
        content, source = model, "model"
    else:
        source = str(model)
        try:
            content = Path(model).read_bytes()
        except OSError as error:
            raise ModelError(f"{source} cannot be read: {error.strerror}") from error
    if content[4:8] != FILE_IDENTIFIER:
        raise ModelError(f"{source} is not a TFLite model (no TFL3 mark); expected a .tflite file")
    try:
        return _parse(content, source)
    except ModelError:
        raise
    except Exception as error:  # a damaged flatbuffer fails in many ways: struct.error, TypeError, IndexError, ...
        raise ModelError(f"{source} is truncated or damaged: it cannot be parsed as TFLite ({error})") from error


def _schema() -> Any:
    try:
        from ai_edge_litert import schema_py_generated
    except ImportError as error:
        raise MissingDependencyError(
            f"ai-edge-litert cannot be imported ({error}); install it with: pip install ai-edge-litert"
        ) from error
    return schema_py_generated


def _parse(content: bytes, source: str) -> TFLiteModel:
    schema = _schema()
    parsed = schema.ModelT.InitFromPackedBuf(content, 0)
    if not parsed.subgraphs:
        raise ModelError(f"{source} holds no network (no subgraph)")
    graph = parsed.subgraphs[0]
    tensors = tuple(_tensor(i, raw, parsed.buffers, content) for i, raw in enumerate(graph.tensors))
    operators = tuple(_operator(i, raw, parsed.operatorCodes) for i, raw in enumerate(graph.operators or []))
    return TFLiteModel(
        source=source,
        n_bytes=len(content),
        description=(parsed.description or b"").decode("utf-8", "replace"),
        subgraphs=len(parsed.subgraphs),
        tensors=tensors,
        operators=operators,
        inputs=tuple(int(i) for i in graph.inputs),
        outputs=tuple(int(i) for i in graph.outputs),
    )


def _ints(values: Any) -> tuple[int, ...]:
    return () if values is None else tuple(int(v) for v in values)


def _tensor(index: int, raw: Any, buffers: list[Any], content: bytes) -> Tensor:
    quantization = raw.quantization
    scales = getattr(quantization, "scale", None)
    zeros = getattr(quantization, "zeroPoint", None)
    buffer = buffers[raw.buffer]
    data: bytes | None = None
    if buffer.data is not None and len(buffer.data) > 0:
        data = np.asarray(buffer.data, dtype=np.uint8).tobytes()
    elif buffer.offset > 1:  # files over 2 GB, and newer writers, keep constants after the flatbuffer
        data = content[buffer.offset : buffer.offset + buffer.size]
    return Tensor(
        index=index,
        name=(raw.name or b"").decode("utf-8", "replace"),
        shape=_ints(raw.shape),
        shape_signature=_ints(raw.shapeSignature) or _ints(raw.shape),
        type_name=_enum_name(_schema().TensorType, raw.type),
        scales=np.asarray([] if scales is None else scales, dtype=np.float32),
        zero_points=np.asarray([] if zeros is None else zeros, dtype=np.int64),
        channel_axis=int(getattr(quantization, "quantizedDimension", 0) or 0),
        data=data,
    )


def _operator(index: int, raw: Any, codes: list[Any]) -> Operator:
    schema = _schema()
    code = codes[raw.opcodeIndex]
    # Files before schema 3a keep the code in a byte of its own; newer ones fill both.
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    is_custom = number == schema.BuiltinOperator.CUSTOM
    name = str((code.customCode or b"custom").decode()) if is_custom else _enum_name(schema.BuiltinOperator, number)
    return Operator(
        index=index,
        name=name,
        version=int(code.version),
        is_custom=is_custom,
        inputs=_ints(raw.inputs),
        outputs=_ints(raw.outputs),
        options=dict(vars(raw.builtinOptions)) if raw.builtinOptions is not None else {},
    )


def _enum_name(enum: Any, value: int) -> str:
    for name, number in vars(enum).items():
        if number == value and not name.startswith("_"):
            return str(name)
    return f"UNKNOWN_{value}"
