"""Scales with which ONNX Runtime adds exactly as LiteRT does.

Convolutions of the two runtimes agree to the last bit: both accumulate in int32 and round ``acc * scale`` half to even.
The first different bit of a network arises in an ADD. XNNPACK computes it in integers, ``a * A + b * B`` with 21-bit
multipliers, rounded half up; ONNX Runtime in float32, with a constant term that is itself rounded. They part where a
sum lies within about 1e-5 of a rounding tie. That is one pair (a, b) in some ten thousand, but 8-bit activations
crowd around few values, so one such pair can flip 0.05 % of a layer, which the layers after it amplify.

An 8-bit ADD has only 65,536 possible inputs. So the remedy is a search: move the two input scales by steps of about
1e-7 until ONNX Runtime gives, for every pair, what XNNPACK gives. Real numbers change in the seventh digit.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fer_edge.dependencies import import_onnxruntime
from fer_edge.errors import MissingDependencyError

__all__ = ["MAX_STEPS", "MULTIPLIER_BITS", "AddMatch", "AddQuantization", "match_add", "xnnpack_add"]

MULTIPLIER_BITS: Final[int] = 20
MAX_STEPS: Final[int] = 12
"""How far the search goes from the original scales, in float32 steps (2**-23 of the value) of each."""


@dataclass(frozen=True)
class AddQuantization:
    """Scales and zero points of an 8-bit ``c = a + b``; zero points as TFLite stores them, for int8."""

    a_scale: float
    """Scale of the first summand."""
    a_zero: int
    """Zero point of the first summand."""
    b_scale: float
    """Scale of the second summand."""
    b_zero: int
    """Zero point of the second summand."""
    c_scale: float
    """Scale of the sum."""
    c_zero: int
    """Zero point of the sum."""


@dataclass(frozen=True)
class AddMatch:
    """What the search found: input scales, and for how many of the 65,536 pairs the runtimes still differ."""

    a_scale: np.float32
    """Scale of the first summand."""
    b_scale: np.float32
    """Scale of the second summand."""
    differing_pairs: int
    """0 where the runtimes give the same sums."""


def xnnpack_add(q: AddQuantization) -> npt.NDArray[np.int64]:
    """The table of int8 sums by XNNPACK's integer arithmetic.

    Source: ``xnn_init_qs8_add_minmax_*_params`` in XNNPACK's ``microparams-init.c``: multipliers of 20 bits after the
    leading one of the larger, an arithmetic shift with rounding half up.

    Args:
        q: scales and zero points.

    Returns:
        ``(256, 256)`` int64 in [-128, 127], at ``[a + 128, b + 128]``.
    """
    ratio_a = np.float32(q.a_scale) / np.float32(q.c_scale)
    ratio_b = np.float32(q.b_scale) / np.float32(q.c_scale)
    exponent = int(np.frexp(max(ratio_a, ratio_b))[1]) - 1
    shift = MULTIPLIER_BITS - exponent
    factor_a = int(np.rint(np.ldexp(np.float64(ratio_a), shift)))
    factor_b = int(np.rint(np.ldexp(np.float64(ratio_b), shift)))
    values = np.arange(-128, 128, dtype=np.int64)
    total = (values - q.a_zero)[:, None] * factor_a + (values - q.b_zero)[None, :] * factor_b + (1 << (shift - 1))
    table: npt.NDArray[np.int64] = np.clip((total >> shift) + q.c_zero, -128, 127)
    return table


def match_add(q: AddQuantization, *, unsigned: bool) -> AddMatch:
    """Search the input scales that make ONNX Runtime's ADD equal XNNPACK's, nearest first.

    Args:
        q: scales and zero points of the TFLite file.
        unsigned: whether activations are stored as uint8 in the ONNX file (U8S8), otherwise as int8.

    Returns:
        The first match, or the best one found.

    Raises:
        MissingDependencyError: onnx or onnxruntime is not installed.
    """
    adder = _OrtAdder(unsigned)
    expected = xnnpack_add(q)
    best: AddMatch | None = None
    for a_scale, b_scale in _candidates(np.float32(q.a_scale), np.float32(q.b_scale)):
        differing = int(np.count_nonzero(adder.table(q, a_scale, b_scale) != expected))
        if best is None or differing < best.differing_pairs:
            best = AddMatch(a_scale, b_scale, differing)
        if best.differing_pairs == 0:
            break
    assert best is not None  # the first candidate is the original pair
    return best


def _candidates(a_scale: np.float32, b_scale: np.float32) -> Iterator[tuple[np.float32, np.float32]]:
    steps = sorted(
        itertools.product(range(-MAX_STEPS, MAX_STEPS + 1), repeat=2), key=lambda s: (abs(s[0]) + abs(s[1]), s)
    )
    for step_a, step_b in steps:
        yield _stepped(a_scale, step_a), _stepped(b_scale, step_b)


def _stepped(value: np.float32, steps: int) -> np.float32:
    """``value`` moved by a number of representable float32 values."""
    return np.float32(np.int32(value.view(np.int32) + steps).view(np.float32))


class _OrtAdder:
    """ONNX Runtime's fused 8-bit addition over all 65,536 pairs; scales and zero points are inputs."""

    def __init__(self, unsigned: bool) -> None:
        try:
            import onnx
            from onnx import helper
        except ImportError as error:
            raise MissingDependencyError.for_extra("onnx", "export") from error
        ort = import_onnxruntime()
        self._onnx, self._ort, self._helper = onnx, ort, helper
        self._dtype: Any = np.uint8 if unsigned else np.int8
        self._shift = 128 if unsigned else 0
        values = np.arange(256).astype(np.uint8) if unsigned else np.arange(-128, 128).astype(np.int8)
        self._a, self._b = (np.ascontiguousarray(grid) for grid in np.meshgrid(values, values, indexing="ij"))

    def table(self, q: AddQuantization, a_scale: np.float32, b_scale: np.float32) -> npt.NDArray[np.int64]:
        """``(256, 256)`` int8 sums, as :func:`xnnpack_add` lays them out."""
        helper, element = self._helper, self._onnx.helper.np_dtype_to_tensor_dtype(np.dtype(self._dtype))
        constants = {
            "sa": np.float32(a_scale),
            "za": self._dtype(q.a_zero + self._shift),
            "sb": np.float32(b_scale),
            "zb": self._dtype(q.b_zero + self._shift),
            "sc": np.float32(q.c_scale),
            "zc": self._dtype(q.c_zero + self._shift),
        }
        graph = helper.make_graph(
            [
                helper.make_node(
                    "QLinearAdd", ["a", "sa", "za", "b", "sb", "zb", "sc", "zc"], ["c"], domain="com.microsoft"
                )
            ],
            "add",
            [helper.make_tensor_value_info(name, element, [256, 256]) for name in "ab"],
            [helper.make_tensor_value_info("c", element, [256, 256])],
            [self._onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
        )
        opsets = [helper.make_opsetid("", 13), helper.make_opsetid("com.microsoft", 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
        session = self._ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        result = session.run(None, {"a": self._a, "b": self._b})[0].astype(np.int64) - self._shift
        table: npt.NDArray[np.int64] = result
        return table
