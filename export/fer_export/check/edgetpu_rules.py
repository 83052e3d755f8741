"""Will the Edge TPU compiler take this model, and map all of it? Checked without the compiler, run with it if there.

The rules are the published ones of the last compiler, 16.0 (August 2021):
coral.ai/docs/edgetpu/models-intro ("Model requirements", "Supported operations"). Operator versions that it can parse
are those of TensorFlow 2.5, which it was built from, by TensorFlow's ``lite/tools/versioning/runtime_version.cc``;
newer ones end in "Didn't find op for builtin opcode" (google-coral/edgetpu issues 631, 845).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from fer_export.tflite_file import Operator, Tensor, TFLiteModel

__all__ = [
    "COMPILED_OPERATOR",
    "MAPS",
    "MAX_SOFTMAX",
    "MAX_VERSIONS",
    "ON_CHIP_BYTES",
    "CoralReport",
    "OperatorVerdict",
    "check_edgetpu_rules",
]

COMPILED_OPERATOR: Final[str] = "edgetpu-custom-op"
ON_CHIP_BYTES: Final[int] = 8 * 2**20
"""Memory of the Edge TPU for parameters and the executable; what does not fit is streamed at each inference."""
MAPS: Final[str] = "maps to TPU"
MAX_SOFTMAX: Final[int] = 16_000

MAX_VERSIONS: Final[dict[str, int]] = {
    "ADD": 3,
    "AVERAGE_POOL_2D": 3,
    "CONCATENATION": 3,
    "CONV_2D": 5,
    "DEPTHWISE_CONV_2D": 6,
    "EXPAND_DIMS": 1,
    "FULLY_CONNECTED": 9,
    "L2_NORMALIZATION": 2,
    "LOGISTIC": 3,
    "MAXIMUM": 4,
    "MAX_POOL_2D": 3,
    "MEAN": 3,
    "MINIMUM": 4,
    "MUL": 4,
    "PACK": 3,
    "PAD": 3,
    "PRELU": 1,
    "QUANTIZE": 2,
    "REDUCE_MAX": 3,
    "REDUCE_MIN": 3,
    "RELU": 2,
    "RELU6": 3,
    "RELU_N1_TO_1": 1,
    "RESHAPE": 1,
    "RESIZE_BILINEAR": 4,
    "RESIZE_NEAREST_NEIGHBOR": 4,
    "RSQRT": 2,
    "SLICE": 5,
    "SOFTMAX": 3,
    "SPACE_TO_DEPTH": 2,
    "SPLIT": 4,
    "SQUARED_DIFFERENCE": 2,
    "SQUEEZE": 2,
    "STRIDED_SLICE": 5,
    "SUB": 5,
    "SUM": 2,
    "TANH": 3,
    "TRANSPOSE": 5,
    "TRANSPOSE_CONV": 3,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": 3,
}
"""Operators that map to the Edge TPU, and the newest version of each that the compiler can parse."""


@dataclass(frozen=True)
class OperatorVerdict:
    """One operator of a model; ``status`` is :data:`MAPS` or the reason why not."""

    index: int
    """Place of the operator in the model."""
    name: str
    """The schema's name, such as ``CONV_2D``."""
    version: int
    """Its version in the file."""
    status: str
    """:data:`MAPS`, or why it does not run on the Edge TPU."""

    @property
    def maps(self) -> bool:
        """Whether it runs on the Edge TPU."""
        return self.status == MAPS


