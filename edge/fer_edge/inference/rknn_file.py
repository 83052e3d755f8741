"""What a ``.rknn`` file says of itself: for which chips, by which toolkit, and how its ends are quantised.

The format is Rockchip's own and undocumented. Files of rknn-toolkit2 2.5.0 begin with ``RKNN``, hold a dictionary of
their ends as Python writes it, and end with a JSON object that names chips and version. Only these two are read.
"""

from __future__ import annotations

import ast
import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fer_edge.errors import ModelError
from fer_edge.inference.tensors import TensorSpec, quantize
from fer_edge.preprocess import INPUT_SCALE, OUTPUT_SCALE, OUTPUT_ZERO_POINT

__all__ = ["RknnFile", "read_rknn", "stored_answers"]

_MAGIC: Final[bytes] = b"RKNN"
_HEADER_BYTES: Final[int] = 64
_MAX_TEXT_BYTES: Final[int] = 1 << 20
_ENDS: Final[bytes] = b"{'attrs':"


@dataclass(frozen=True)
class RknnFile:
    """The content of a file as far as it is read."""

    path: Path
    """The file."""
    platforms: tuple[str, ...]
    """Chips that it is made for, such as ``rk3588``; empty where it does not say."""
    version: str
    """Of rknn-toolkit2 that made it; empty where it does not say."""
    input_spec: TensorSpec
    """Of the input ``(1, S, S, 3)``, as the runtime takes it."""
    output_spec: TensorSpec
    """Of the output ``(1, 7)``."""


