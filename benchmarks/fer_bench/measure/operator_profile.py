"""Where the time goes: time, multiply-accumulates and the rate reached of every operator of a model.

ONNX models by ONNX Runtime's own profiler. LiteRT's Python package has none, so each operator of a TFLite model is cut
out into a model of its own (same weights, same quantisation, same XNNPACK kernels) and timed alone; all operators take
turns. Its weights are then in the cache and every operator pays for a call of its own, so the sum is compared with the
time of the whole model and both are reported. A padding that XNNPACK makes part of the convolution after it is timed as
what it adds to that convolution: alone it would be a copy of the image that the model never makes.
"""

from __future__ import annotations

import json
import math
import re
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fer_bench.measure.tflite_operators import cut_out_operators
from fer_bench.schema import OperatorProfile, Profile
from fer_edge.dependencies import import_onnxruntime, import_runtime
from fer_edge.errors import InputError
from fer_edge.inference.backends import backends

__all__ = [
    "ALONE",
    "ONNX_RUNTIME",
    "RUNS_PER_TURN",
    "RUNTIME",
    "as_profile",
    "profile_model",
    "profile_tflite",
    "profiled_backends",
    "summarise_onnx",
]

ALONE: Final[str] = "each operator alone"
RUNTIME: Final[str] = "ONNX Runtime's profiler"
ONNX_RUNTIME: Final[str] = "onnxruntime"
RUNS_PER_TURN: Final[int] = 10
_FUSED: Final = ("Relu", "Clip")


def profile_model(path: Path, backend: str, threads: int, seconds: float) -> dict[str, Any]:
    """Time every operator of a model.

    Args:
        path: the model file.
        backend: name of the runtime.
        threads: CPU threads.
        seconds: to spend on it, over all operators.

    Returns:
        ``{"method", "whole_us", "operators": [{"operator", "output_shape", "n_macs", "time_us"}, ...]}`` in run order.
        ``n_macs`` is None where the multiply-accumulates are not known, 0 for operators that have none.

    Raises:
        InputError: the backend cannot be profiled.
    """
    spec = backends().get(backend)
    if spec is not None and spec.can_profile and spec.is_tflite:
        return profile_tflite(path.read_bytes(), str(spec.runtime_module), threads, seconds)
    if spec is not None and spec.can_profile and spec.runtime_module == ONNX_RUNTIME:
        return _profile_onnx(path, threads, seconds)
    works = " and ".join(profiled_backends())
    raise InputError(f"operators on {backend} cannot be profiled; --profile works on {works}")


def as_profile(
    model: str, backend: str, threads: int, content: Mapping[str, Any], invalid_reasons: Sequence[str]
) -> Profile:
    """What :func:`profile_model` measured, as it is in a report.

    Args:
        model: name of the model.
        backend: name of the runtime.
        threads: CPU threads.
        content: answer of :func:`profile_model`.
        invalid_reasons: why the times cannot be relied on; empty where they can.

    Returns:
        The profile.
    """
    operators = [OperatorProfile(**entry) for entry in content["operators"]]
    reasons = list(invalid_reasons)
    return Profile(model, backend, threads, content["method"], content["whole_us"], operators, not reasons, reasons)


def profiled_backends() -> list[str]:
    """Runtimes whose operators can be timed.

    Returns:
        Names of backends.
    """
    return [
        spec.name
        for spec in backends().values()
        if spec.can_profile and (spec.is_tflite or spec.runtime_module == ONNX_RUNTIME)
    ]


# -- TFLite: every operator cut out ---------------------------------------------------------------------------------


def profile_tflite(content: bytes, runtime_module: str, threads: int, seconds: float) -> dict[str, Any]:
    """Time each operator of a TFLite model, cut out into a model of its own.

    Args:
        content: the file.
        runtime_module: module with an ``Interpreter``, such as ``ai_edge_litert.interpreter``.
        threads: CPU threads.
        seconds: to spend on it, over all operators.

    Returns:
        As :func:`profile_model`.

    Raises:
        MissingDependencyError: the runtime, or the schema to cut with, is not installed.
    """
    make_interpreter = import_runtime(runtime_module).Interpreter
    parts = cut_out_operators(content)
    padded = [part for part in parts if part.with_next is not None]
    models = [content, *(part.content for part in parts), *(part.with_next for part in padded)]
    interpreters = []
    for model in models:
        interpreter = make_interpreter(model_content=model, num_threads=threads)
        interpreter.allocate_tensors()
        for detail in interpreter.get_input_details():
            interpreter.set_tensor(detail["index"], _any_values(detail["shape"], detail["dtype"]))
        interpreter.invoke()
        interpreters.append(interpreter)
    whole_us, *medians = _turns([interpreter.invoke for interpreter in interpreters], seconds)
    times_us = dict(zip((part.index for part in parts), medians, strict=False))
    for part, pair_us in zip(padded, medians[len(parts) :], strict=True):
        times_us[part.index] = max(0.0, pair_us - times_us[part.index_of_next])
    operators = [
        {
            "operator": part.operator,
            "output_shape": list(part.output_shape),
            "n_macs": part.n_macs,
            "time_us": times_us[part.index],
        }
        for part in parts
    ]
    return {"method": ALONE, "whole_us": whole_us, "operators": operators}


