"""Short names for a TFLite file's ends.

TensorFlow's converter names the tensors of a quantised network after all operations that it merged: the input of ours
had 250 characters, and rknn-toolkit2 2.5.0 fails from 128 on. Names are for people and tools; nothing computes with
them.
"""

from __future__ import annotations

import struct
from typing import Any, Final

from fer_edge.errors import MissingDependencyError, ModelError
from fer_export.convert.qdq_graph import INPUT_NAME, OUTPUT_NAME
from fer_export.tflite_file import read_tflite

__all__ = ["name_ends", "shorten_names"]

_NAME_SLOT: Final[int] = 10
"""Place of ``name`` in the table Tensor of TFLite's schema: the fourth field, 4 + 2 * 3."""


def name_ends(content: bytes) -> bytes:
    """The same TFLite file, its input tensor called ``input`` and its output tensor ``probabilities``.

    New names are put at the end of the file and the tensors pointed to them, so that every other byte stays where it
    is, with its alignment; rewriting the whole file by flatbuffers' Python code would lose the alignment of the
    weights.

    Args:
        content: of a file with one input and one output.

    Returns:
        The renamed file; ``content`` itself where the names are right already.

    Raises:
        ModelError: another number of inputs or outputs, or an inner tensor with one of these names.
        MissingDependencyError: ai-edge-litert, which brings TFLite's schema, is not installed.
    """
    model = read_tflite(content)
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ModelError(
            f"expected one input and one output, the TFLite model has {len(model.inputs)} and {len(model.outputs)}"
        )
    names = {model.inputs[0]: INPUT_NAME, model.outputs[0]: OUTPUT_NAME}
    for tensor in model.tensors:
        if tensor.index not in names and tensor.name in names.values():
            raise ModelError(f"an inner tensor of the TFLite model is called {tensor.name}; rename that layer")
    if all(model.tensors[i].name == name for i, name in names.items()):
        return content
    return _with_names(content, names)


def shorten_names(content: bytes) -> bytes:
    """The same TFLite file, its inner tensors called ``t0``, ``t1`` ...: for tools that keep all names in their files.

    Args:
        content: of a file whose ends :func:`name_ends` has named.

    Returns:
        The renamed file.

    Raises:
        MissingDependencyError: ai-edge-litert, which brings TFLite's schema, is not installed.
    """
    model = read_tflite(content)
    ends = {*model.inputs, *model.outputs}
    return _with_names(content, {each.index: f"t{each.index}" for each in model.tensors if each.index not in ends})


def _with_names(content: bytes, names: dict[int, str]) -> bytes:
    graph = _root(content).Subgraphs(0)
    renamed = bytearray(content)
    for index, name in names.items():
        table = graph.Tensors(index)._tab
        field = table.Pos + table.Offset(_NAME_SLOT)
        if field == table.Pos:  # a tensor without any name, which the converter does not write
            continue
        renamed.extend(b"\0" * (-len(renamed) % 4))
        struct.pack_into("<I", renamed, field, len(renamed) - field)
        renamed += struct.pack("<I", len(name)) + name.encode() + b"\0"
    renamed.extend(b"\0" * (-len(renamed) % 16))
    return bytes(renamed)


def _root(content: bytes) -> Any:
    try:
        from ai_edge_litert import schema_py_generated as schema
    except ImportError as error:
        raise MissingDependencyError.for_extra("ai-edge-litert", "export") from error
    return schema.Model.GetRootAs(content, 0)