@dataclass(frozen=True)
class CoralReport:
    """What the compiler will make of a model."""

    operators: tuple[OperatorVerdict, ...]
    """A verdict per operator, in run order."""
    model_problems: tuple[str, ...]
    """Rules that the model as a whole breaks."""
    parameter_bytes: int
    """Bytes of all weights, biases and other constants."""
    is_compiled: bool
    """Whether the file is the compiler's output already."""

    @property
    def fits_on_chip(self) -> bool:
        """Whether all parameters fit into the Edge TPU's own memory."""
        return self.parameter_bytes <= ON_CHIP_BYTES

    @property
    def failures(self) -> list[str]:
        """Everything that keeps the whole model from running on the Edge TPU, one line each."""
        reasons: dict[str, int] = {}
        for verdict in self.operators:
            if not verdict.maps:
                key = f"{verdict.name} v{verdict.version}: {verdict.status}"
                reasons[key] = reasons.get(key, 0) + 1
        lines = [f"Edge TPU: {line}" for line in self.model_problems]
        return lines + [f"Edge TPU: {count} x {reason}" for reason, count in reasons.items()]

    @property
    def summary(self) -> str:
        """One line on operators and memory."""
        if self.is_compiled:
            return "Compiled for the Edge TPU already: its operators are inside the custom operator and not listed."
        mapped = sum(verdict.maps for verdict in self.operators)
        share = f"{self.parameter_bytes / 2**20:.2f} of {ON_CHIP_BYTES / 2**20:.0f} MiB on-chip memory"
        memory = f"parameters take {share}" + ("" if self.fits_on_chip else "; the rest is streamed, which is slower")
        return f"{mapped} of {len(self.operators)} operators map to the Edge TPU; {memory}."

    def rows(self) -> list[list[str]]:
        """The table of the report.

        Returns:
            Header and one row for each kind of operator and status, with counts.
        """
        counts: dict[tuple[str, int, str], int] = {}
        for verdict in self.operators:
            key = (verdict.name, verdict.version, verdict.status)
            counts[key] = counts.get(key, 0) + 1
        body = [[name, str(version), str(count), status] for (name, version, status), count in counts.items()]
        return [["operator", "version", "count", "Edge TPU"], *body]


def check_edgetpu_rules(model: TFLiteModel) -> CoralReport:
    """Check a model against the rules of the Edge TPU compiler, operator by operator.

    Args:
        model: parsed by :func:`fer_export.tflite_file.read_tflite`.

    Returns:
        What the compiler will make of it.
    """
    compiled = any(op.name == COMPILED_OPERATOR for op in model.operators)
    verdicts = []
    on_cpu: Operator | None = None
    for op in model.operators:
        status = "compiled for the Edge TPU already" if op.name == COMPILED_OPERATOR else _status(model, op)
        if status == MAPS and on_cpu is not None:
            status = f"runs on the CPU after {on_cpu.name}: the compiler splits a model only once"
        elif status != MAPS and on_cpu is None and not compiled:
            on_cpu = op
        verdicts.append(OperatorVerdict(op.index, op.name, op.version, status))
    problems = [] if compiled else _model_problems(model)
    return CoralReport(tuple(verdicts), tuple(problems), model.parameter_bytes, compiled)


def _model_problems(model: TFLiteModel) -> list[str]:
    problems = []
    if model.subgraphs != 1:
        problems.append(f"the model has {model.subgraphs} subgraphs, one is expected")
    for which, indices in (("input", model.inputs), ("output", model.outputs)):
        for tensor in (model.tensors[i] for i in indices):
            if tensor.type_name not in ("INT8", "UINT8"):
                problems.append(f"the {which} {tensor.name} is {tensor.type_name}, expected INT8 or UINT8")
            if any(size < 0 for size in tensor.shape_signature):
                problems.append(
                    f"the {which} {tensor.name} leaves a size open {list(tensor.shape_signature)}; "
                    "sizes must be fixed, with batch 1: convert from a function of fixed input shape"
                )
            elif tensor.shape and tensor.shape[0] != 1:
                problems.append(f"the {which} {tensor.name} has batch {tensor.shape[0]}, expected 1")
    return problems


def _status(model: TFLiteModel, op: Operator) -> str:
    newest = MAX_VERSIONS.get(op.name)
    if newest is None:
        return "operation not supported"
    if op.version > newest:
        return f"version {op.version} is newer than {newest}, the newest that compiler 16.0 can parse"
    for index in (*op.inputs, *op.outputs):
        if index >= 0 and (problem := _tensor_problem(model.tensors[index])):
            return problem
    rule = _RULES.get(op.name)
    return (rule(model, op) if rule else None) or MAPS


