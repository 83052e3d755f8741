"""The INT8 network of a TFLite file, written as ONNX with the same weights, scales and zero points.

No second calibration takes place: every QuantizeLinear/DequantizeLinear pair carries what the TFLite file says, so both
files hold one mathematical object. ONNX Runtime fuses the result completely (QLinearConv, QLinearAdd, QGemm):

* a fused ReLU6 that coincides with the saturation of its output tensor becomes nothing at all, no Clip;
* biases are int32 at input scale x weight scale, as in TFLite;
* padding operators are folded into the convolution after them;
* one Transpose, at the input, goes from the NHWC of the contract to ONNX's NCHW.

Three flavours of activations: ``x86`` has unsigned ones (U8S8, which MLAS computes by VNNI instructions), ``arm``
signed ones (S8S8, for SDOT). Stored values differ by 128, so do zero points; the real numbers are the same. ``npu`` is
as ``arm``, without the changes in the seventh digit of scales before additions that ``exact_add`` makes for ONNX
Runtime: rknn-toolkit2 takes a pair whose two scales differ for float, and refuses the network.
"""

from __future__ import annotations

from typing import Any

from fer_edge.errors import ModelError
from fer_export.convert.exact_add import AddQuantization, match_add
from fer_export.convert.qdq_graph import (
    INPUT_NAME,
    IR_VERSION,
    OPSET,
    OUTPUT_NAME,
    OnnxTarget,
    Pads,
    UnknownOperatorError,
    real_name,
    same_padding,
)
from fer_export.convert.qdq_more_operators import MoreOperators
from fer_export.log import LOG
from fer_export.tflite_file import Operator, TFLiteModel

__all__ = ["float_shadow", "tflite_to_onnx"]


def tflite_to_onnx(model: TFLiteModel, onnx_target: OnnxTarget = "x86") -> Any:
    """An INT8 TFLite network as ONNX, int8 at both ends as in the TFLite file (opset 13, IR 8).

    Args:
        model: the network.
        onnx_target: ``x86`` for unsigned activations, ``arm`` for signed ones, ``npu`` for signed ones whose
            QuantizeLinear and DequantizeLinear have equal scales.

    Returns:
        An ``onnx.ModelProto``.

    Raises:
        ModelError: the network is not fully INT8, or uses an operator without a counterpart here.
        MissingDependencyError: onnx is not installed.
    """
    return _Writer(model, onnx_target, quantized=True).write()


def float_shadow(model: TFLiteModel) -> Any:
    """The same network with the same 8-bit weights but real-valued activations.

    Takes float32 ``(1, S, S, 3)``; every activation is an output, named ``t<tensor index>``, NCHW where 4-D. What an
    INT8 activation differs from its shadow is exactly what rounding the activations to 8 bits has cost so far.

    Args:
        model: the INT8 network.

    Returns:
        An ``onnx.ModelProto``.

    Raises:
        ModelError: as for :func:`tflite_to_onnx`.
        MissingDependencyError: onnx is not installed.
    """
    return _Writer(model, "x86", quantized=False).write()


class _Writer(MoreOperators):
    # -- the graph ----------------------------------------------------------------------------------------------

    def write(self) -> Any:
        helper, types = self._helper, self._onnx.TensorProto
        input_tensor, output_tensor = self._end(self.model.inputs, "input"), self._end(self.model.outputs, "output")
        self._open(input_tensor)
        for op in self.model.operators:
            self._operator(op)
        end_type = types.INT8 if self.quantized else types.FLOAT
        outputs = [helper.make_tensor_value_info(OUTPUT_NAME, end_type, list(output_tensor.shape))]
        if self.quantized:
            self._node("QuantizeLinear", [real_name(output_tensor.index), *self._ends(output_tensor, 0)], OUTPUT_NAME)
        else:
            self._node("Identity", [real_name(output_tensor.index)], OUTPUT_NAME)
            outputs += [
                helper.make_tensor_value_info(real_name(i), types.FLOAT, None)
                for op in self.model.operators
                for i in op.outputs
                if i not in self.pads
            ]
        graph = helper.make_graph(
            self.nodes,
            "fer_int8",
            [helper.make_tensor_value_info(INPUT_NAME, end_type, list(input_tensor.shape))],
            outputs,
            list(self.initializers.values()),
        )
        written = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="fer-export")
        written.ir_version = IR_VERSION
        if self.quantized:
            self._describe(written, input_tensor, output_tensor)
        return written

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
            **self.more_handlers(),
        }
        handler = handlers.get(op.name)
        if handler is None:
            raise UnknownOperatorError(
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
                raise ModelError(f"{self.model.source}: {op.name} {op.index} has SAME padding after a PAD")
            top, bottom = same_padding(image.shape[1], height, strides[0], dilations[0])
            left, right = same_padding(image.shape[2], width, strides[1], dilations[1])
            pads = Pads(top, left, bottom, right)
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
            group=image.shape[3] if depthwise else image.shape[3] // kernel.shape[3],
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
        as_it_is = self.onnx_target == "npu"  # compilers of NPUs take a pair with two scales for float
        if not self.quantized or as_it_is or any(t.is_constant or t.index in self.pads for t in operands):
            self._elementwise(op)
            return
        a, b = operands
        sums = AddQuantization(a.scale, a.zero_point, b.scale, b.zero_point, result.scale, result.zero_point)
        match = match_add(sums, unsigned=self.shift != 0)
        self.add_matches[op.index] = match
        LOG.debug("ADD %d: %d of 65536 sums differ between the runtimes", op.index, match.differing_pairs)
        inputs = [
            self._round(real_name(t.index), t, read_scale=float(s)) for t, s in ((a, match.a_scale), (b, match.b_scale))
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
        # Rounded before the Flatten, not after it: only then does ONNX Runtime see a pair around the pooling.
        self._node("Flatten", [self._round(pooled, result)], axis=1)
        self._alias(result)

    def _pad(self, op: Operator) -> None:
        amounts = self.model.tensors[op.inputs[1]].array()
        consumers = self.model.consumers(op.outputs[0])
        folds = all(c.name in ("CONV_2D", "DEPTHWISE_CONV_2D") and c.padding == "VALID" for c in consumers)
        if amounts.shape != (4, 2) or amounts[[0, 3]].any() or not folds:
            raise ModelError(f"{self.model.source}: PAD {op.index} is not followed by an unpadded convolution")
        (top, bottom), (left, right) = amounts[1].tolist(), amounts[2].tolist()
        self.pads[op.outputs[0]] = (op.inputs[0], Pads(top, left, bottom, right))

    def _reshape(self, op: Operator) -> None:
        data, result = self.model.tensors[op.inputs[0]], self.model.tensors[op.outputs[0]]
        self._reshaped(self._input(data.index), data, result.shape)
        self._alias(result)

    def _softmax(self, op: Operator) -> None:
        if float(op.options.get("beta", 1.0)) != 1.0:
            raise ModelError(f"{self.model.source}: SOFTMAX with beta {op.options['beta']}; only 1 is known")
        result = self.model.tensors[op.outputs[0]]
        self._node("Softmax", [self._input(op.inputs[0])], real_name(result.index), axis=-1)
