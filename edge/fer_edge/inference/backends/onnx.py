"""ONNX models by ONNX Runtime, on the CPU."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer_edge.dependencies import import_onnxruntime
from fer_edge.errors import ModelError
from fer_edge.inference.backend import BackendSpec, Tolerance

if TYPE_CHECKING:
    import numpy.typing as npt

    from fer_edge.inference.classifier import Classifier
    from fer_edge.inference.tensors import TensorSpec

_DTYPES = {"tensor(float)": "float32", "tensor(int8)": "int8", "tensor(uint8)": "uint8"}


def has_exact_int8(machine: str | None = None, cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether this processor's fast kernels multiply unsigned by signed 8-bit numbers exactly.

    x86 without VNNI adds pairs of products in 16 bits, which saturate: on an emulated Haswell a quarter of the
    decisions changed. With VNNI, and on Arm, sums are exact; where the processor's features cannot be read (not Linux),
    the answer for x86 is no: right before fast.
    """
    if (machine or platform.machine()).lower() not in ("x86_64", "amd64", "i386", "i686"):
        return True
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    flags = next((line.split(":", 1)[1].split() for line in lines if line.startswith("flags")), [])
    return "avx512_vnni" in flags or "avx_vnni" in flags


def open_model(model_path: Path, *, threads: int = 1) -> Classifier:
    """One ONNX model in one ONNX Runtime session.

    ONNX keeps no quantisation of a model's ends; those of the contract are taken (input scale 1/128 and zero point 0,
    output scale 1/256 and zero point -128) where the file's metadata, which ``fer-export`` writes, say so. Any other
    file with 8-bit ends is refused.

    Raises:
        MissingDependencyError: ONNX Runtime is not installed.
        ModelError: a bad file.
    """
    ort = import_onnxruntime()
    from fer_edge.inference.classifier import FunctionClassifier
    from fer_edge.preprocess import INPUT_SCALE, OUTPUT_SCALE, OUTPUT_ZERO_POINT

    session = _session(ort, model_path, threads)
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1 or len(outputs) != 1:
        raise ModelError(
            f"{model_path}: expected one input and one output, the model has {len(inputs)} and {len(outputs)}"
        )
    source = _spec(inputs[0], model_path, INPUT_SCALE, 0)
    answer = _spec(outputs[0], model_path, OUTPUT_SCALE, OUTPUT_ZERO_POINT)
    _check_metadata(session.get_modelmeta().custom_metadata_map, model_path, source, answer)
    run, name = session.run, source.name

    def compute(tensor: npt.NDArray[Any]) -> npt.NDArray[Any]:
        result: npt.NDArray[Any] = run(None, {name: tensor})[0]
        return result

    version = f"onnxruntime {ort.__version__}"
    return FunctionClassifier(BACKEND.name, model_path, source, answer, version, compute)


def _session(ort: Any, model_path: Path, threads: int) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    if not has_exact_int8():
        options.add_session_config_entry("session.x64quantprecision", "1")  # slower kernels that do not saturate
    try:
        return ort.InferenceSession(str(model_path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions share no public base class
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(f"{model_path} cannot be loaded as ONNX, truncated or damaged? {reason}") from error


def _spec(node: Any, model_path: Path, scale: float, zero_point: int) -> TensorSpec:
    import numpy as np

    from fer_edge.inference.tensors import TensorSpec

    if node.type not in _DTYPES:
        raise ModelError(f"{model_path}: tensor {node.name} is a {node.type}; expected {', '.join(_DTYPES)}")
    dtype = np.dtype(_DTYPES[node.type])
    sizes = list(node.shape)
    if sizes and not isinstance(sizes[0], int):
        sizes[0] = 1  # a named (dynamic) batch axis is 1 for us
    shape = tuple(n if isinstance(n, int) else -1 for n in sizes)
    return TensorSpec(node.name, shape, dtype, *((scale, zero_point) if dtype != np.float32 else (0.0, 0)))


def _check_metadata(noted: dict[str, str], model_path: Path, source: TensorSpec, answer: TensorSpec) -> None:
    for end, spec in (("input", source), ("output", answer)):
        if not spec.is_quantized:
            continue
        if f"fer.{end}_scale" not in noted:
            raise ModelError(
                f"{model_path}: its {end} is {spec.dtype}, and ONNX files do not say which numbers that means; "
                "expected float32, or a file of fer-export: quantise it with float ends (QDQ), or use TFLite"
            )
        try:
            written = float(noted[f"fer.{end}_scale"]), int(noted[f"fer.{end}_zero_point"])
        except (KeyError, ValueError) as error:
            raise ModelError(f"{model_path}: its metadata on the {end} cannot be read: {error}") from error
        if written != (spec.scale, spec.zero_point):
            raise ModelError(
                f"{model_path}: the {end} has scale {written[0]:.8g} and zero point {written[1]}; "
                f"expected {spec.scale:.8g} and {spec.zero_point}"
            )


BACKEND = BackendSpec(
    name="onnx",
    open=open_model,
    runtime_module="onnxruntime",
    package="onnxruntime",
    suffixes=(".onnx",),
    rank=40,
    # It rounds sums otherwise here and there: by one step of 1/256 at first, by more after fifty layers.
    tolerance=Tolerance(0.005, 0.95),
    can_profile=True,
)
