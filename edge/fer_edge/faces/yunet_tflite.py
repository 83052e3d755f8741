"""YuNet as a TFLite file, written from its weights by the schema that ai-edge-litert brings along.

The same function as the ONNX file, arranged so that XNNPACK takes all of it as one part:

* the four heads of a stride are one pair of convolutions with 16 outputs;
* nearest resizing by two is CONCATENATION of four copies and DEPTH_TO_SPACE, which also holds no size: one file serves
  every view size through ``resize_tensor_input``;
* the stem pads one row above and one column on the left, as ONNX does; TensorFlow's SAME would pad the other side;
* there is no sigmoid, transposition or reshaping: the few candidates are decoded outside (``yunet_decode``).

This module writes the float form; ``yunet_int8`` derives the INT8 form from the same graph.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fer_edge.arrays import FloatArray
from fer_edge.errors import MissingDependencyError
from fer_edge.faces.yunet_forms import FLOAT_FORMAT, STRIDES
from fer_edge.faces.yunet_weights import Pair, YuNetWeights

INPUT_SIZE: Final[tuple[int, int]] = (192, 320)
"""Height and width that the file is written for; both multiples of 32."""
_POOL_AFTER: Final[frozenset[int]] = frozenset({0, 4, 6, 8})
"""Pairs that max pooling follows (the stem's pair is 0)."""


def write_yunet(weights: YuNetWeights) -> bytes:
    """The TFLite file: ``(1, 192, 320, 3)`` float32 B, G, R in 0..255 to three maps ``(1, H / s, W / s, 16)``.

    Args:
        weights: as :func:`fer_edge.faces.yunet_weights.read_yunet` gives them.

    Returns:
        The content of the file; outputs in the order of strides 8, 16, 32.

    Raises:
        MissingDependencyError: ai-edge-litert, which brings the schema, is not installed.
    """
    return Network(f"YuNet, format {FLOAT_FORMAT}").write(weights)


class Network:
    """A TFLite graph under construction, in float; tensors are numbers.

    Args:
        description: what the file says of itself.

    Raises:
        MissingDependencyError: ai-edge-litert is not installed.
    """

    versions: dict[str, int] = {}  # noqa: RUF012  (replaced by the INT8 form, never changed)
    """Versions of operators other than 1."""

    def __init__(self, description: str) -> None:
        try:
            from ai_edge_litert import schema_py_generated as schema
        except ImportError as error:
            raise MissingDependencyError(
                "ai-edge-litert, which brings TFLite's schema, is not installed; pip install ai-edge-litert"
            ) from error
        self.schema: Any = schema
        self.model, self.graph = schema.ModelT(), schema.SubGraphT()
        self.model.version, self.model.description = 3, description
        self.model.buffers, self.model.operatorCodes = [schema.BufferT()], []
        self.graph.tensors, self.graph.operators = [], []
        self._codes: dict[str, int] = {}

    def write(self, weights: YuNetWeights) -> bytes:
        """The file with these weights."""
        height, width = INPUT_SIZE
        source = x = self.activation("input", (1, height, width, 3))
        x = self.convolution(self.pad(x), weights.stem, weights.stem_bias, "stem", stride=2, relu=True)
        kept: dict[int, int] = {}
        for number, pair in enumerate(weights.pairs[:11]):
            kept[number] = x = self.pair(x, pair, f"pair{number}", relu=True)
            if number in _POOL_AFTER:
                x = self.max_pool(x)
        fine, middle, coarse = kept[6], kept[8], kept[10]
        p32 = self.pair(coarse, weights.pairs[11], "pair11", relu=True)
        p16 = self.pair(self.add(middle, self.double(p32), "sum16"), weights.pairs[12], "pair12", relu=True)
        p8 = self.pair(self.add(fine, self.double(p16), "sum8"), weights.pairs[13], "pair13", relu=True)
        outputs = [
            self.pair(x, head, f"head{stride}", relu=False)
            for x, head, stride in zip((p8, p16, p32), weights.heads, STRIDES, strict=True)
        ]
        return self._content([source], outputs)

    def activation(self, name: str, shape: tuple[int, ...], like: int | None = None) -> int:
        """A tensor that is computed; ``like`` another where the operator only moves values."""
        del like  # quantisation would be taken from it
        return self._tensor(name, shape, self.schema.TensorType.FLOAT32)

    def constants(self, x: int, kernel: FloatArray, bias: FloatArray, name: str, axis: int) -> list[int]:
        """Kernel and bias of a convolution of ``x``; ``axis`` of the kernel counts output channels."""
        del x, axis
        kind = self.schema.TensorType.FLOAT32
        return [
            self._tensor(f"{name}.kernel", kernel.shape, kind, kernel),
            self._tensor(f"{name}.bias", bias.shape, kind, bias),
        ]

    def pad(self, x: int) -> int:
        """One row above and one column on the left."""
        _, height, width, channels = self._shape(x)
        rows = np.array([[0, 0], [1, 0], [1, 0], [0, 0]], np.int32)
        amounts = self._tensor("pads", (4, 2), self.schema.TensorType.INT32, rows)
        output = self.activation("padded", (1, height + 1, width + 1, channels), like=x)
        return self._operator("PAD", [x, amounts], output, self.schema.PadOptionsT(), "PadOptions")

    def convolution(
        self, x: int, kernel: FloatArray, bias: FloatArray, name: str, *, stride: int = 1, relu: bool = False
    ) -> int:
        """Without padding; ``kernel`` is ``(out, rows, columns, in)``."""
        _, height, width, _ = self._shape(x)
        options = self.schema.Conv2DOptionsT()
        options.strideH = options.strideW = stride
        options.padding = self.schema.Padding.VALID
        options.fusedActivationFunction = self._activation_kind(relu)
        rows, columns = (height - kernel.shape[1]) // stride + 1, (width - kernel.shape[2]) // stride + 1
        inputs = [x, *self.constants(x, kernel, bias, name, axis=0)]
        output = self.activation(name, (1, rows, columns, len(kernel)))
        return self._operator("CONV_2D", inputs, output, options, "Conv2DOptions")

    def depthwise(self, x: int, kernel: FloatArray, bias: FloatArray, name: str, *, relu: bool) -> int:
        """Padded to the same size; ``kernel`` is ``(3, 3, channels)``."""
        options = self.schema.DepthwiseConv2DOptionsT()
        options.strideH = options.strideW = options.depthMultiplier = 1
        options.padding = self.schema.Padding.SAME
        options.fusedActivationFunction = self._activation_kind(relu)
        inputs = [x, *self.constants(x, kernel[None], bias, name, axis=3)]
        output = self.activation(name, self._shape(x))
        return self._operator("DEPTHWISE_CONV_2D", inputs, output, options, "DepthwiseConv2DOptions")

    def pair(self, x: int, pair: Pair, name: str, *, relu: bool) -> int:
        """A pointwise convolution and the depthwise one after it."""
        pointwise = np.ascontiguousarray(pair.pointwise[:, None, None, :])
        x = self.convolution(x, pointwise, pair.pointwise_bias, f"{name}.point")
        return self.depthwise(x, pair.depthwise, pair.depthwise_bias, name, relu=relu)

    def max_pool(self, x: int) -> int:
        """The greatest of two by two."""
        _, height, width, channels = self._shape(x)
        options = self.schema.Pool2DOptionsT()
        options.strideH = options.strideW = options.filterHeight = options.filterWidth = 2
        options.padding = self.schema.Padding.VALID
        output = self.activation(f"pooled{x}", (1, height // 2, width // 2, channels), like=x)
        return self._operator("MAX_POOL_2D", [x], output, options, "Pool2DOptions")

    def double(self, x: int) -> int:
        """Each pixel four times, as nearest resizing does."""
        _, height, width, channels = self._shape(x)
        together = self.schema.ConcatenationOptionsT()
        together.axis = 3
        four = self.activation(f"four{x}", (1, height, width, 4 * channels), like=x)
        self._operator("CONCATENATION", [x] * 4, four, together, "ConcatenationOptions")
        spread = self.schema.DepthToSpaceOptionsT()
        spread.blockSize = 2
        output = self.activation(f"doubled{x}", (1, 2 * height, 2 * width, channels), like=x)
        return self._operator("DEPTH_TO_SPACE", [four], output, spread, "DepthToSpaceOptions")

    def add(self, a: int, b: int, name: str) -> int:
        """The sum."""
        output = self.activation(name, self._shape(a))
        return self._operator("ADD", [a, b], output, self.schema.AddOptionsT(), "AddOptions")

    def _tensor(self, name: str, shape: tuple[int, ...], kind: int, data: npt.NDArray[Any] | None = None) -> int:
        made = self.schema.TensorT()
        made.name, made.shape, made.type, made.buffer = name, np.array(shape, np.int32), kind, 0
        if data is not None:
            buffer = self.schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
            made.buffer = len(self.model.buffers)
            self.model.buffers.append(buffer)
        self.graph.tensors.append(made)
        return len(self.graph.tensors) - 1

    def _operator(self, kind: str, inputs: list[int], output: int, options: Any, options_kind: str) -> int:
        if kind not in self._codes:
            code = self.schema.OperatorCodeT()
            code.builtinCode = getattr(self.schema.BuiltinOperator, kind)
            code.deprecatedBuiltinCode = code.builtinCode
            code.version = self.versions.get(kind, 1)
            self._codes[kind] = len(self.model.operatorCodes)
            self.model.operatorCodes.append(code)
        made = self.schema.OperatorT()
        made.opcodeIndex = self._codes[kind]
        made.inputs, made.outputs = np.array(inputs, np.int32), np.array([output], np.int32)
        made.builtinOptionsType = getattr(self.schema.BuiltinOptions, options_kind)
        made.builtinOptions = options
        self.graph.operators.append(made)
        return output

    def _shape(self, tensor: int) -> tuple[int, int, int, int]:
        _, height, width, channels = (int(n) for n in self.graph.tensors[tensor].shape)
        return 1, height, width, channels

    def _activation_kind(self, relu: bool) -> int:
        kinds = self.schema.ActivationFunctionType
        return int(kinds.RELU if relu else kinds.NONE)

    def _content(self, inputs: list[int], outputs: list[int]) -> bytes:
        import flatbuffers

        self.graph.inputs, self.graph.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)
        self.model.subgraphs = [self.graph]
        builder = flatbuffers.Builder(1 << 18)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())
