"""Where quantisation loses precision: signal to noise of every layer, on real faces.

Two references tell two stories. The *shadow* is the INT8 network itself, with the same 8-bit weights, but activations
left as real numbers: what an INT8 activation differs from it is what rounding activations has cost up to that layer.
The *float model* differs by everything: rounded weights, rounded activations and, after QAT, further training.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fer_edge.arrays import FloatArray
from fer_edge.dependencies import import_onnxruntime
from fer_edge.errors import MissingDependencyError
from fer_edge.preprocess import to_float_input, to_int8_input
from fer_export.convert.qdq_graph import INPUT_NAME
from fer_export.convert.qdq_writer import float_shadow
from fer_export.tflite_file import Tensor, TFLiteModel, read_tflite

__all__ = ["MAX_FACES", "LayerError", "exposed", "layer_errors", "signal_to_noise_db"]

MAX_FACES: Final[int] = 32
_EPSILON: Final[float] = 1e-12
_BOOKKEEPING: Final[frozenset[str]] = frozenset({"PAD", "QUANTIZE", "DEQUANTIZE", "RESHAPE"})


@dataclass(frozen=True)
class LayerError:
    """Precision of one operator's INT8 output, in decibels of signal to noise; higher is better, 6 dB is one bit."""

    index: int
    """Place of the operator in the model."""
    operator: str
    """The schema's name, such as ``CONV_2D``."""
    shape: tuple[int, ...]
    """Of its output, NHWC, batch axis included."""
    snr_shadow_db: float
    """Against the same 8-bit weights with activations left as real numbers."""
    snr_float_db: float | None
    """Against the float model; None where its operators do not correspond one to one."""
    saturated: float
    """Fraction of values at the upper end of the 8-bit range."""


def signal_to_noise_db(reference: npt.NDArray[Any], other: npt.NDArray[Any]) -> float:
    """``10 log10(sum(reference**2) / sum((reference - other)**2))``.

    Args:
        reference: any shape.
        other: the same shape.

    Returns:
        In decibels; infinite for equal arrays.
    """
    signal = float(np.square(reference, dtype=np.float64).sum())
    noise = float(np.square(reference.astype(np.float64) - other).sum())
    if noise <= _EPSILON * signal:
        return math.inf
    return 10.0 * math.log10(max(signal, _EPSILON) / noise)


def layer_errors(int8: bytes, floating: bytes | None, faces: npt.NDArray[np.uint8]) -> list[LayerError]:
    """Errors of all layers of an INT8 TFLite file.

    Args:
        int8: content of the file.
        floating: content of the float file of the same network; None where there is none.
        faces: ``(N, S, S)`` uint8; the first 32 are used.

    Returns:
        An error per operator that computes, in network order.

    Raises:
        ModelError: a file that cannot be read, or an operator without a counterpart in the shadow.
        MissingDependencyError: onnx, onnxruntime or ai-edge-litert is not installed.
    """
    faces = faces[:MAX_FACES]
    model = read_tflite(int8)
    operators = [op for op in model.operators if op.name not in _BOOKKEEPING]
    stored = _tflite_activations(int8, to_int8_input(faces))
    shadow = _shadow_activations(model, to_float_input(faces))
    twins = _float_twins(model, floating, faces) if floating is not None else {}
    errors = []
    for op in operators:
        tensor = model.tensors[op.outputs[0]]
        steps = stored[tensor.index]
        real = (steps.astype(np.float32) - tensor.zero_point) * np.float32(tensor.scale)
        twin = twins.get(tensor.index)
        errors.append(
            LayerError(
                index=op.index,
                operator=op.name,
                shape=tensor.shape,
                snr_shadow_db=signal_to_noise_db(shadow[tensor.index], real),
                snr_float_db=None if twin is None else signal_to_noise_db(twin, real),
                saturated=float(np.mean(steps == 127)),
            )
        )
    return errors


def exposed(content: bytes) -> bytes:
    """The same TFLite network with every activation as a further output, computed by the same kernels.

    The interpreter's ``experimental_preserve_all_tensors`` would not do: it shows nothing inside XNNPACK's part, and
    the built-in kernels that it can show round otherwise.

    Args:
        content: the file.

    Returns:
        The new file; its first output is the network's own.

    Raises:
        MissingDependencyError: ai-edge-litert, which brings TFLite's schema, is not installed.
    """
    try:
        import flatbuffers
        from ai_edge_litert import schema_py_generated as schema
    except ImportError as error:
        raise MissingDependencyError.for_extra("ai-edge-litert", "export") from error
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    graph = model.subgraphs[0]
    result = int(graph.outputs[0])
    made = [int(t) for op in graph.operators for t in op.outputs]
    graph.outputs = [result, *(t for t in made if t != result)]
    model.signatureDefs = None
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _tflite_activations(content: bytes, inputs: npt.NDArray[Any]) -> dict[int, npt.NDArray[Any]]:
    """``{tensor index: (N, ...)}`` of all activations, NHWC, by LiteRT as it runs on devices."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=exposed(content), num_threads=1)
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]["index"]
    indices = [int(details["index"]) for details in interpreter.get_output_details()]
    rows: dict[int, list[npt.NDArray[Any]]] = {i: [] for i in indices}
    for tensor in inputs:
        interpreter.set_tensor(source, tensor[None])
        interpreter.invoke()
        for i in indices:
            rows[i].append(interpreter.get_tensor(i))
    return {i: np.concatenate(parts) for i, parts in rows.items()}


def _shadow_activations(model: TFLiteModel, inputs: FloatArray) -> dict[int, npt.NDArray[Any]]:
    ort = import_onnxruntime()
    options = ort.SessionOptions()
    options.log_severity_level = 4
    proto = float_shadow(model)
    session = ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()][1:]
    rows: dict[int, list[npt.NDArray[Any]]] = {int(name[1:]): [] for name in names}
    for tensor in inputs:
        for name, value in zip(names, session.run(names, {INPUT_NAME: tensor[None]}), strict=True):
            rows[int(name[1:])].append(_as_nhwc(value, model.tensors[int(name[1:])]))
    return {i: np.concatenate(parts) for i, parts in rows.items()}


def _as_nhwc(value: npt.NDArray[Any], tensor: Tensor) -> npt.NDArray[Any]:
    return value.transpose(0, 2, 3, 1) if len(tensor.shape) == 4 else value


def _float_twins(model: TFLiteModel, floating: bytes, faces: npt.NDArray[np.uint8]) -> dict[int, npt.NDArray[Any]]:
    """Float activations by the INT8 tensor that they correspond to; empty when the operators do not match."""
    twin = read_tflite(floating)
    ours = [op for op in model.operators if op.name not in _BOOKKEEPING]
    theirs = [op for op in twin.operators if op.name not in _BOOKKEEPING]
    shapes = [(op.name, model.tensors[op.outputs[0]].shape) for op in ours]
    if shapes != [(op.name, twin.tensors[op.outputs[0]].shape) for op in theirs]:
        return {}
    values = _tflite_activations(floating, to_float_input(faces))
    return {a.outputs[0]: values[b.outputs[0]] for a, b in zip(ours, theirs, strict=True)}
