"""Is this a sound ``.tflite`` file? Offsets, vectors and tables first, then what they say about the network.

The file is a flatbuffer (https://flatbuffers.dev/internals/): tables with a vtable of field offsets, strings and
vectors, all referred to by relative offsets. Field numbers are those of TensorFlow Lite's ``schema.fbs``, version 3.
Needs nothing but the standard library and numpy: it runs on the device before any runtime is imported.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

import numpy as np
import numpy.typing as npt

from fer_edge.errors import ModelError

MAX_TENSOR_BYTES: Final[int] = 1 << 28
MAX_TABLES: Final[int] = 200_000
"""Tables may be shared, so a small file can name very many; MobileNetV2 has about 1,200."""
_ITEM_BYTES: Final[dict[int, float]] = {
    0: 4, 1: 2, 2: 4, 3: 1, 4: 8, 6: 1, 7: 2, 8: 8, 9: 1, 10: 8, 11: 16, 12: 8, 15: 4, 16: 2, 17: 0.5,
}  # fmt: skip
"""Bytes an element by TensorType; strings, resources and variants (5, 13, 14) have no fixed size."""


@dataclass(frozen=True)
class _Scalar:
    form: str
    """As ``struct`` calls it."""


@dataclass(frozen=True)
class _String:
    pass


@dataclass(frozen=True)
class _Numbers:
    dtype: str


@dataclass(frozen=True)
class _Table:
    fields: Mapping[int, Any] = field(default_factory=dict)
    """Field number -> kind; numbers that are not here are bounds-checked only by their offset."""


@dataclass(frozen=True)
class _Tables:
    of: _Table


_ANY = _Table()
_I32, _U32, _I8, _U8, _U64 = _Scalar("<i"), _Scalar("<I"), _Scalar("<b"), _Scalar("<B"), _Scalar("<Q")
_INTS, _BYTES = _Numbers("<i4"), _Numbers("u1")
_QUANTIZATION = _Table({
    0: _Numbers("<f4"), 1: _Numbers("<f4"), 2: _Numbers("<f4"), 3: _Numbers("<i8"), 4: _U8, 5: _ANY, 6: _I32,
})  # fmt: skip
_TENSOR = _Table({
    0: _INTS, 1: _I8, 2: _U32, 3: _String(), 4: _QUANTIZATION, 5: _U8, 6: _ANY, 7: _INTS, 8: _U8, 9: _Tables(_ANY),
})  # fmt: skip
_OPERATOR = _Table({
    0: _U32, 1: _INTS, 2: _INTS, 3: _U8, 4: _ANY, 5: _BYTES, 6: _I8, 7: _BYTES, 8: _INTS, 9: _U64, 10: _U64, 11: _U8,
    12: _ANY,
})  # fmt: skip
_SUBGRAPH = _Table({0: _Tables(_TENSOR), 1: _INTS, 2: _INTS, 3: _Tables(_OPERATOR), 4: _String()})
_TENSOR_MAP = _Table({0: _String(), 1: _U32})
_SIGNATURE = _Table({0: _Tables(_TENSOR_MAP), 1: _Tables(_TENSOR_MAP), 2: _String(), 4: _U32})
_MODEL = _Table({
    0: _U32,
    1: _Tables(_Table({0: _I8, 1: _String(), 2: _I32, 3: _I32})),
    2: _Tables(_SUBGRAPH),
    3: _String(),
    4: _Tables(_Table({0: _BYTES, 1: _U64, 2: _U64})),
    5: _INTS,
    6: _Tables(_Table({0: _String(), 1: _U32})),
    7: _Tables(_SIGNATURE),
})  # fmt: skip

_CONV, _DEPTHWISE, _AVERAGE_POOL, _MAX_POOL = 3, 4, 1, 17
_POSITIVE_OPTIONS: Final[dict[int, tuple[int, dict[int, int]]]] = {
    _CONV: (1, {1: 0, 2: 0, 4: 1, 5: 1}),
    _DEPTHWISE: (2, {1: 0, 2: 0, 5: 1, 6: 1}),
    _AVERAGE_POOL: (5, {1: 0, 2: 0, 3: 0, 4: 0}),
    _MAX_POOL: (5, {1: 0, 2: 0, 3: 0, 4: 0}),
}
"""Operator -> its type of options, and int32 fields in them that must be positive (strides, dilations, filter sizes)
with their defaults: kernels divide by them."""
_MAX_STEP: Final[int] = 1 << 15


def check_tflite(content: bytes) -> None:
    """Raise :class:`ModelError`, saying what is wrong, for a file that a runtime should not be given."""
    if len(content) < 8 or content[4:8] != b"TFL3":
        _refuse("no TFL3 mark")
    reader = _Reader(content)
    model = reader.table(reader.offset(0), _MODEL, "model")
    if model.get(0) != 3:
        _refuse(f"schema version {model.get(0)}, expected 3")
    graphs = model.get(2) or []
    if not graphs:
        _refuse("it has no graph")
    for index, graph in enumerate(graphs):
        _check_graph(graph, model, f"graph {index}", reader)
    for signature in model.get(7) or []:
        number = signature.get(4) or 0
        if number >= len(graphs):
            _refuse(f"a signature is of graph {number}, there are {len(graphs)}")
        for ends in (signature.get(0), signature.get(1)):
            for end in ends or []:
                _check_index(end.get(1) or 0, len(graphs[number].get(0) or []), "a signature's tensor")
    for metadata in model.get(6) or []:
        _check_index(metadata.get(1) or 0, len(model.get(4) or []), "a metadata's buffer")


def _check_graph(graph: dict[int, Any], model: dict[int, Any], where: str, reader: _Reader) -> None:
    tensors, operators = graph.get(0) or [], graph.get(3) or []
    codes, buffers = model.get(1) or [], model.get(4) or []
    for index, tensor in enumerate(tensors):
        _check_tensor(tensor, buffers, f"tensor {index} of {where}")
    for ends, what in ((graph.get(1), "an input"), (graph.get(2), "an output")):
        for index in _numbers(ends):
            _check_index(index, len(tensors), f"{what} of {where}")
    for number, operator in enumerate(operators):
        name = f"operator {number} of {where}"
        _check_index(operator.get(0) or 0, len(codes), f"the code of {name}")
        for index in _numbers(operator.get(1)):
            if index != -1:  # an optional input that is absent
                _check_index(index, len(tensors), f"an input of {name}")
        for key in (2, 8):
            for index in _numbers(operator.get(key)):
                _check_index(index, len(tensors), f"an output of {name}")
        if operator.get(9) or operator.get(10):
            _refuse(f"{name} keeps its options outside the model")
        code = codes[operator.get(0) or 0]
        # Numbers above 127 stand in the newer field; the older one then holds 127.
        _check_options(operator, max(code.get(0) or 0, code.get(3) or 0), name, reader)


def _check_tensor(tensor: dict[int, Any], buffers: list[dict[int, Any]], where: str) -> None:
    number = tensor.get(2) or 0
    _check_index(number, len(buffers), f"the buffer of {where}")
    shape = _numbers(tensor.get(0))
    if any(size < 0 for size in shape):
        _refuse(f"{where} has shape {shape}")
    kind = tensor.get(1) or 0
    item = _ITEM_BYTES.get(kind)
    if item is None and kind not in (5, 13, 14):
        _refuse(f"{where} has an unknown type {kind}")
    size = math.prod(shape) * (item or 1)
    if size > MAX_TENSOR_BYTES:
        _refuse(f"{where} has shape {shape}, {size / 2**20:.0f} MiB")
    buffer = buffers[number]
    if (buffer.get(1) or 0) > 1 or (buffer.get(2) or 0) > 1:
        _refuse(f"{where} is kept outside the model")
    data = buffer.get(0)
    if data is not None and len(data) and item and len(data) != math.ceil(size):
        _refuse(f"{where} has shape {shape} but {len(data)} bytes")
    _check_quantization(tensor.get(4) or {}, shape, where)


def _check_quantization(quantization: dict[int, Any], shape: list[int], where: str) -> None:
    scales, zeros = quantization.get(2), quantization.get(3)
    if scales is None or not len(scales):
        return
    if not np.all(np.isfinite(scales)) or np.any(scales < 0):
        _refuse(f"{where} has a scale that is negative or not finite")
    if zeros is not None and len(zeros) not in (1, len(scales)):
        _refuse(f"{where} has {len(scales)} scales and {len(zeros)} zero points")
    axis = quantization.get(6) or 0
    if len(scales) > 1 and (not 0 <= axis < len(shape) or shape[axis] != len(scales)):
        _refuse(f"{where} has {len(scales)} scales along axis {axis} of {shape}")


def _check_options(operator: dict[int, Any], code: int, where: str, reader: _Reader) -> None:
    positive = _POSITIVE_OPTIONS.get(code)
    if positive is None:
        return
    kind, fields = positive
    options = operator.get(4)
    if (operator.get(3) or 0) != kind or options is None:
        _refuse(f"{where} has no options, or those of another operator")
    for number, default in fields.items():
        value = reader.number(options["at"], number, default)
        if not 0 < value <= _MAX_STEP:
            _refuse(f"{where} has a step or a filter size of {value}")


def _numbers(values: npt.NDArray[Any] | None) -> list[int]:
    return [] if values is None else [int(value) for value in values]


def _check_index(index: int, count: int, what: str) -> None:
    if not 0 <= index < count:
        _refuse(f"{what} is number {index} of {count}")


def _refuse(why: str) -> NoReturn:
    raise ModelError(why)


class _Reader:
    """Follows offsets, never out of the file."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._n_tables = 0

    def table(self, at: int, kind: _Table, where: str) -> dict[Any, Any]:
        """Field number -> value of a table; ``"at"`` is where it stands. Fields that are absent are left out."""
        self._n_tables += 1
        if self._n_tables > MAX_TABLES:
            _refuse(f"more than {MAX_TABLES} tables")
        offsets, size = self._fields(at, where)
        fields: dict[Any, Any] = {"at": at}
        for number, inner in kind.fields.items():
            offset = offsets[number] if number < len(offsets) else 0
            if offset:
                fields[number] = self._value(at + offset, inner, f"{where}.{number}", at + size)
        return fields

    def number(self, at: int, number: int, default: int) -> int:
        """An int32 field of the table at ``at``."""
        offsets, size = self._fields(at, "options")
        offset = offsets[number] if number < len(offsets) else 0
        if not offset:
            return default
        if offset + 4 > size:
            _refuse("an option lies outside of its table")
        return int(self._unpack("<i", at + offset))

    def offset(self, at: int) -> int:
        """Where the offset at ``at`` leads."""
        distance = int(self._unpack("<I", at))
        if distance == 0 or at + distance >= len(self._content):
            _refuse(f"an offset at byte {at} leads out of the file; truncated?")
        return at + distance

    def _fields(self, at: int, where: str) -> tuple[tuple[int, ...], int]:
        """Offsets of the fields of a table, 0 for an absent one, and the size of the table."""
        vtable = at - int(self._unpack("<i", at))
        if at % 4 or vtable % 2 or vtable < 0:
            _refuse(f"{where}: no table at byte {at}")
        vtable_size, size = int(self._unpack("<H", vtable)), int(self._unpack("<H", vtable + 2))
        inside = vtable + vtable_size <= len(self._content) and at + size <= len(self._content)
        if vtable_size < 4 or vtable_size % 2 or size < 4 or not inside:
            _refuse(f"{where}: no table at byte {at}")
        offsets = struct.unpack_from(f"<{(vtable_size - 4) // 2}H", self._content, vtable + 4)
        if any(offset and not 4 <= offset < size for offset in offsets):
            _refuse(f"{where}: a field lies outside of its table")
        return offsets, size

    def _value(self, at: int, kind: Any, where: str, end: int) -> Any:
        if isinstance(kind, _Scalar):
            size = struct.calcsize(kind.form)
            if at % size or at + size > end:
                _refuse(f"{where}: a number lies outside of its table")
            return self._unpack(kind.form, at)
        if at % 4:
            _refuse(f"{where}: an offset at an odd place")
        place = self.offset(at)
        if isinstance(kind, _Table):
            return self.table(place, kind, where)
        if isinstance(kind, _Tables):
            start, length = self._vector(place, 4, where)
            return [self.table(self.offset(start + 4 * i), kind.of, f"{where}[{i}]") for i in range(length)]
        if isinstance(kind, _Numbers):
            dtype = np.dtype(kind.dtype)
            start, length = self._vector(place, dtype.itemsize, where)
            return np.frombuffer(self._content, dtype, length, start)
        start, length = self._vector(place, 1, where)
        if start + length >= len(self._content) or self._content[start + length] != 0:
            _refuse(f"{where}: unterminated text")
        try:
            return self._content[start : start + length].decode()
        except UnicodeDecodeError:  # the runtime's own Python would raise it
            _refuse(f"{where}: a text that is not UTF-8")

    def _vector(self, at: int, item: int, where: str) -> tuple[int, int]:
        """Start and length of a vector of items of ``item`` bytes."""
        length = int(self._unpack("<I", at))
        start = at + 4
        if at % 4 or start % min(item, 8) or start + length * item > len(self._content):
            _refuse(f"{where}: {length} values at byte {at} lead out of the file; truncated?")
        return start, length

    def _unpack(self, form: str, at: int) -> int | float:
        if not 0 <= at <= len(self._content) - struct.calcsize(form):
            _refuse(f"byte {at} lies outside of the file; truncated?")
        value: int | float = struct.unpack_from(form, self._content, at)[0]
        return value
