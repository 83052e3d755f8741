"""Operators that MobileNetV2 does not use and networks from elsewhere do: pooling, gates, activations, reshaping."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fer_edge.errors import ModelError
from fer_export.convert.qdq_graph import NHWC_TO_NCHW, QdqGraph, real_name, same_padding
from fer_export.tflite_file import Operator

__all__ = ["MoreOperators"]

_TO_NCHW_AXIS = {0: 0, 1: 2, 2: 3, 3: 1}


class MoreOperators(QdqGraph):
    """Handlers of further operators; each adds nodes whose real result has the name of the TFLite output tensor."""

    def more_handlers(self) -> dict[str, Callable[[Operator], None]]:
        """What writes further operators.

        Returns:
            ``{TFLite operator name: handler}``.
        """
        return {
            "MAX_POOL_2D": self._pool,
            "AVERAGE_POOL_2D": self._pool,
            "CONCATENATION": self._concatenation,
            "GATHER": self._gather,
            "HARD_SWISH": self._hard_swish,
            "LEAKY_RELU": self._unary,
            "ELU": self._unary,
            "LOGISTIC": self._unary,
            "TANH": self._unary,
            "RELU": self._unary,
            "RELU6": self._unary,
            "QUANTIZE": self._unary,
            "REDUCE_MAX": self._reduce_max,
            "STRIDED_SLICE": self._strided_slice,
            "SUB": self._subtract,
        }

    def _pool(self, op: Operator) -> None:
        data, pads = self._unpad(op.inputs[0])
        image = self.model.tensors[data]
        kernel = [int(op.options["filterHeight"]), int(op.options["filterWidth"])]
        strides = [int(op.options["strideH"]), int(op.options["strideW"])]
        edges = [0, 0, 0, 0]
        if op.padding == "SAME":
            top, bottom = same_padding(image.shape[1], kernel[0], strides[0], 1)
            left, right = same_padding(image.shape[2], kernel[1], strides[1], 1)
            edges = [top, left, bottom, right]
        if pads.as_list() != [0, 0, 0, 0]:
            raise ModelError(f"{self.model.source}: {op.name} {op.index} after a PAD is not supported")
        kind = "MaxPool" if op.name == "MAX_POOL_2D" else "AveragePool"
        # TFLite averages over the pixels that exist, as ONNX does unless it is set to count the padding.
        self._finish(op, kind, [self._input(data)], kernel_shape=kernel, strides=strides, pads=edges)

    def _concatenation(self, op: Operator) -> None:
        result = self.model.tensors[op.outputs[0]]
        axis = int(op.options["axis"]) % len(result.shape)
        axis = _TO_NCHW_AXIS[axis] if len(result.shape) == 4 else axis
        self._finish(op, "Concat", [self._input(i) for i in op.inputs], axis=axis)

    def _gather(self, op: Operator) -> None:
        data, indices = self.model.tensors[op.inputs[0]], self.model.tensors[op.inputs[1]]
        axis = int(op.options.get("axis", 0)) % len(data.shape)
        axis = _TO_NCHW_AXIS[axis] if len(data.shape) == 4 else axis
        stored = self._store("indices", indices.array().astype(np.int64))
        self._node("Gather", [self._input(data.index), stored], real_name(op.outputs[0]), axis=axis)

    def _unary(self, op: Operator) -> None:
        real, result = self._input(op.inputs[0]), real_name(op.outputs[0])
        if op.name == "LEAKY_RELU":
            self._node("LeakyRelu", [real], result, alpha=float(op.options["alpha"]))
        elif op.name == "RELU6":
            ends = [self._scalar("f32", 0.0, np.float32), self._scalar("f32", 6.0, np.float32)]
            self._node("Clip", [real, *ends], result)
        else:
            kinds = {"ELU": "Elu", "LOGISTIC": "Sigmoid", "TANH": "Tanh", "RELU": "Relu", "QUANTIZE": "Identity"}
            self._node(kinds[op.name], [real], result)

    def _hard_swish(self, op: Operator) -> None:
        # x * clip(x + 3, 0, 6) / 6 (Howard et al. 2019, section 5.2); an operator of its own only from opset 14 on.
        real = self._input(op.inputs[0])
        gate = self._node("HardSigmoid", [real], alpha=1.0 / 6.0, beta=0.5)
        self._node("Mul", [real, gate], real_name(op.outputs[0]))

    def _reduce_max(self, op: Operator) -> None:
        data, result = self.model.tensors[op.inputs[0]], self.model.tensors[op.outputs[0]]
        axes = sorted(int(a) % len(data.shape) for a in self.model.tensors[op.inputs[1]].array().ravel())
        if len(data.shape) != 4 or axes != [1, 2]:
            raise ModelError(
                f"{self.model.source}: REDUCE_MAX over axes {axes} of {data.shape}; only [1, 2] of 4 is known"
            )
        pooled = self._node("GlobalMaxPool", [self._input(data.index)])
        if len(result.shape) == 4:
            self._alias(result)
            return
        self._node("Flatten", [pooled], real_name(result.index), axis=1)

    def _strided_slice(self, op: Operator) -> None:
        data, result = self.model.tensors[op.inputs[0]], self.model.tensors[op.outputs[0]]
        begin, end, strides = (self.model.tensors[i].array().ravel().tolist() for i in op.inputs[1:4])
        options = op.options
        plain = not any(int(options.get(name, 0)) for name in ("ellipsisMask", "newAxisMask", "shrinkAxisMask"))
        if not plain or len(data.shape) != len(result.shape) or min(strides) < 1:
            raise ModelError(f"{self.model.source}: STRIDED_SLICE {op.index} that drops or adds axes is not known")
        whole_from, whole_to = int(options.get("beginMask", 0)), int(options.get("endMask", 0))
        first = [0 if whole_from >> i & 1 else at for i, at in enumerate(begin)]
        last = [data.shape[i] if whole_to >> i & 1 else at for i, at in enumerate(end)]
        if len(data.shape) == 4:
            first, last, strides = ([values[i] for i in NHWC_TO_NCHW] for values in (first, last, strides))
        names = [self._store("slice", np.asarray(v, np.int64)) for v in (first, last, range(len(first)), strides)]
        self._node("Slice", [self._input(data.index), *names], real_name(result.index))

    def _subtract(self, op: Operator) -> None:
        rank = len(self.model.tensors[op.outputs[0]].shape)
        inputs = [
            self._constant(self.model.tensors[i], rank) if self.model.tensors[i].is_constant else self._input(i)
            for i in op.inputs
        ]
        self._finish(op, "Sub", inputs)
