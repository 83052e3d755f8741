"""ONNX graphs as compilers of other chips take them: pads inside the convolutions, input as NCHW, weights as float."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fer_edge.errors import ModelError
from fer_export.convert.qdq_graph import INPUT_NAME, NHWC_TO_NCHW, OUTPUT_NAME
from fer_export.convert.qdq_writer import float_shadow
from fer_export.tflite_file import TFLiteModel

__all__ = ["fold_pads", "int8_as_float_nchw", "with_nchw_input"]

_NCHW_TO_NHWC: Final[tuple[int, ...]] = (0, 2, 3, 1)


def fold_pads(proto: Any) -> None:
    """Put zero padding into the convolutions that read it, in place; what cannot be folded stays as it is.

    tf2onnx leaves ``Pad`` nodes, which rknn-toolkit2 2.5.0 fails on and of which pnnx 20261020 makes a layer that ncnn
    does not know.

    Args:
        proto: an ``onnx.ModelProto`` of opset 13.
    """
    from onnx import numpy_helper

    graph = proto.graph
    constants = {array.name: numpy_helper.to_array(array) for array in graph.initializer}
    ends = {output.name for output in graph.output}
    for pad in [node for node in graph.node if node.op_type == "Pad"]:
        edges = _zero_edges(pad, constants)
        readers = [node for node in graph.node if pad.output[0] in node.input]
        if edges is None or pad.output[0] in ends or not all(_can_fold(node, pad.output[0]) for node in readers):
            continue
        for node in readers:
            _widen(node, edges)
            node.input[0] = pad.input[0]
        graph.node.remove(pad)
    _drop_unread(graph)


def _zero_edges(pad: Any, constants: dict[str, npt.NDArray[Any]]) -> list[int] | None:
    """``[top, left, bottom, right]`` of a Pad that adds zeros around images; None for any other."""
    mode = next((attribute.s for attribute in pad.attribute if attribute.name == "mode"), b"constant")
    names = [name for name in list(pad.input)[1:] if name]
    if mode != b"constant" or not names or any(name not in constants for name in names):
        return None
    amounts = constants[names[0]].ravel().tolist()
    value = float(constants[names[1]].ravel()[0]) if len(names) > 1 else 0.0
    if value != 0.0 or len(amounts) != 8 or min(amounts) < 0 or any(amounts[i] for i in (0, 1, 4, 5)):
        return None
    return [int(amounts[i]) for i in (2, 3, 6, 7)]


def _can_fold(node: Any, padded: str) -> bool:
    automatic = next((attribute.s for attribute in node.attribute if attribute.name == "auto_pad"), b"NOTSET")
    return node.op_type == "Conv" and automatic in (b"NOTSET", b"VALID") and padded not in list(node.input)[1:]


def _widen(node: Any, edges: list[int]) -> None:
    from onnx import helper

    kept = [attribute for attribute in node.attribute if attribute.name not in ("pads", "auto_pad")]
    before = next((list(attribute.ints) for attribute in node.attribute if attribute.name == "pads"), [0, 0, 0, 0])
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute("pads", [a + b for a, b in zip(before, edges, strict=True)])])


def _drop_unread(graph: Any) -> None:
    """Remove constants that nothing reads any more."""
    read = {name for node in graph.node for name in node.input}
    for array in [array for array in graph.initializer if array.name not in read]:
        graph.initializer.remove(array)


def with_nchw_input(proto: Any) -> None:
    """Let a network that takes NHWC take NCHW, in place.

    Args:
        proto: an ``onnx.ModelProto`` with one input, called ``input``.
    """
    from onnx import helper

    graph = proto.graph
    readers = [node for node in graph.node if INPUT_NAME in node.input]
    if len(readers) == 1 and readers[0].op_type == "Transpose" and _permutation(readers[0]) == NHWC_TO_NCHW:
        (transpose,) = readers
        graph.node.remove(transpose)
        _rename_reads(graph, transpose.output[0], INPUT_NAME)
    else:
        inner = f"{INPUT_NAME}_nhwc"
        _rename_reads(graph, INPUT_NAME, inner)
        graph.node.insert(0, helper.make_node("Transpose", [INPUT_NAME], [inner], perm=list(_NCHW_TO_NHWC)))
    sizes = graph.input[0].type.tensor_type.shape.dim
    shape = [sizes[i].dim_value for i in NHWC_TO_NCHW]
    element = graph.input[0].type.tensor_type.elem_type
    graph.input[0].CopyFrom(helper.make_tensor_value_info(INPUT_NAME, element, shape))


def _permutation(node: Any) -> tuple[int, ...]:
    return next((tuple(attribute.ints) for attribute in node.attribute if attribute.name == "perm"), ())


def _rename_reads(graph: Any, old: str, new: str) -> None:
    for node in graph.node:
        for i, name in enumerate(node.input):
            if name == old:
                node.input[i] = new


def int8_as_float_nchw(model: TFLiteModel) -> Any:
    """The INT8 network with its own weights, but in float: for tools that quantise a float network themselves.

    They find the weights that QAT has trained, on the INT8 grid already, so that what they make stays near to the INT8
    TFLite file, whose golden vectors then serve them too.

    Args:
        model: the INT8 network.

    Returns:
        An ``onnx.ModelProto``: float32 ``(1, 3, S, S)``, ``x = (p - 128) / 128``, to ``(1, 7)`` probabilities; batch 1,
        pads folded, no quantisation node.

    Raises:
        ModelError: an operator without a counterpart here.
        MissingDependencyError: onnx is not installed.
    """
    proto = float_shadow(model)
    graph = proto.graph
    del graph.output[1:]  # the activations
    last = graph.node[-1]
    if last.op_type != "Identity" or graph.output[0].name != OUTPUT_NAME:
        raise ModelError("the float form of the INT8 network does not end as expected; report this")
    graph.node.remove(last)
    for node in graph.node:
        for i, name in enumerate(node.output):
            if name == last.input[0]:
                node.output[i] = OUTPUT_NAME
    _fold_weights(graph)
    with_nchw_input(proto)
    _drop_unread(graph)
    proto.graph.name = "fer_float"
    return proto


def _fold_weights(graph: Any) -> None:
    """Compute every DequantizeLinear of a constant now."""
    from onnx import numpy_helper

    constants = {array.name: numpy_helper.to_array(array) for array in graph.initializer}
    for node in [node for node in graph.node if node.op_type == "DequantizeLinear"]:
        if node.input[0] not in constants:
            continue
        stored, scale, zero = (constants[name] for name in node.input)
        axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 1)
        if scale.ndim == 1:
            shape = [1] * stored.ndim
            shape[axis] = -1
            scale, zero = scale.reshape(shape), zero.reshape(shape)
        values = ((stored.astype(np.int64) - zero.astype(np.int64)) * scale.astype(np.float64)).astype(np.float32)
        graph.initializer.append(numpy_helper.from_array(values, node.output[0]))
        graph.node.remove(node)
