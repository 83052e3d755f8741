"""YuNet as a float TFLite file, written from its weights by the schema that ai-edge-litert brings along.

The same function as the ONNX file, arranged so that XNNPACK takes all of it as one part:

* the four heads of a stride are one pair of convolutions with 16 outputs;
* nearest resizing by two is CONCATENATION of four copies and DEPTH_TO_SPACE, which also holds no size: one file serves
  every view size through ``resize_tensor_input``;
* the stem pads one row above and one column on the left, as ONNX does; TensorFlow's SAME would pad the other side;
* there is no sigmoid, transposition or reshaping: the few candidates are decoded outside (``yunet_decode``).
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fer_edge.errors import MissingDependencyError
from fer_edge.faces.yunet_weights import Pair, YuNetWeights

FORMAT: Final[int] = 1
"""Of the file; a cached file of another format is not used."""
INPUT_SIZE: Final[tuple[int, int]] = (192, 320)
"""Height and width that the file is written for; both multiples of 32."""
_POOL_AFTER: Final[frozenset[int]] = frozenset({0, 4, 6, 8})
"""Pairs that max pooling follows (the stem's pair is 0)."""
_VERSIONS: Final[dict[str, int]] = {"CONV_2D": 1, "DEPTHWISE_CONV_2D": 1, "MAX_POOL_2D": 1, "PAD": 1}


def write_yunet(weights: YuNetWeights) -> bytes:
    """The TFLite file: ``(1, 192, 320, 3)`` float32 B, G, R in 0..255 to three maps ``(1, H / s, W / s, 16)``.

    Args:
        weights: as :func:`fer_edge.faces.yunet_weights.read_yunet` gives them.

    Returns:
        The content of the file; outputs in the order of strides 8, 16, 32.

    Raises:
        MissingDependencyError: ai-edge-litert, which brings the schema, is not installed.
    """
    network = _Network()
    height, width = INPUT_SIZE
    x = network.tensor("input", (1, height, width, 3))
    network.inputs = [x]
    x = network.pad(x)
    x = network.convolution(x, weights.stem, weights.stem_bias, stride=2, same=False, relu=True)
    kept: dict[int, int] = {}
    for number, pair in enumerate(weights.pairs[:11]):
        x = network.pair(x, pair, relu=True)
        kept[number] = x
        if number in _POOL_AFTER:
            x = network.max_pool(x)
    fine, middle, coarse = kept[6], kept[8], kept[10]
    p32 = network.pair(coarse, weights.pairs[11], relu=True)
    p16 = network.pair(network.add(middle, network.double(p32)), weights.pairs[12], relu=True)
    p8 = network.pair(network.add(fine, network.double(p16)), weights.pairs[13], relu=True)
    network.outputs = [network.pair(x, head, relu=False) for x, head in zip((p8, p16, p32), weights.heads, strict=True)]
    return network.content()


class _Network:
    """A graph under construction; tensors are numbers."""

    def __init__(self) -> None:
        try:
            from ai_edge_litert import schema_py_generated as schema
        except ImportError as error:
            raise MissingDependencyError(
                "ai-edge-litert, which brings TFLite's schema, is not installed; pip install ai-edge-litert"
            ) from error
        self.schema: Any = schema
        self.model, self.graph = schema.ModelT(), schema.SubGraphT()
        self.model.version, self.model.description = 3, f"YuNet, format {FORMAT}"
        self.model.buffers, self.model.operatorCodes = [schema.BufferT()], []
        self.graph.tensors, self.graph.operators = [], []
        self.inputs: list[int] = []
        self.outputs: list[int] = []
        self._codes: dict[str, int] = {}

    def tensor(self, name: str, shape: tuple[int, ...], data: npt.NDArray[Any] | None = None) -> int:
        made = self.schema.TensorT()
        kinds = self.schema.TensorType
        made.name, made.shape = name, np.array(shape, np.int32)
        made.type = kinds.INT32 if data is not None and data.dtype == np.int32 else kinds.FLOAT32
        made.buffer = 0
        if data is not None:
            buffer = self.schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
            made.buffer = len(self.model.buffers)
            self.model.buffers.append(buffer)
        self.graph.tensors.append(made)
        return len(self.graph.tensors) - 1

    def operator(self, kind: str, inputs: list[int], shape: tuple[int, ...], options: Any, options_kind: str) -> int:
        if kind not in self._codes:
            code = self.schema.OperatorCodeT()
            code.builtinCode = getattr(self.schema.BuiltinOperator, kind)
            code.deprecatedBuiltinCode = code.builtinCode
            code.version = _VERSIONS.get(kind, 1)
            self._codes[kind] = len(self.model.operatorCodes)
            self.model.operatorCodes.append(code)
        made = self.schema.OperatorT()
        made.opcodeIndex = self._codes[kind]
        output = self.tensor(f"t{len(self.graph.tensors)}", shape)
        made.inputs, made.outputs = np.array(inputs, np.int32), np.array([output], np.int32)
        made.builtinOptionsType = getattr(self.schema.BuiltinOptions, options_kind)
        made.builtinOptions = options
        self.graph.operators.append(made)
        return output

    def shape(self, tensor: int) -> tuple[int, int, int, int]:
        _, height, width, channels = (int(n) for n in self.graph.tensors[tensor].shape)
        return 1, height, width, channels

    def pad(self, x: int) -> int:
        _, height, width, channels = self.shape(x)
        amounts = self.tensor("pads", (4, 2), np.array([[0, 0], [1, 0], [1, 0], [0, 0]], np.int32))
        return self.operator(
            "PAD", [x, amounts], (1, height + 1, width + 1, channels), self.schema.PadOptionsT(), "PadOptions"
        )

    def convolution(
        self,
        x: int,
        kernel: npt.NDArray[np.float32],
        bias: npt.NDArray[np.float32],
        *,
        stride: int,
        same: bool,
        relu: bool,
    ) -> int:
        """``kernel`` is ``(out, rows, columns, in)``."""
        _, height, width, _ = self.shape(x)
        options = self.schema.Conv2DOptionsT()
        options.strideH = options.strideW = stride
        options.padding = self.schema.Padding.SAME if same else self.schema.Padding.VALID
        options.fusedActivationFunction = self._activation(relu)
        out = (
            (height, width)
            if same
            else ((height - kernel.shape[1]) // stride + 1, (width - kernel.shape[2]) // stride + 1)
        )
        inputs = [x, self.tensor("kernel", kernel.shape, kernel), self.tensor("bias", bias.shape, bias)]
        return self.operator("CONV_2D", inputs, (1, *out, len(kernel)), options, "Conv2DOptions")

    def depthwise(self, x: int, kernel: npt.NDArray[np.float32], bias: npt.NDArray[np.float32], *, relu: bool) -> int:
        """``kernel`` is ``(3, 3, channels)``."""
        options = self.schema.DepthwiseConv2DOptionsT()
        options.strideH = options.strideW = options.depthMultiplier = 1
        options.padding = self.schema.Padding.SAME
        options.fusedActivationFunction = self._activation(relu)
        inputs = [x, self.tensor("kernel", (1, *kernel.shape), kernel), self.tensor("bias", bias.shape, bias)]
        return self.operator("DEPTHWISE_CONV_2D", inputs, self.shape(x), options, "DepthwiseConv2DOptions")

    def pair(self, x: int, pair: Pair, *, relu: bool) -> int:
        pointwise = np.ascontiguousarray(pair.pointwise[:, None, None, :])
        x = self.convolution(x, pointwise, pair.pointwise_bias, stride=1, same=True, relu=False)
        return self.depthwise(x, pair.depthwise, pair.depthwise_bias, relu=relu)

    def max_pool(self, x: int) -> int:
        _, height, width, channels = self.shape(x)
        options = self.schema.Pool2DOptionsT()
        options.strideH = options.strideW = options.filterHeight = options.filterWidth = 2
        options.padding = self.schema.Padding.VALID
        return self.operator("MAX_POOL_2D", [x], (1, height // 2, width // 2, channels), options, "Pool2DOptions")

    def double(self, x: int) -> int:
        """Each pixel four times, as nearest resizing does."""
        _, height, width, channels = self.shape(x)
        together = self.schema.ConcatenationOptionsT()
        together.axis = 3
        four = self.operator(
            "CONCATENATION", [x] * 4, (1, height, width, 4 * channels), together, "ConcatenationOptions"
        )
        spread = self.schema.DepthToSpaceOptionsT()
        spread.blockSize = 2
        return self.operator(
            "DEPTH_TO_SPACE", [four], (1, 2 * height, 2 * width, channels), spread, "DepthToSpaceOptions"
        )

    def add(self, a: int, b: int) -> int:
        return self.operator("ADD", [a, b], self.shape(a), self.schema.AddOptionsT(), "AddOptions")

    def content(self) -> bytes:
        import flatbuffers

        self.graph.inputs, self.graph.outputs = np.array(self.inputs, np.int32), np.array(self.outputs, np.int32)
        self.model.subgraphs = [self.graph]
        builder = flatbuffers.Builder(1 << 18)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def _activation(self, relu: bool) -> int:
        kinds = self.schema.ActivationFunctionType
        return int(kinds.RELU if relu else kinds.NONE)
