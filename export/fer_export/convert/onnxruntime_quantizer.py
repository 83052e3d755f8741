"""INT8 ONNX by ONNX Runtime's own quantiser, for networks with operators that our writer does not know.

The result is a second quantised network, with ranges of its own, not the one of the INT8 TFLite file; whoever uses it
has to judge it by itself. Its ends are those of the contract: int8 with scale 1/128 in, int8 with scale 1/256 out.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fer_edge.dependencies import import_runtime
from fer_edge.errors import MissingDependencyError, ModelError
from fer_edge.preprocess import INPUT_SCALE, OUTPUT_SCALE, OUTPUT_ZERO_POINT, to_float_input
from fer_export.convert.qdq_graph import INPUT_NAME, OUTPUT_NAME, OnnxTarget

__all__ = ["quantize_with_onnxruntime"]


def quantize_with_onnxruntime(float_onnx: bytes, faces: npt.NDArray[np.uint8], onnx_target: OnnxTarget) -> bytes:
    """Static quantisation (QDQ, weights per channel, MinMax ranges) of a float ONNX file of ours.

    Args:
        float_onnx: the file, float32 ``(1, S, S, 3)`` to ``(1, 7)``.
        faces: ``(N, S, S)`` uint8, to measure the ranges of activations on.
        onnx_target: ``x86`` for unsigned activations, ``arm`` and ``npu`` for signed ones.

    Returns:
        The INT8 file.

    Raises:
        MissingDependencyError: without onnx or onnxruntime.
        ModelError: when ONNX Runtime cannot quantise the network.
    """
    try:
        import onnx

        quantization: Any = import_runtime("onnxruntime.quantization")
        quant_pre_process = import_runtime("onnxruntime.quantization.shape_inference").quant_pre_process
    except ImportError as error:
        raise MissingDependencyError.for_extra("onnx or onnxruntime", "export") from error

    class Faces(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._batches = _batches(faces)

        def get_next(self) -> dict[str, Any] | None:
            return next(self._batches, None)

    with tempfile.TemporaryDirectory(prefix="fer-onnx-") as folder:
        floating, prepared, quantized = (Path(folder) / name for name in ("float.onnx", "prepared.onnx", "int8.onnx"))
        floating.write_bytes(float_onnx)
        root = logging.getLogger()
        level = root.level
        root.setLevel(logging.ERROR)  # the quantiser advises on the root logger, which no user can act on
        try:
            quant_pre_process(str(floating), str(prepared), skip_symbolic_shape=True)
            quantization.quantize_static(
                str(prepared),
                str(quantized),
                Faces(),
                quant_format=quantization.QuantFormat.QDQ,
                per_channel=True,
                activation_type=quantization.QuantType.QUInt8 if onnx_target == "x86" else quantization.QuantType.QInt8,
                weight_type=quantization.QuantType.QInt8,
            )
        except Exception as error:  # ONNX Runtime's exceptions share no public base class
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
            raise ModelError(f"ONNX Runtime cannot quantise this network: {reason}") from error
        finally:
            root.setLevel(level)
        proto = onnx.load(str(quantized))
    _int8_ends(proto, onnx_target)
    onnx.checker.check_model(proto)
    content: bytes = proto.SerializeToString()
    return content


def _batches(faces: npt.NDArray[np.uint8]) -> Iterator[dict[str, Any]]:
    extremes = np.stack([np.zeros_like(faces[0]), np.full_like(faces[0], 255)])  # so that the input's range is whole
    for tensor in to_float_input(np.concatenate([extremes, faces])):
        yield {INPUT_NAME: tensor[None]}


def _int8_ends(proto: Any, onnx_target: OnnxTarget) -> None:
    """Replace the float input and output by int8 ones of the contract."""
    from onnx import TensorProto, helper, numpy_helper

    graph = proto.graph
    renamed = {INPUT_NAME: f"{INPUT_NAME}_real", OUTPUT_NAME: f"{OUTPUT_NAME}_real"}
    for node in graph.node:
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                names[i] = renamed.get(name, name)
    ends = {
        "fer_input_scale": np.float32(INPUT_SCALE),
        "fer_input_zero": np.int8(0),
        "fer_output_scale": np.float32(OUTPUT_SCALE),
        "fer_output_zero": np.int8(OUTPUT_ZERO_POINT),
    }
    graph.initializer.extend(numpy_helper.from_array(np.asarray(value), name) for name, value in ends.items())
    input_edge = [INPUT_NAME, "fer_input_scale", "fer_input_zero"]
    output_edge = [renamed[OUTPUT_NAME], "fer_output_scale", "fer_output_zero"]
    graph.node.insert(0, helper.make_node("DequantizeLinear", input_edge, [renamed[INPUT_NAME]], name="fer_input"))
    graph.node.append(helper.make_node("QuantizeLinear", output_edge, [OUTPUT_NAME], name="fer_output"))
    for end in (graph.input[0], graph.output[0]):
        end.type.tensor_type.elem_type = TensorProto.INT8
    helper.set_model_props(
        proto,
        {
            "fer.input_scale": repr(float(INPUT_SCALE)),
            "fer.input_zero_point": "0",
            "fer.output_scale": repr(OUTPUT_SCALE),
            "fer.output_zero_point": str(OUTPUT_ZERO_POINT),
            "fer.target": onnx_target,
            "fer.quantiser": "onnxruntime",
        },
    )
