"""Does ONNX Runtime fuse the quantised operators of a file? Loads it and counts."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import Final

from fer_edge.dependencies import import_onnxruntime
from fer_edge.errors import MissingDependencyError

__all__ = ["MAX_QUANTIZE", "MAX_TRANSPOSES", "fusion_problems", "optimized_operators"]

MAX_TRANSPOSES: Final[int] = 2
MAX_QUANTIZE: Final[int] = 2


def optimized_operators(model: bytes) -> dict[str, int]:
    """Operators of a file after ONNX Runtime's optimisation for this machine's CPU, as it will run.

    Args:
        model: content of the ONNX file.

    Returns:
        ``{operator: count}``.

    Raises:
        MissingDependencyError: onnx or onnxruntime is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise MissingDependencyError.for_extra("onnx", "export") from error
    ort = import_onnxruntime()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "optimized.onnx"
        options = ort.SessionOptions()
        options.optimized_model_filepath = str(path)
        options.log_severity_level = 4
        ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        return dict(Counter(node.op_type for node in onnx.load(str(path)).graph.node))


def fusion_problems(operators: dict[str, int]) -> list[str]:
    """What keeps an optimised INT8 graph from being fast.

    Args:
        operators: as :func:`optimized_operators` counts them.

    Returns:
        One line each; empty when the graph is fully fused.
    """
    problems = []
    for kind in ("Conv", "FusedConv", "Gemm", "Clip", "Add"):
        if operators.get(kind):
            problems.append(f"{operators[kind]} {kind} run in float or apart")
    if operators.get("Transpose", 0) > MAX_TRANSPOSES:
        problems.append(f"{operators['Transpose']} Transpose remain, at most {MAX_TRANSPOSES} expected")
    for kind in ("QuantizeLinear", "DequantizeLinear"):
        if operators.get(kind, 0) > MAX_QUANTIZE:
            problems.append(f"{operators[kind]} {kind} remain, at most {MAX_QUANTIZE} expected")
    return problems