def _turns(calls: list[Any], seconds: float) -> list[float]:
    """Median over turns of each call's fastest run in a turn, in us."""
    fastest: list[list[float]] = [[] for _ in calls]
    clock = time.perf_counter_ns
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline or len(fastest[0]) < 5:
        for call, results in zip(calls, fastest, strict=True):
            call()
            best = math.inf
            for _ in range(RUNS_PER_TURN):
                before = clock()
                call()
                best = min(best, clock() - before)
            results.append(best / 1000)
    return [float(np.median(results)) for results in fastest]


def _any_values(shape: Any, dtype: Any) -> npt.NDArray[Any]:
    rng = np.random.default_rng(0)
    if np.issubdtype(dtype, np.integer):
        info = np.iinfo(dtype)
        whole: npt.NDArray[Any] = rng.integers(max(info.min, -128), min(info.max, 127), shape).astype(dtype)
        return whole
    real: npt.NDArray[Any] = rng.random(shape).astype(dtype)
    return real


# -- ONNX: the runtime's own profiler -------------------------------------------------------------------------------


def _profile_onnx(path: Path, threads: int, seconds: float) -> dict[str, Any]:
    ort = import_onnxruntime()

    dtypes = {"tensor(float)": np.float32, "tensor(int8)": np.int8, "tensor(uint8)": np.uint8}
    with tempfile.TemporaryDirectory() as folder:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        entry = session.get_inputs()[0]
        shape = [size if isinstance(size, int) else 1 for size in entry.shape]  # a batch left open has a name
        face = {entry.name: _any_values(shape, dtypes[entry.type])}
        deadline, runs = time.monotonic() + seconds, 0
        while time.monotonic() < deadline or runs < 20:
            session.run(None, face)
            runs += 1
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    return summarise_onnx(events, _onnx_weights(path))


def summarise_onnx(events: list[dict[str, Any]], weights: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    """The profile from ONNX Runtime's events; the first run, in which memory is laid out, is left out.

    Args:
        events: content of the profiler's JSON file.
        weights: shape of the weights by node name; may be empty.

    Returns:
        As :func:`profile_model`.
    """
    times: dict[str, list[float]] = defaultdict(list)
    facts: dict[str, dict[str, Any]] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            name = event["name"].removesuffix("_kernel_time")
            times[name].append(float(event["dur"]))
            facts.setdefault(name, event["args"])
    operators = []
    for name, values in times.items():
        shapes = [tuple(next(iter(shape.values()))) for shape in facts[name]["output_type_shape"]]
        kind = facts[name]["op_name"]
        operators.append(
            {
                "operator": kind,
                "output_shape": list(shapes[0]) if shapes else [],
                "n_macs": _onnx_macs(kind, name, facts[name], shapes, weights),
                "time_us": float(np.mean(_without_outliers(values[1:] or values))),
            }
        )
    runs = [float(event["dur"]) for event in events if event["name"] == "model_run"]
    return {"method": RUNTIME, "whole_us": float(np.median(runs[1:] or runs)), "operators": operators}


def _without_outliers(values: list[float]) -> npt.NDArray[np.float64]:
    """The values up to twice their median: the clock has whole microseconds, so a mean says more than a median."""
    array = np.asarray(values)
    return array[array <= max(2 * float(np.median(array)), 1.0)]


def _onnx_macs(
    kind: str, name: str, facts: dict[str, Any], outputs: list[tuple[int, ...]], weights: dict[str, tuple[int, ...]]
) -> int | None:
    if not any(word in kind for word in ("Conv", "Gemm", "MatMul")):
        return 0
    shapes = [tuple(next(iter(input_shape.values()))) for input_shape in facts["input_type_shape"]]
    shape = weights.get(re.sub(r"(_token_\d+|_nchwc|_nhwc)+$", "", name))
    if shape is None and len(shapes) > 1 and len(shapes[1]) >= 2:
        shape = shapes[1]  # a fused node has another name, but where weights are not packed they show here
    if shape is None or not outputs:
        return None
    if "Conv" in kind:
        return outputs[0][0] * _positions(outputs[0], shape[0]) * math.prod(shape)
    return math.prod(outputs[0]) // outputs[0][-1] * math.prod(shape)  # dense weights are (K, N) or (N, K)


def _positions(output: tuple[int, ...], channels: int) -> int:
    """Height times width of a convolution's output for weights ``(channels, Cin / groups, kh, kw)``.

    The graph says (N, C, H, W). The runtime may pad C to its block of 16, and runs 8-bit convolutions as (N, H, W, C).
    """
    padded = -(-channels // 16) * 16
    is_channels_last = output[1] not in (channels, padded) and output[-1] in (channels, padded)
    return math.prod(output[1:-1] if is_channels_last else output[2:])


def _onnx_weights(path: Path) -> dict[str, tuple[int, ...]]:
    """Shape of the weights by node name; empty without the onnx package, which a device need not have."""
    try:
        import onnx
    except ImportError:
        return {}
    graph = onnx.load(str(path)).graph
    constants = {item.name: tuple(item.dims) for item in graph.initializer}
    producers = {output: node for node in graph.node for output in node.output}
    shapes = {}
    for node in graph.node:
        if len(node.input) < 2:
            continue
        source = node.input[1]
        while source not in constants and source in producers and producers[source].op_type == "DequantizeLinear":
            source = producers[source].input[0]
        if source in constants and len(constants[source]) >= 2:
            shapes[node.name] = constants[source]
            # Where the runtime fuses an activation in, it names the operator after the last output
            output: str | None = node.output[0]
            while output is not None:
                shapes[output] = constants[source]
                after = [other for other in graph.node if output in other.input]
                output = after[0].output[0] if len(after) == 1 and after[0].op_type in _FUSED else None
    return shapes
