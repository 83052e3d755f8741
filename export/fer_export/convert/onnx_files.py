"""ONNX files: the float network by tf2onnx, the INT8 network by our own writer, and what ONNX Runtime makes of them."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from fer_edge.dependencies import set_defaults
from fer_edge.errors import MissingDependencyError, ModelError
from fer_export.convert.onnx_layout import fold_pads, int8_as_float_nchw, with_nchw_input
from fer_export.convert.qdq_graph import INPUT_NAME, IR_VERSION, OPSET, OUTPUT_NAME, OnnxTarget
from fer_export.convert.qdq_writer import tflite_to_onnx
from fer_export.log import LOG
from fer_export.tflite_file import read_tflite

__all__ = ["float_nchw_onnx", "float_onnx", "int8_onnx"]


def float_onnx(model: Any, input_size: int) -> bytes:
    """Float ONNX file of a ``tf_keras`` model, opset 13, IR 8.

    The batch axis is fixed to 1, as in the TFLite files; padding is part of the convolutions.

    Args:
        model: called with ``(1, S, S, 3)`` float32, NHWC, gives ``(1, 7)``.
        input_size: S, in pixels.

    Returns:
        The content of the file.

    Raises:
        MissingDependencyError: tensorflow, tf2onnx or onnx is not installed.
        ModelError: the model has other ends, or the result does not pass onnx.checker.
    """
    try:
        import tensorflow as tf

        set_defaults()  # tf2onnx imports onnxruntime where that is installed
        import tf2onnx
    except ImportError as error:
        raise MissingDependencyError.for_extra("tensorflow or tf2onnx", "export") from error

    def network(x: Any) -> Any:
        return tf.identity(model(x, training=False), name=OUTPUT_NAME)

    signature = [tf.TensorSpec((1, input_size, input_size, 3), tf.float32, name=INPUT_NAME)]
    with _quiet():
        proto, _ = tf2onnx.convert.from_function(tf.function(network), input_signature=signature, opset=OPSET)
    proto.ir_version = IR_VERSION
    _rename_ends(proto)
    _spell_out_erfc(proto)
    fold_pads(proto)
    return _checked(proto, "the float ONNX model")


def _spell_out_erfc(proto: Any) -> None:
    """Replace each Erfc, TensorFlow's way to GELU, by ``1 - Erf``: ONNX has no Erfc, and tf2onnx passes it through."""
    from onnx import helper, numpy_helper

    nodes = list(proto.graph.node)
    if not any(node.op_type == "Erfc" for node in nodes):
        return
    unit = "fer_one"
    proto.graph.initializer.append(numpy_helper.from_array(np.asarray(1.0, np.float32), unit))
    del proto.graph.node[:]
    for node in nodes:
        if node.op_type != "Erfc":
            proto.graph.node.append(node)
            continue
        erf = f"{node.output[0]}_erf"
        proto.graph.node.append(helper.make_node("Erf", list(node.input), [erf], name=f"{node.name}_erf"))
        proto.graph.node.append(helper.make_node("Sub", [unit, erf], list(node.output), name=f"{node.name}_sub"))


def int8_onnx(tflite: bytes, onnx_target: OnnxTarget = "x86") -> bytes:
    """INT8 ONNX file of an INT8 TFLite file: the same weights, scales and zero points (see ``qdq_writer``).

    Args:
        tflite: content of the TFLite file.
        onnx_target: ``x86`` for unsigned activations, ``arm`` and ``npu`` for signed ones.

    Returns:
        The content of the ONNX file.

    Raises:
        ModelError: the network is not fully INT8, or uses an operator without a counterpart.
        MissingDependencyError: onnx is not installed.
    """
    return _checked(tflite_to_onnx(read_tflite(tflite), onnx_target), "the INT8 ONNX model")


def float_nchw_onnx(tflite: bytes, float_onnx: bytes) -> bytes:
    """Float ONNX file for tools that quantise by themselves: NCHW, batch 1, pads folded.

    Its weights are those of the INT8 network (of QAT, where that took place); where that network has operators without
    a counterpart, those of the float network.

    Args:
        tflite: content of the INT8 TFLite file.
        float_onnx: content of the float ONNX file.

    Returns:
        The content of the ONNX file.

    Raises:
        ModelError: the result does not pass onnx.checker.
        MissingDependencyError: onnx is not installed.
    """
    try:
        proto = int8_as_float_nchw(read_tflite(tflite))
    except ModelError as error:
        import onnx

        LOG.debug("float NCHW ONNX has the float network's weights: %s", error)
        proto = onnx.load_from_string(float_onnx)
        with_nchw_input(proto)
    return _checked(proto, "the float NCHW ONNX model")


def _checked(proto: Any, what: str) -> bytes:
    import onnx

    try:
        onnx.checker.check_model(proto, full_check=True)
    except onnx.checker.ValidationError as error:
        raise ModelError(f"{what} does not pass onnx.checker: {str(error).splitlines()[0]}") from error
    content: bytes = proto.SerializeToString()
    return content


def _rename_ends(proto: Any) -> None:
    """Give the graph's ends the names that all our ONNX files have; tf2onnx adds suffixes to them."""
    graph = proto.graph
    if len(graph.input) != 1 or len(graph.output) != 1:
        raise ModelError(f"expected one input and one output, the model has {len(graph.input)} and {len(graph.output)}")
    for end, name in ((graph.input[0], INPUT_NAME), (graph.output[0], OUTPUT_NAME)):
        old = end.name
        end.name = name
        for node in graph.node:
            for names in (node.input, node.output):
                for i, used in enumerate(names):
                    if used == old:
                        names[i] = name


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """tf2onnx reports every step on stderr; only its errors matter to a user."""
    logger = logging.getLogger("tf2onnx")
    before = logger.level, os.environ.get("TF_CPP_MIN_LOG_LEVEL")
    logger.setLevel(logging.ERROR)
    with np.errstate(all="ignore"):
        try:
            yield
        finally:
            logger.setLevel(before[0])
