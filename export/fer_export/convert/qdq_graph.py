"""The parts of a quantised ONNX graph that is written from a TFLite file: tensors, rounding, constants, nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from fer_edge.arrays import FloatArray
from fer_edge.errors import MissingDependencyError, ModelError
from fer_export.convert.exact_add import AddMatch
from fer_export.tflite_file import Operator, Tensor, TFLiteModel

__all__ = [
    "INPUT_NAME",
    "IR_VERSION",
    "NHWC_TO_NCHW",
    "ONNX_TARGETS",
    "OPSET",
    "OUTPUT_NAME",
    "OnnxTarget",
    "Pads",
    "QdqGraph",
    "UnknownOperatorError",
    "real_name",
    "same_padding",
    "saturation_is_clamp",
]

OnnxTarget = Literal["x86", "arm", "npu"]
ONNX_TARGETS: Final[tuple[OnnxTarget, ...]] = ("x86", "arm", "npu")
OPSET: Final[int] = 13
IR_VERSION: Final[int] = 8
INPUT_NAME: Final[str] = "input"
OUTPUT_NAME: Final[str] = "probabilities"

NHWC_TO_NCHW: Final[tuple[int, ...]] = (0, 3, 1, 2)


class UnknownOperatorError(ModelError):
    """A TFLite network uses an operator that has no INT8 ONNX counterpart here."""


@dataclass(frozen=True)
class Pads:
    """Zeros around an image, in pixels."""

    top: int
    """Rows above."""
    left: int
    """Columns on the left."""
    bottom: int
    """Rows below."""
    right: int
    """Columns on the right."""

    def as_list(self) -> list[int]:
        """In ONNX's order.

        Returns:
            ``[top, left, bottom, right]``.
        """
        return [self.top, self.left, self.bottom, self.right]


def same_padding(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """Pixels before and after for TensorFlow's SAME along one axis; the odd pixel comes after.

    Source: tensorflow.org/api_docs/python/tf/nn, "Notes on padding".

    Args:
        size: of the image along the axis.
        kernel: of the kernel.
        stride: step between outputs.
        dilation: step between the kernel's taps.

    Returns:
        ``(before, after)``.
    """
    outputs = -(-size // stride)
    total = max((outputs - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
    return total // 2, total - total // 2


class QdqGraph:
    """Nodes and initializers of a graph under construction, and what all operators need to add to it.

    Args:
        model: the TFLite network.
        onnx_target: ``x86`` for unsigned activations, ``arm`` for signed ones, ``npu`` for signed ones that are written
            and read with equal scales.
        quantized: whether activations are rounded to 8 bits; else they stay real numbers.

    Raises:
        MissingDependencyError: onnx is not installed.
    """

    def __init__(self, model: TFLiteModel, onnx_target: OnnxTarget, *, quantized: bool) -> None:
        try:
            import onnx
            from onnx import helper, numpy_helper
        except ImportError as error:
            raise MissingDependencyError.for_extra("onnx", "export") from error
        self._onnx, self._helper, self._numpy_helper = onnx, helper, numpy_helper
        self.model = model
        self.quantized = quantized
        # TFLite stores int8; adding 128 to stored value and zero point alike gives uint8 for the same real number.
        self.shift = 128 if onnx_target == "x86" else 0
        self.onnx_target = onnx_target
        self.nodes: list[Any] = []
        self.initializers: dict[str, Any] = {}
        self.pads: dict[int, tuple[int, Pads]] = {}
        self.add_matches: dict[int, AddMatch] = {}
        self._names = 0

    def _describe(self, written: Any, input_tensor: Tensor, output_tensor: Tensor) -> None:
        # ONNX has no place for the quantisation of a graph's ends; ours is a fixed contract, and noted here as well.
        self._helper.set_model_props(
            written,
            {
                "fer.input_scale": repr(input_tensor.scale),
                "fer.input_zero_point": str(input_tensor.zero_point),
                "fer.output_scale": repr(output_tensor.scale),
                "fer.output_zero_point": str(output_tensor.zero_point),
                "fer.target": self.onnx_target,
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
        self._node("Transpose", [real], real_name(source.index), perm=list(NHWC_TO_NCHW))

    # -- parts --------------------------------------------------------------------------------------------------

    def _finish(self, op: Operator, kind: str, inputs: list[str], **attributes: Any) -> None:
        """The node itself, and its fused activation where saturation does not already do it."""
        result = self.model.tensors[op.outputs[0]]
        limits = {"NONE": None, "RELU": (0.0, None), "RELU6": (0.0, 6.0)}.get(op.activation, ())
        if limits == ():
            raise ModelError(f"{self.model.source}: {op.name} {op.index} has the unknown activation {op.activation}")
        if limits is None or (self.quantized and saturation_is_clamp(result, *limits)):
            self._node(kind, inputs, real_name(result.index), **attributes)
            return
        low, high = (self._scalar("f32", v, np.float32) if v is not None else "" for v in limits)
        clamp = [self._node(kind, inputs, **attributes), low, *([high] if high else [])]
        self._node("Clip", clamp, real_name(result.index))

    def _input(self, index: int) -> str:
        """The real-valued name of an activation, rounded to 8 bits on the way; a pair of its own for each reader."""
        if index in self.pads:
            raise ModelError(f"{self.model.source}: the padded tensor {index} is read by something unexpected")
        tensor = self.model.tensors[index]
        return self._round(real_name(index), tensor)

    def _unpad(self, index: int) -> tuple[int, Pads]:
        return self.pads.get(index, (index, Pads(0, 0, 0, 0)))

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
        self.nodes[-1].output[0] = real_name(tensor.index)

    def _reshaped(self, real: str, data: Tensor, shape: tuple[int, ...]) -> str:
        if len(data.shape) == 4 and data.shape[1:3] != (1, 1):
            # ONNX holds (N, C, H, W) here; only with one pixel is the order of the values the same.
            real = self._node("Transpose", [real], perm=[0, 2, 3, 1])
        if len(shape) != 4:
            return self._node("Reshape", [real, self._store("shape", np.asarray(shape, np.int64))])
        if shape[1:3] == (1, 1):
            nchw = tuple(shape[i] for i in NHWC_TO_NCHW)
            return self._node("Reshape", [real, self._store("shape", np.asarray(nchw, np.int64))])
        nhwc = self._node("Reshape", [real, self._store("shape", np.asarray(shape, np.int64))])
        return self._node("Transpose", [nhwc], perm=list(NHWC_TO_NCHW))

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

    def _dequantized(self, stored: str, scales: FloatArray, dtype: Any) -> str:
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
            stored = stored.reshape((1,) * (4 - stored.ndim) + stored.shape).transpose(NHWC_TO_NCHW)
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


def real_name(index: int) -> str:
    """Name of the real-valued ONNX tensor of a TFLite tensor.

    Args:
        index: of the TFLite tensor.

    Returns:
        Its name.
    """
    return f"t{index}"


def saturation_is_clamp(tensor: Tensor, low: float | None, high: float | None) -> bool:
    """Whether rounding to 8 bits already confines values to ``[low, high]``, so that no Clip is needed.

    TFLite clamps the stored value to ``[q(low), q(high)]`` with ``q(x) = round(x / scale) + zero_point``; that is no
    restriction when both lie at or beyond the ends of int8.

    Args:
        tensor: the quantised output.
        low: lower end of the activation; None without one.
        high: upper end of the activation; None without one.

    Returns:
        True when the Clip can go.
    """
    info = np.iinfo(np.int8)

    def stored(value: float) -> float:
        return float(np.rint(np.float32(value) / np.float32(tensor.scale))) + tensor.zero_point

    return (low is None or stored(low) <= info.min) and (high is None or stored(high) >= info.max)
