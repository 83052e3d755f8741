"""Is this a sound ``.onnx`` file? Its protocol buffer is walked through, tensors and references are checked.

Field numbers are those of ``onnx.proto``. Needs the standard library only: it runs on the device before any runtime is
imported, and a runtime's own parser never sees a file that is refused here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final, NoReturn

from fer_edge.errors import ModelError

MAX_TENSOR_BYTES: Final[int] = 1 << 28
MAX_DEPTH: Final[int] = 16
MAX_FIELDS: Final[int] = 1_000_000
_ITEM_BYTES: Final[dict[int, float]] = {
    1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 12: 4, 13: 8, 14: 8, 15: 16, 16: 2, 17: 1, 18: 1,
    19: 1, 20: 1, 21: 0.5, 22: 0.5, 23: 0.5,
}  # fmt: skip
"""Bytes an element by TensorProto.DataType; strings (8) have none."""
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_Field = tuple[int, int, int | memoryview]
"""Number, wire type, and the number or the bytes."""


def check_onnx(content: bytes) -> None:
    """Raise :class:`ModelError`, saying what is wrong, for a file that a runtime should not be given."""
    walker = _Walker()
    version, graphs, opsets = 0, 0, 0
    for number, wire, value in walker.fields(memoryview(content), "model"):
        if number == 1 and wire == _VARINT and isinstance(value, int):
            version = value
        elif number == 7:
            walker.graph(_message(wire, value, "graph"), 1)
            graphs += 1
        elif number == 8:
            list(walker.fields(_message(wire, value, "opset"), "opset"))
            opsets += 1
        elif number == 20:
            _refuse("it holds training information; an inference model was expected")
        elif number == 25:
            walker.function(_message(wire, value, "function"), 1)
    if not 1 <= version <= 100 or graphs != 1 or opsets < 1:
        _refuse(f"IR version {version}, {graphs} graphs, {opsets} operator sets; expected one graph and its versions")


class _Walker:
    """Goes through messages, never out of the file and never without end."""

    def __init__(self) -> None:
        self._n_fields = 0

    def fields(self, data: memoryview, where: str) -> Iterator[_Field]:
        """The fields of one message."""
        at, end = 0, len(data)
        while at < end:
            self._n_fields += 1
            if self._n_fields > MAX_FIELDS:
                _refuse(f"more than {MAX_FIELDS} fields")
            key, at = _varint(data, at, where)
            number, wire = key >> 3, key & 7
            if number == 0:
                _refuse(f"{where}: field number 0")
            if wire == _VARINT:
                value, at = _varint(data, at, where)
                yield number, wire, value
            elif wire == _BYTES:
                length, at = _varint(data, at, where)
                if length > end - at:
                    _refuse(f"{where}: {length} bytes where {end - at} are left; truncated?")
                yield number, wire, data[at : at + length]
                at += length
            elif wire in (_FIXED64, _FIXED32):
                size = 8 if wire == _FIXED64 else 4
                if size > end - at:
                    _refuse(f"{where}: ends in the middle of a number; truncated?")
                yield number, wire, data[at : at + size]
                at += size
            else:
                _refuse(f"{where}: unknown wire type {wire}")

    def graph(self, data: memoryview, depth: int) -> None:
        """A GraphProto."""
        if depth > MAX_DEPTH:
            _refuse(f"graphs within graphs, more than {MAX_DEPTH} deep")
        for number, wire, value in self.fields(data, "graph"):
            if number == 1:
                self.node(_message(wire, value, "node"), depth)
            elif number == 5:
                self.tensor(_message(wire, value, "initializer"))
            elif number == 15:
                for inner, kind, content in self.fields(_message(wire, value, "sparse initializer"), "sparse"):
                    if inner in (1, 2):
                        self.tensor(_message(kind, content, "sparse initializer"))
            elif number in (11, 12, 13):
                for _ in self.fields(_message(wire, value, "value"), "value"):
                    pass

    def function(self, data: memoryview, depth: int) -> None:
        """A FunctionProto."""
        for number, wire, value in self.fields(data, "function"):
            if number == 7:
                self.node(_message(wire, value, "node"), depth)

    def node(self, data: memoryview, depth: int) -> None:
        """A NodeProto."""
        for number, wire, value in self.fields(data, "node"):
            if number == 5:
                self._attribute(_message(wire, value, "attribute"), depth)

    def _attribute(self, data: memoryview, depth: int) -> None:
        for number, wire, value in self.fields(data, "attribute"):
            if number in (5, 10):
                self.tensor(_message(wire, value, "tensor"))
            elif number in (6, 11):
                self.graph(_message(wire, value, "graph"), depth + 1)

    def tensor(self, data: memoryview) -> None:
        """A TensorProto: its shape must fit its content, which must be in this file."""
        shape: list[int] = []
        kind, raw = 0, None
        for number, wire, value in self.fields(data, "tensor"):
            if number == 1:
                shape += _packed(wire, value)
            elif number == 2 and isinstance(value, int):
                kind = value
            elif number == 9:
                raw = len(_message(wire, value, "raw data"))
            elif number == 13 or (number == 14 and value != 0):
                _refuse("a tensor is kept in another file; expected a model in one file")
        if any(not 0 <= size < 1 << 31 for size in shape):
            _refuse(f"a tensor has shape {shape}")
        item = _ITEM_BYTES.get(kind)
        if item is None and kind != 8:
            _refuse(f"a tensor has an unknown type {kind}")
        size = math.prod(shape) * (item or 1)
        if size > MAX_TENSOR_BYTES:
            _refuse(f"a tensor has shape {shape}, {size / 2**20:.0f} MiB")
        if raw is not None and item and raw != math.ceil(size):
            _refuse(f"a tensor has shape {shape} but {raw} bytes")


def _packed(wire: int, value: int | memoryview) -> list[int]:
    """Repeated integers, one a field or all in one."""
    if isinstance(value, int):
        return [value]
    if wire != _BYTES:
        _refuse("a shape that is not integers")
    names, at = [], 0
    while at < len(value):
        number, at = _varint(value, at, "shape")
        names.append(number)
    return names


def _message(wire: int, value: int | memoryview, where: str) -> memoryview:
    if wire != _BYTES or isinstance(value, int):
        _refuse(f"{where}: expected a message")
    return value


def _varint(data: memoryview, at: int, where: str) -> tuple[int, int]:
    """A number of up to ten bytes, and where it ends."""
    value, shift, byte = 0, 0, 0x80
    while byte >= 0x80:
        if at >= len(data) or shift > 63:
            _refuse(f"{where}: unterminated varint; truncated?")
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
    return value & 0xFFFF_FFFF_FFFF_FFFF, at


def _refuse(why: str) -> NoReturn:
    raise ModelError(why)