def read_rknn(path: Path) -> RknnFile:
    """Read what a ``.rknn`` file says of itself.

    Args:
        path: the file.

    Returns:
        Its content.

    Raises:
        ModelError: it is not such a file, is truncated, or its ends are not those of an emotion model.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from error
    summary = _summary(path, content)
    try:
        tensors = summary["norm_tensor"]
        source, answer = (tensors[edge["right_tensor_id"]] for edge in summary["graph"])
        shape = tuple(int(size) for size in source["size"])
        outputs = tuple(int(size) for size in answer["size"])
        kinds = [str(each["dtype"]["vx_type"]) for each in (source, answer)]
        platforms = tuple(str(name).lower() for name in summary["target_platform"])
        version = str(summary.get("version", "")).split("(")[0].strip()
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise ModelError(
            f"{path}: expected a model with one input and one output; its description cannot be read ({error!r})"
        ) from error
    if len(shape) != 4:
        raise ModelError(f"{path}: expected an input of shape (1, 3, S, S), the model has {shape}")
    ends = _ends(content)
    nhwc = (shape[0], shape[2], shape[3], shape[1])
    return RknnFile(
        path,
        platforms,
        version,
        _input_spec(path, str(source.get("url", "input")), nhwc, kinds[0], ends),
        _output_spec(path, str(answer.get("url", "output")), outputs, kinds[1], ends),
    )


def stored_answers(output: npt.NDArray[Any], spec: TensorSpec) -> npt.NDArray[Any]:
    """What the runtime gave, as the output that ``spec`` describes.

    The simulator gives the stored integers; runtimes on boards give them, or the probabilities that they stand for, or
    the integers as float32, depending on their version.

    Args:
        output: of any shape with as many values.
        spec: of the model's output.

    Returns:
        ``spec.shape`` of ``spec.dtype``, its own copy.
    """
    values = np.array(output).reshape(spec.shape)
    if values.dtype == spec.dtype:
        return values
    if not spec.is_quantized:
        return values.astype(spec.dtype)
    real = values.astype(np.float32)
    # Probabilities add up to 1; the stored integers to about 256 - 7 * 128 (int8) or 256 (uint8).
    if abs(float(real.sum()) - 1.0) < 0.5:
        return quantize(real, spec)
    info = np.iinfo(spec.dtype)
    stored: npt.NDArray[Any] = np.clip(np.rint(real), info.min, info.max).astype(spec.dtype)
    return stored


def _summary(path: Path, content: bytes) -> dict[str, Any]:
    """The JSON object at the end; the header says where the network before it ends."""
    if content[:4] != _MAGIC:
        raise ModelError(f"{path} is no RKNN file (or an encrypted one); expected one of fer-export --target rk3588")
    if len(content) < _HEADER_BYTES:
        raise ModelError(f"{path} is truncated: {len(content)} bytes")
    (length,) = struct.unpack_from("<Q", content, 16)
    at = content.find(b"{", _HEADER_BYTES + length) if length < len(content) else -1
    try:
        if at < 0 or len(content) - at > _MAX_TEXT_BYTES:
            raise ValueError("no description after the network")
        summary = json.loads(content[at:].rstrip(b"\0").decode())
        if not isinstance(summary, dict):
            raise ValueError("its description is not an object")
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is truncated, damaged, or of an unknown version of rknn-toolkit2: {error}") from error
    return summary


def _ends(content: bytes) -> dict[str, Any]:
    """How the ends are normalised and quantised, by name; empty where the file does not say."""
    at = content.find(_ENDS, 0, _MAX_TEXT_BYTES)
    stop = content.find(b"\0", at)
    if at < 0 or stop < 0 or stop - at > _MAX_TEXT_BYTES:
        return {}
    try:
        found = ast.literal_eval(content[at:stop].decode())
        return {name: {**attributes, **found["quant_tab"].get(name, {})} for name, attributes in found["attrs"].items()}
    except (ValueError, SyntaxError, KeyError, TypeError, AttributeError, RecursionError, MemoryError):
        return {}


def _input_spec(path: Path, name: str, shape: tuple[int, ...], kind: str, ends: dict[str, Any]) -> TensorSpec:
    end = ends.get(name, {})
    means, deviations = (_numbers(end.get(key)) for key in ("mean", "std"))
    if kind in ("float16", "float32"):
        return TensorSpec(name, shape, np.dtype(np.float32))
    if means and set(means) == {128.0} and set(deviations) == {128.0}:  # the runtime itself subtracts and divides
        return TensorSpec(name, shape, np.dtype(np.uint8), INPUT_SCALE, 128)
    if (means and set(means) != {0.0}) or (deviations and set(deviations) != {1.0}):
        raise ModelError(
            f"{path}: it normalises pixels by mean {means} and deviation {deviations}; expected mean_values and "
            "std_values of 128, or none: convert it again"
        )
    if kind != "int8":
        raise ModelError(f"{path}: its input is {kind}; expected int8, float16 or float32")
    low, high = (_numbers(end.get(key)) for key in ("ori_min", "ori_max"))
    if low and high and not (abs(low[0] + 1.0) < 0.01 and abs(high[0] - 127 / 128) < 0.01):
        raise ModelError(
            f"{path}: its quantised input takes {low[0]:.4g} to {high[0]:.4g}; expected (p-128)/128 of pixels p, as "
            "fer-export --target writes it"
        )
    # A zero point of 0 makes the tensor symmetric for the toolkit, which then notes 1/127; the integers stay ours.
    return TensorSpec(name, shape, np.dtype(np.int8), INPUT_SCALE, 0)


def _output_spec(path: Path, name: str, shape: tuple[int, ...], kind: str, ends: dict[str, Any]) -> TensorSpec:
    if kind in ("float16", "float32"):
        return TensorSpec(name, shape, np.dtype(np.float32))
    if kind != "int8":
        raise ModelError(f"{path}: its output is {kind}; expected int8, float16 or float32")
    end = ends.get(name, {})
    scales, zeros = _numbers(end.get("scale")), _numbers(end.get("zero_point"))
    if len(scales) == 1 and len(zeros) == 1:
        return TensorSpec(name, shape, np.dtype(np.int8), scales[0], int(zeros[0]))
    return TensorSpec(name, shape, np.dtype(np.int8), OUTPUT_SCALE, OUTPUT_ZERO_POINT)


def _numbers(values: Any) -> list[float]:
    if not isinstance(values, list | tuple):
        return []
    try:
        return [float(value) for value in values]
    except (TypeError, ValueError):
        return []