def _tensor_problem(tensor: Tensor) -> str | None:
    if tensor.is_constant and tensor.type_name == "INT32":
        return None  # biases, axes and shapes
    if tensor.type_name not in ("INT8", "UINT8"):
        return f"tensor is {tensor.type_name}, expected 8-bit"
    if not tensor.is_quantized:
        return "tensor has no quantisation scale"
    if any(size < 0 for size in tensor.shape_signature[1:]):
        return "tensor size is not fixed"
    if len(tensor.shape) > 3 and not tensor.is_constant and any(size > 1 for size in tensor.shape[:-3]):
        return "only the three innermost dimensions may be larger than 1"
    return None


def _no_activation(_: TFLiteModel, op: Operator) -> str | None:
    return None if op.activation == "NONE" else f"no fused activation allowed, has {op.activation}"


def _same_dilation(_: TFLiteModel, op: Operator) -> str | None:
    x, y = int(op.options.get("dilationWFactor", 1)), int(op.options.get("dilationHFactor", 1))
    return None if x == y else f"dilation must be the same in x and y, is {x} and {y}"


def _fully_connected(model: TFLiteModel, op: Operator) -> str | None:
    if int(op.options.get("weightsFormat", 0)) != 0:
        return "only the default weights format"
    if model.tensors[op.inputs[1]].is_per_channel:
        return "weights are quantised per channel, must be per tensor (QAT gives that)"
    if model.tensors[op.outputs[0]].shape[:-1] not in ((), (1,)):
        return "output must be one-dimensional"
    return None


def _mean(model: TFLiteModel, op: Operator) -> str | None:
    data = model.tensors[op.inputs[0]]
    axes = model.tensors[op.inputs[1]]
    if not axes.is_constant:
        return "axes must be constant"
    reduced = {int(a) % len(data.shape) for a in np.ravel(axes.array())}
    if 0 in reduced and data.shape[0] != 1:
        return "no reduction in batch dimension"
    if len(data.shape) - 1 in reduced and data.shape[-1] % 4:
        return "a reduced z dimension must be a multiple of 4"
    return None


def _softmax(model: TFLiteModel, op: Operator) -> str | None:
    shape = model.tensors[op.inputs[0]].shape
    if any(size != 1 for size in shape[:-1]):
        return "input must be one-dimensional"
    return None if shape[-1] <= MAX_SOFTMAX else f"at most {MAX_SOFTMAX} elements, has {shape[-1]}"


def _pad(model: TFLiteModel, op: Operator) -> str | None:
    amounts = model.tensors[op.inputs[1]]
    if not amounts.is_constant:
        return "amounts must be constant"
    return "no padding in batch dimension" if amounts.array()[0].any() else None


def _transpose_free_reduction(model: TFLiteModel, op: Operator) -> str | None:
    axes = model.tensors[op.inputs[1]]
    rank = len(model.tensors[op.inputs[0]].shape)
    if not axes.is_constant or 0 in {int(a) % rank for a in np.ravel(axes.array())}:
        return "cannot operate on the batch dimension"
    return None


_RULES: Final[dict[str, Callable[[TFLiteModel, Operator], str | None]]] = {
    "AVERAGE_POOL_2D": _no_activation,
    "MAX_POOL_2D": _no_activation,
    "CONCATENATION": _no_activation,
    "CONV_2D": _same_dilation,
    "DEPTHWISE_CONV_2D": _same_dilation,
    "FULLY_CONNECTED": _fully_connected,
    "MEAN": _mean,
    "SUM": _transpose_free_reduction,
    "REDUCE_MAX": _transpose_free_reduction,
    "REDUCE_MIN": _transpose_free_reduction,
    "SOFTMAX": _softmax,
    "PAD": _pad,
}
