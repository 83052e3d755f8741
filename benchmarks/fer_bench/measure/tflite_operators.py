"""The operators of a TFLite model as models of their own, to be timed one by one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from fer_edge.errors import MissingDependencyError

__all__ = ["CutOut", "cut_out_operators", "tflite_macs"]

_CONVOLUTIONS: Final[tuple[str, ...]] = ("CONV_2D", "DEPTHWISE_CONV_2D")


@dataclass(frozen=True)
class CutOut:
    """One operator of a model."""

    index: int
    """Place in run order."""
    operator: str
    """The schema's name, such as ``CONV_2D``."""
    output_shape: tuple[int, ...]
    """Of the first output, batch axis included."""
    n_macs: int
    """Multiply-accumulates; 0 for operators that do not multiply matrices."""
    content: bytes
    """A TFLite file with this operator alone."""
    index_of_next: int = -1
    """For a padding that XNNPACK makes part of the convolution after it: the place of that one; else -1."""
    with_next: bytes | None = None
    """A TFLite file with both, for such a padding."""


def cut_out_operators(content: bytes) -> list[CutOut]:
    """A one-operator model for each operator of a TFLite model.

    XNNPACK fuses a PAD of zeros with the convolution that reads it, where that has no padding of its own and nothing
    else reads the padded image (``xnn_subgraph_fusion`` in XNNPACK's ``subgraph.c``); then both together are cut out,
    too.

    Args:
        content: the file.

    Returns:
        In run order.

    Raises:
        MissingDependencyError: ai-edge-litert, which brings TFLite's schema, is not installed.
    """
    try:
        from ai_edge_litert import schema_py_generated as schema
    except ImportError as error:
        raise MissingDependencyError(f"{error.name} is not installed; pip install ai-edge-litert") from error
    names = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
    whole = schema.ModelT.InitFromPackedBuf(content, 0)
    graph = whole.subgraphs[0]
    kinds = [_kind(whole, operator, names) for operator in graph.operators]
    parts = []
    for index, operator in enumerate(graph.operators):
        shapes = [tuple(int(n) for n in graph.tensors[i].shape) if i >= 0 else () for i in operator.inputs]
        output = tuple(int(n) for n in graph.tensors[operator.outputs[0]].shape)
        following = _fused_with(schema, graph, kinds, index)
        pair = None if following < 0 else _model_of(schema, whole, [operator, graph.operators[following]])
        macs = tflite_macs(kinds[index], shapes, output)
        alone = _model_of(schema, whole, [operator])
        parts.append(CutOut(index, kinds[index], output, macs, alone, following, pair))
    return parts


def _kind(model: Any, operator: Any, names: dict[int, str]) -> str:
    code = model.operatorCodes[operator.opcodeIndex]
    return names[max(code.builtinCode, code.deprecatedBuiltinCode)]


def _fused_with(schema: Any, graph: Any, kinds: Sequence[str], index: int) -> int:
    """Place of the convolution that takes in the padding at ``index``; -1 where it stays an operator."""
    made = int(graph.operators[index].outputs[0])
    readers = [i for i, other in enumerate(graph.operators) if made in [int(t) for t in other.inputs]]
    if kinds[index] != "PAD" or len(readers) != 1 or made in [int(t) for t in graph.outputs]:
        return -1
    options = graph.operators[readers[0]].builtinOptions
    is_plain = kinds[readers[0]] in _CONVOLUTIONS and options.padding == schema.Padding.VALID
    return readers[0] if is_plain else -1


def _model_of(schema: Any, whole: Any, operators: Sequence[Any]) -> bytes:
    """A TFLite file of some operators in a row; its output is that of the last."""
    import flatbuffers

    graph = whole.subgraphs[0]
    order = list(dict.fromkeys(int(i) for member in operators for i in (*member.inputs, *member.outputs) if i >= 0))
    new = {old: i for i, old in enumerate(order)}
    model, sub = schema.ModelT(), schema.SubGraphT()
    model.version, model.subgraphs = whole.version, [sub]
    model.operatorCodes = [whole.operatorCodes[member.opcodeIndex] for member in operators]
    model.buffers, sub.tensors, sub.operators = [schema.BufferT()], [], []
    for old in order:
        tensor = graph.tensors[old]
        copied = schema.TensorT()
        vars(copied).update(vars(tensor))
        copied.buffer = 0
        if _is_constant(whole, tensor):
            model.buffers.append(whole.buffers[tensor.buffer])
            copied.buffer = len(model.buffers) - 1
        sub.tensors.append(copied)
    for place, operator in enumerate(operators):
        copied = schema.OperatorT()
        vars(copied).update(vars(operator))
        copied.opcodeIndex = place
        copied.inputs = [new[int(i)] if i >= 0 else -1 for i in operator.inputs]
        copied.outputs = [new[int(i)] for i in operator.outputs]
        sub.operators.append(copied)
    made = {int(i) for member in operators for i in member.outputs}
    read = dict.fromkeys(int(i) for member in operators for i in member.inputs if i >= 0)
    sub.inputs = [new[i] for i in read if i not in made and not _is_constant(whole, graph.tensors[i])]
    sub.outputs = sub.operators[-1].outputs
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _is_constant(model: Any, tensor: Any) -> bool:
    data = model.buffers[tensor.buffer].data
    return data is not None and len(data) > 0


def tflite_macs(operator: str, inputs: list[tuple[int, ...]], output: tuple[int, ...]) -> int:
    """Multiply-accumulates of an operator from its shapes, NHWC.

    Args:
        operator: the schema's name, such as ``CONV_2D``.
        inputs: shapes of the inputs, in their order.
        output: shape of the output.

    Returns:
        Their number; 0 for operators that do not multiply matrices.
    """
    if operator == "CONV_2D":  # weights (Cout, kh, kw, Cin)
        return math.prod(output) * math.prod(inputs[1][1:])
    if operator == "DEPTHWISE_CONV_2D":  # weights (1, kh, kw, C)
        return math.prod(output) * math.prod(inputs[1][1:3])
    if operator == "FULLY_CONNECTED":  # weights (out, in)
        return math.prod(output) * inputs[1][1]
    return 0
