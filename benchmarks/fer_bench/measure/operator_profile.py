"""Where the time goes: time, multiply-accumulates and the rate reached of every operator of a model.

ONNX models by ONNX Runtime's own profiler. LiteRT's Python package has none, so each operator of a TFLite model is cut
out into a model of its own (same weights, same quantisation, same XNNPACK kernels) and timed alone; all operators take
turns. Its weights are then in the cache and every operator pays for a call of its own, so the sum is compared with the
time of the whole model and both are reported.
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

from fer_bench.schema import OperatorProfile, Profile
from fer_edge.dependencies import import_onnxruntime, import_runtime
from fer_edge.errors import InputError, MissingDependencyError
from fer_edge.inference.backends import backends

__all__ = [
    "ALONE",
    "ONNX_RUNTIME",
    "RUNS_PER_TURN",
    "RUNTIME",
    "as_profile",
    "cut_out_operators",
    "profile_model",
    "profile_tflite",
    "profiled_backends",
    "summarise_onnx",
    "tflite_macs",
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
    operators = [OperatorProfile(**one) for one in content["operators"]]
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
    models = [content, *(part["content"] for part in parts)]
    interpreters = []
    for model in models:
        interpreter = make_interpreter(model_content=model, num_threads=threads)
        interpreter.allocate_tensors()
        for detail in interpreter.get_input_details():
            interpreter.set_tensor(detail["index"], _any_values(detail["shape"], detail["dtype"]))
        interpreter.invoke()
        interpreters.append(interpreter)
    medians = _turns([interpreter.invoke for interpreter in interpreters], seconds)
    operators = [
        {key: part[key] for key in ("operator", "output_shape", "n_macs")} | {"time_us": us}
        for part, us in zip(parts, medians[1:], strict=True)
    ]
    return {"method": ALONE, "whole_us": medians[0], "operators": operators}


def _turns(calls: list[Any], seconds: float) -> list[float]:
    """Median over turns of each call's fastest run in a turn, in us."""
    found: list[list[float]] = [[] for _ in calls]
    clock = time.perf_counter_ns
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline or len(found[0]) < 5:
        for call, results in zip(calls, found, strict=True):
            call()
            best = math.inf
            for _ in range(RUNS_PER_TURN):
                before = clock()
                call()
                best = min(best, clock() - before)
            results.append(best / 1000)
    return [float(np.median(results)) for results in found]


def _any_values(shape: Any, dtype: Any) -> npt.NDArray[Any]:
    rng = np.random.default_rng(0)
    if np.issubdtype(dtype, np.integer):
        info = np.iinfo(dtype)
        whole: npt.NDArray[Any] = rng.integers(max(info.min, -128), min(info.max, 127), shape).astype(dtype)
        return whole
    real: npt.NDArray[Any] = rng.random(shape).astype(dtype)
    return real


def cut_out_operators(content: bytes) -> list[dict[str, Any]]:
    """A one-operator model for each operator of a TFLite model.

    Args:
        content: the file.

    Returns:
        For each operator, in run order: ``content`` (of the new file), ``operator``, ``output_shape``, ``n_macs``.

    Raises:
        MissingDependencyError: ai-edge-litert, which brings TFLite's schema, is not installed.
    """
    try:
        import flatbuffers
        from ai_edge_litert import schema_py_generated as schema
    except ImportError as error:
        raise MissingDependencyError(f"{error.name} is not installed; pip install ai-edge-litert") from error
    names = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
    whole = schema.ModelT.InitFromPackedBuf(content, 0)
    graph = whole.subgraphs[0]
    parts = []
    for operator in graph.operators:
        code = whole.operatorCodes[operator.opcodeIndex]
        used = [int(i) for i in (*operator.inputs, *operator.outputs) if i >= 0]
        order = list(dict.fromkeys(used))
        new = {old: i for i, old in enumerate(order)}
        one, sub = schema.ModelT(), schema.SubGraphT()
        one.version, one.operatorCodes, one.subgraphs = whole.version, [code], [sub]
        one.buffers, sub.tensors = [schema.BufferT()], []
        for old in order:
            tensor = graph.tensors[old]
            copied = schema.TensorT()
            vars(copied).update(vars(tensor))
            copied.buffer = 0
            if _is_constant(whole, tensor):
                one.buffers.append(whole.buffers[tensor.buffer])
                copied.buffer = len(one.buffers) - 1
            sub.tensors.append(copied)
        alone = schema.OperatorT()
        vars(alone).update(vars(operator))
        alone.opcodeIndex = 0
        alone.inputs = [new[int(i)] if i >= 0 else -1 for i in operator.inputs]
        alone.outputs = [new[int(i)] for i in operator.outputs]
        sub.operators = [alone]
        sub.inputs = [new[int(i)] for i in operator.inputs if i >= 0 and not _is_constant(whole, graph.tensors[i])]
        sub.outputs = alone.outputs
        builder = flatbuffers.Builder(1024)
        builder.Finish(one.Pack(builder), b"TFL3")
        name = names[max(code.builtinCode, code.deprecatedBuiltinCode)]
        shapes = [tuple(int(n) for n in graph.tensors[i].shape) if i >= 0 else () for i in operator.inputs]
        output = tuple(int(n) for n in graph.tensors[operator.outputs[0]].shape)
        parts.append(
            {
                "content": bytes(builder.Output()),
                "operator": name,
                "output_shape": list(output),
                "n_macs": tflite_macs(name, shapes, output),
            }
        )
    return parts


def _is_constant(model: Any, tensor: Any) -> bool:
    data = model.buffers[tensor.buffer].data
    return data is not None and len(data) > 0


def tflite_macs(operator: str, inputs: list[tuple[int, ...]], output: tuple[int, ...]) -> int:
    """Multiply-accumulates of an operator from its shapes, NHWC.

    Args:
        operator: the schema's name, such as ``CONV_2D``.
        inputs: shapes of the inputs, in their order.
        output: shape of the output.

    Returns:
        Their number; 0 for operators that do not multiply matrices.
    """
    if operator == "CONV_2D":  # weights (Cout, kh, kw, Cin)
        return math.prod(output) * math.prod(inputs[1][1:])
    if operator == "DEPTHWISE_CONV_2D":  # weights (1, kh, kw, C)
        return math.prod(output) * math.prod(inputs[1][1:3])
    if operator == "FULLY_CONNECTED":  # weights (out, in)
        return math.prod(output) * inputs[1][1]
    return 0


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
        face = {entry.name: _any_values(entry.shape, dtypes[entry.type])}
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
        shapes = [tuple(next(iter(one.values()))) for one in facts[name]["output_type_shape"]]
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
    shapes = [tuple(next(iter(one.values()))) for one in facts["input_type_shape"]]
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
    found = {}
    for node in graph.node:
        if len(node.input) < 2:
            continue
        source = node.input[1]
        while source not in constants and source in producers and producers[source].op_type == "DequantizeLinear":
            source = producers[source].input[0]
        if source in constants and len(constants[source]) >= 2:
            found[node.name] = constants[source]
            # Where the runtime fuses an activation in, it names the operator after the last output
            output: str | None = node.output[0]
            while output is not None:
                found[output] = constants[source]
                after = [other for other in graph.node if output in other.input]
                output = after[0].output[0] if len(after) == 1 and after[0].op_type in _FUSED else None
    return found
