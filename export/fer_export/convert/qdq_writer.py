"""The INT8 network of a TFLite file, written as ONNX with the same weights, scales and zero points.

No second calibration takes place: every QuantizeLinear/DequantizeLinear pair carries what the TFLite file says, so both
files hold one mathematical object. ONNX Runtime fuses the result completely (QLinearConv, QLinearAdd, QGemm):

* a fused ReLU6 that coincides with the saturation of its output tensor becomes nothing at all, no Clip;
* biases are int32 at input scale x weight scale, as in TFLite;
* padding operators are folded into the convolution behind them;
* one Transpose, at the input, goes from the NHWC of the contract to ONNX's NCHW.

Two flavours of activations: ``x86`` has unsigned ones (U8S8, which MLAS computes by VNNI instructions), ``arm`` signed
ones (S8S8, for SDOT). Stored values differ by 128, so do zero points; the real numbers are the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from fer_edge.errors import MissingDependencyError, ModelError
from fer_export.convert.exact_add import AddMatch, AddQuantization, match_add
from fer_export.tflite_file import Operator, Tensor, TFLiteModel

Target = Literal["x86", "arm"]
TARGETS: Final[tuple[Target, ...]] = ("x86", "arm")
OPSET: Final[int] = 13
IR_VERSION: Final[int] = 8
INPUT_NAME: Final[str] = "input"
OUTPUT_NAME: Final[str] = "probabilities"

_NHWC_TO_NCHW: Final[tuple[int, ...]] = (0, 3, 1, 2)


def tflite_to_onnx(model: TFLiteModel, target: Target = "x86") -> Any:
    """``onnx.ModelProto`` of an INT8 TFLite network, int8 at both ends as in the TFLite file (opset 13, IR 8).

    Raises :class:`ModelError` for a network that is not fully INT8 or uses an operator without a counterpart here.
    """
    return _Writer(model, target, quantized=True).write()


def float_shadow(model: TFLiteModel) -> Any:
    """``onnx.ModelProto`` of the same network with the same 8-bit weights but real-valued activations.

    Takes float32 ``(1, S, S, 3)``; every activation is an output, named ``t<tensor index>``, NCHW where 4-D. What an
    INT8 activation differs from its shadow is exactly what rounding the activations to 8 bits has cost so far.
    """
    return _Writer(model, "x86", quantized=False).write()


@dataclass(frozen=True)
class _Pads:
    """Zeros around an image, in pixels."""

    top: int
    left: int
    bottom: int
    right: int

    def as_list(self) -> list[int]:
        return [self.top, self.left, self.bottom, self.right]


def same_padding(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """Pixels before and after for TensorFlow's SAME along one axis; the odd pixel goes behind."""
    outputs = -(-size // stride)
    total = max((outputs - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
    return total // 2, total - total // 2


class _Writer:
    def __init__(self, model: TFLiteModel, target: Target, *, quantized: bool) -> None:
        try:
            import onnx
            from onnx import helper, numpy_helper
        except ImportError as error:
            raise MissingDependencyError.for_extra("onnx", "export") from error
        self._onnx, self._helper, self._numpy_helper = onnx, helper, numpy_helper
        self.model = model
        self.quantized = quantized
        # TFLite stores int8; adding 128 to stored value and zero point alike gives uint8 for the same real number.
        self.shift = 128 if target == "x86" else 0
        self.target = target
        self.nodes: list[Any] = []
        self.initializers: dict[str, Any] = {}
        self.pads: dict[int, tuple[int, _Pads]] = {}
        self.add_matches: dict[int, AddMatch] = {}
        self._names = 0

    # -- the graph ----------------------------------------------------------------------------------------------

    def write(self) -> Any:
        helper, types = self._helper, self._onnx.TensorProto
        source, sink = self._end(self.model.inputs, "input"), self._end(self.model.outputs, "output")
        self._open(source)
        for op in self.model.operators:
            self._operator(op)
        end_type = types.INT8 if self.quantized else types.FLOAT
        outputs = [helper.make_tensor_value_info(OUTPUT_NAME, end_type, list(sink.shape))]
        if self.quantized:
            self._node("QuantizeLinear", [_real(sink.index), *self._ends(sink, 0)], OUTPUT_NAME)
        else:
            self._node("Identity", [_real(sink.index)], OUTPUT_NAME)
            outputs += [
                helper.make_tensor_value_info(_real(i), types.FLOAT, None)
                for op in self.model.operators
                for i in op.outputs
                if i not in self.pads
            ]
        graph = helper.make_graph(
            self.nodes,
            "fer_int8",
            [helper.make_tensor_value_info(INPUT_NAME, end_type, list(source.shape))],
            outputs,
            list(self.initializers.values()),
        )
        written = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="fer-export")
        written.ir_version = IR_VERSION
        if self.quantized:
            self._describe(written, source, sink)
        return written

    def _describe(self, written: Any, source: Tensor, sink: Tensor) -> None:
        # ONNX has no place for the quantisation of a graph's ends; ours is a fixed contract, and noted here as well.
        self._helper.set_model_props(
            written,
            {
                "fer.input_scale": repr(source.scale),
                "fer.input_zero_point": str(source.zero_point),
                "fer.output_scale": repr(sink.scale),
                "fer.output_zero_point": str(sink.zero_point),
                "fer.target": self.target,
            },
        )

    def _end(self, indices: tuple[int, ...], which: str) -> Tensor:
        if len(indices) != 1:
            raise ModelError(f"{self.model.source}: expected one {which}, the model has {len(indices)}")
        tensor = self.model.tensors[indices[0]]
        if tensor.type_name != "INT8" or len(tensor.scales) != 1:
            raise ModelError(
                f"{self.model.source}: the {which} is {tensor.type_name}; INT8 ONNX is written from a TFLite file "
                "that is INT8 at both ends"
            )
        return tensor

    def _open(self, source: Tensor) -> None:
        real = INPUT_NAME
        if self.quantized:
            real = self._node("DequantizeLinear", [INPUT_NAME, *self._ends(source, 0)])
        self._node("Transpose", [real], _real(source.index), perm=list(_NHWC_TO_NCHW))

    # -- operators ----------------------------------------------------------------------------------------------

    def _operator(self, op: Operator) -> None:
        handlers = {
            "CONV_2D": self._convolution,
            "DEPTHWISE_CONV_2D": self._convolution,
            "FULLY_CONNECTED": self._fully_connected,
            "ADD": self._add,
            "MUL": self._elementwise,
            "MEAN": self._mean,
            "PAD": self._pad,
            "RESHAPE": self._reshape,
            "SOFTMAX": self._softmax,
        }
        handler = handlers.get(op.name)
        if handler is None:
            raise ModelError(
                f"{self.model.source}: operator {op.name} (number {op.index}) has no INT8 ONNX counterpart here; "
                f"known: {', '.join(sorted(handlers))}"
            )
        handler(op)

    def _convolution(self, op: Operator) -> None:
        depthwise = op.name == "DEPTHWISE_CONV_2D"
        data, pads = self._unpad(op.inputs[0])
        image, kernel = self.model.tensors[data], self.model.tensors[op.inputs[1]]
        height, width = kernel.shape[1:3]
        strides = [int(op.options["strideH"]), int(op.options["strideW"])]
        dilations = [int(op.options["dilationHFactor"]), int(op.options["dilationWFactor"])]
        if op.padding == "SAME":
            if pads.as_list() != [0, 0, 0, 0]:
                raise ModelError(f"{self.model.source}: {op.name} {op.index} has SAME padding behind a PAD")
            top, bottom = same_padding(image.shape[1], height, strides[0], dilations[0])
            left, right = same_padding(image.shape[2], width, strides[1], dilations[1])
            pads = _Pads(top, left, bottom, right)
        # TFLite: (out, h, w, in), depthwise (1, h, w, out). ONNX: (out, in / groups, h, w).
        order = (3, 0, 1, 2) if depthwise else (0, 3, 1, 2)
        inputs = [self._input(data), self._weights(kernel, order)]
        inputs += self._bias(op, image, kernel)
        self._finish(
            op,
            "Conv",
            inputs,
            kernel_shape=[height, width],
            strides=strides,
            dilations=dilations,
            pads=pads.as_list(),
            group=image.shape[3] if depthwise else 1,
        )

    def _fully_connected(self, op: Operator) -> None:
        data, kernel = self.model.tensors[op.inputs[0]], self.model.tensors[op.inputs[1]]
        real = self._input(data.index)
        if len(data.shape) != 2:
            real = self._reshaped(real, data, (1, kernel.shape[1]))
        self._finish(op, "Gemm", [real, self._weights(kernel, (0, 1)), *self._bias(op, data, kernel)], transB=1)

    def _elementwise(self, op: Operator) -> None:
        rank = len(self.model.tensors[op.outputs[0]].shape)
        inputs = [
            self._constant(self.model.tensors[i], rank) if self.model.tensors[i].is_constant else self._input(i)
            for i in op.inputs
        ]
        self._finish(op, {"ADD": "Add", "MUL": "Mul"}[op.name], inputs)

    def _add(self, op: Operator) -> None:
        operands = [self.model.tensors[i] for i in op.inputs]
        result = self.model.tensors[op.outputs[0]]
        if not self.quantized or any(t.is_constant or t.index in self.pads for t in operands):
            self._elementwise(op)
            return
        a, b = operands
        sums = AddQuantization(a.scale, a.zero_point, b.scale, b.zero_point, result.scale, result.zero_point)
        match = match_add(sums, unsigned=self.shift != 0)
        self.add_matches[op.index] = match
        inputs = [
            self._round(_real(t.index), t, read_scale=float(s)) for t, s in ((a, match.a_scale), (b, match.b_scale))
        ]
        self._finish(op, "Add", inputs)

    def _mean(self, op: Operator) -> None:
        data, result = self.model.tensors[op.inputs[0]], self.model.tensors[op.outputs[0]]
        axes = sorted(int(a) % len(data.shape) for a in self.model.tensors[op.inputs[1]].array().ravel())
        if len(data.shape) != 4 or axes != [1, 2]:
            raise ModelError(f"{self.model.source}: MEAN over axes {axes} of {data.shape}; only [1, 2] of 4 is known")
        if len(result.shape) == 4:
            self._finish(op, "GlobalAveragePool", [self._input(data.index)])
            return
        pooled = self._node("GlobalAveragePool", [self._input(data.index)])
        # Rounded before the Flatten, not behind it: only then does ONNX Runtime see a pair around the pooling.
        self._node("Flatten", [self._round(pooled, result)], axis=1)
        self._alias(result)

    def _pad(self, op: Operator) -> None:
        amounts = self.model.tensors[op.inputs[1]].array()
        consumers = self.model.consumers(op.outputs[0])
        folds = all(c.name in ("CONV_2D", "DEPTHWISE_CONV_2D") and c.padding == "VALID" for c in consumers)
        if amounts.shape != (4, 2) or amounts[[0, 3]].any() or not folds:
            raise ModelError(f"{self.model.source}: PAD {op.index} does not stand before an unpadded convolution")
        (top, bottom), (left, right) = amounts[1].tolist(), amounts[2].tolist()
        self.pads[op.outputs[0]] = (op.inputs[0], _Pads(top, left, bottom, right))

    def _reshape(self, op: Operator) -> None:
        data, result = self.model.tensors[op.inputs[0]], self.model.tensors[op.outputs[0]]
        self._reshaped(self._input(data.index), data, result.shape)
        self._alias(result)

    def _softmax(self, op: Operator) -> None:
        if float(op.options.get("beta", 1.0)) != 1.0:
            raise ModelError(f"{self.model.source}: SOFTMAX with beta {op.options['beta']}; only 1 is known")
        result = self.model.tensors[op.outputs[0]]
        self._node("Softmax", [self._input(op.inputs[0])], _real(result.index), axis=-1)

    # -- parts --------------------------------------------------------------------------------------------------

    def _finish(self, op: Operator, kind: str, inputs: list[str], **attributes: Any) -> None:
        """The node itself, and its fused activation where saturation does not already do it."""
        result = self.model.tensors[op.outputs[0]]
        limits = {"NONE": None, "RELU": (0.0, None), "RELU6": (0.0, 6.0)}.get(op.activation, ())
        if limits == ():
            raise ModelError(f"{self.model.source}: {op.name} {op.index} has the unknown activation {op.activation}")
        if limits is None or (self.quantized and saturation_is_clamp(result, *limits)):
            self._node(kind, inputs, _real(result.index), **attributes)
            return
        low, high = (self._scalar("f32", v, np.float32) if v is not None else "" for v in limits)
        clamp = [self._node(kind, inputs, **attributes), low, *([high] if high else [])]
        self._node("Clip", clamp, _real(result.index))

    def _input(self, index: int) -> str:
        """The real-valued name of an activation, rounded to 8 bits on the way; a pair of its own for each reader."""
        if index in self.pads:
            raise ModelError(f"{self.model.source}: the padded tensor {index} is read by something unexpected")
        tensor = self.model.tensors[index]
        return self._round(_real(index), tensor)

    def _unpad(self, index: int) -> tuple[int, _Pads]:
        return self.pads.get(index, (index, _Pads(0, 0, 0, 0)))

    def _round(self, real: str, tensor: Tensor, read_scale: float | None = None) -> str:
        """Round to 8 bits and read back, by another scale than the tensor's where an ADD needs it (``exact_add``)."""
        if not self.quantized:
            return real
        stored = f"{real}_q"
        if not any(stored in node.output for node in self.nodes):
            self._node("QuantizeLinear", [real, *self._ends(tensor, self.shift)], stored)
        scale, zero = self._ends(tensor, self.shift)
        if read_scale is not None:
            scale = self._scalar("scale", read_scale, np.float32)
        return self._node("DequantizeLinear", [stored, scale, zero])

    def _alias(self, tensor: Tensor) -> None:
        """Let the node written last give the real values of ``tensor``."""
        self.nodes[-1].output[0] = _real(tensor.index)

    def _reshaped(self, real: str, data: Tensor, shape: tuple[int, ...]) -> str:
        if len(data.shape) == 4 and data.shape[1:3] != (1, 1):
            # ONNX holds (N, C, H, W) here; only with one pixel is the order of the values the same.
            raise ModelError(
                f"{self.model.source}: RESHAPE of {data.shape} to {shape} is not known; expected (1, 1) pixel"
            )
        if len(shape) == 4:
            shape = tuple(shape[i] for i in _NHWC_TO_NCHW)
        return self._node("Reshape", [real, self._store("shape", np.asarray(shape, np.int64))])

    def _weights(self, kernel: Tensor, order: tuple[int, ...]) -> str:
        if kernel.type_name != "INT8" or not kernel.is_quantized or kernel.zero_points.any():
            raise ModelError(f"{self.model.source}: weights {kernel.name} are not symmetric INT8")
        stored = self._store("w", np.ascontiguousarray(kernel.array().transpose(order)), kernel.index)
        return self._dequantized(stored, kernel.scales, np.int8)

    def _bias(self, op: Operator, data: Tensor, kernel: Tensor) -> list[str]:
        if len(op.inputs) < 3 or op.inputs[2] < 0:
            return []
        bias = self.model.tensors[op.inputs[2]]
        if bias.type_name != "INT32":
            raise ModelError(f"{self.model.source}: bias {bias.name} is {bias.type_name}; expected INT32")
        scales = (np.float32(data.scale) * kernel.scales).astype(np.float32)
        return [self._dequantized(self._store("b", bias.array(), bias.index), scales, np.int32)]

    def _dequantized(self, stored: str, scales: npt.NDArray[np.float32], dtype: Any) -> str:
        per_channel = len(scales) > 1
        values = scales if per_channel else scales[0]
        zeros = np.zeros(np.shape(values), dtype)
        names = [self._store("s", np.asarray(values, np.float32)), self._store("z", np.asarray(zeros, dtype))]
        attributes: dict[str, Any] = {"axis": 0} if per_channel else {}
        return self._node("DequantizeLinear", [stored, *names], **attributes)

    def _constant(self, tensor: Tensor, rank: int) -> str:
        values = tensor.array().astype(np.int16) + self.shift
        stored = values.astype(np.uint8 if self.shift else np.int8)
        if rank == 4 and stored.ndim > 0:
            stored = stored.reshape((1,) * (4 - stored.ndim) + stored.shape).transpose(_NHWC_TO_NCHW)
        name = self._store("c", np.ascontiguousarray(stored), tensor.index)
        return self._node("DequantizeLinear", [name, *self._ends(tensor, self.shift)])

    def _ends(self, tensor: Tensor, shift: int) -> list[str]:
        """Names of scale and zero point of an activation, stored ``shift`` above the TFLite file's int8."""
        if tensor.type_name != "INT8":
            raise ModelError(
                f"{self.model.source}: tensor {tensor.name} is {tensor.type_name}; expected INT8 throughout"
            )
        dtype = np.uint8 if shift else np.int8
        return [
            self._scalar("scale", tensor.scale, np.float32),
            self._scalar("zero", tensor.zero_point + shift, dtype),
        ]

    def _scalar(self, kind: str, value: float, dtype: Any) -> str:
        array = np.asarray(value, dtype)
        name = f"{kind}_{array.dtype.name}_{value!r}"
        if name not in self.initializers:
            self.initializers[name] = self._numpy_helper.from_array(array, name)
        return name

    def _store(self, kind: str, array: npt.NDArray[Any], index: int | None = None) -> str:
        self._names += 1
        name = f"{kind}{index if index is not None else f'_{self._names}'}"
        self.initializers[name] = self._numpy_helper.from_array(np.array(array), name)
        return name

    def _node(self, kind: str, inputs: list[str], output: str | None = None, **attributes: Any) -> str:
        self._names += 1
        result = output or f"v{self._names}"
        self.nodes.append(self._helper.make_node(kind, inputs, [result], name=f"{kind}_{self._names}", **attributes))
        return result


def _real(index: int) -> str:
    return f"t{index}"


def saturation_is_clamp(tensor: Tensor, low: float | None, high: float | None) -> bool:
    """Whether rounding to ``tensor``'s 8 bits already confines values to ``[low, high]``, so that no Clip is needed.

    TFLite clamps the stored value to ``[q(low), q(high)]`` with ``q(x) = round(x / scale) + zero_point``; that is no
    restriction when both lie at or beyond the ends of int8.
    """
    info = np.iinfo(np.int8)

    def stored(value: float) -> float:
        return float(np.rint(np.float32(value) / np.float32(tensor.scale))) + tensor.zero_point

    return (low is None or stored(low) <= info.min) and (high is None or stored(high) >= info.max)
