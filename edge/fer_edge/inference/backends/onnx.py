"""ONNX models by ONNX Runtime, on the CPU."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fer_edge.errors import MissingDependencyError, ModelError
from fer_edge.inference.classifier import ClassifierBase
from fer_edge.inference.tensors import TensorSpec
from fer_edge.preprocess import INPUT_SCALE

_DTYPES = {"tensor(float)": np.float32, "tensor(int8)": np.int8, "tensor(uint8)": np.uint8}
OUTPUT_SCALE = 1.0 / 256.0
OUTPUT_ZERO_POINT = -128


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


def _spec(node: Any, scale: float, zero_point: int) -> TensorSpec:
    dtype = np.dtype(_DTYPES.get(node.type, np.object_))
    shape = tuple(n if isinstance(n, int) else 1 for n in node.shape)  # a named (dynamic) batch axis is 1 for us
    return TensorSpec(node.name, shape, dtype, *((scale, zero_point) if dtype != np.float32 else (0.0, 0)))


class OnnxClassifier(ClassifierBase):
    """One ONNX model in one ONNX Runtime session.

    ONNX keeps no quantisation of a model's ends; those of the contract are taken (input scale 1/128 and zero point 0,
    output scale 1/256 and zero point -128). Where the file's metadata say otherwise (``fer-export`` writes them), it is
    refused.
    """

    backend = "onnx"

    def __init__(self, model_path: Path, *, threads: int = 1) -> None:
        try:
            import onnxruntime as ort
        except ImportError as error:
            raise MissingDependencyError(
                f"onnxruntime cannot be imported ({error}); install it with: pip install onnxruntime"
            ) from error
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        if not has_exact_int8():
            options.add_session_config_entry("session.x64quantprecision", "1")  # slower kernels that do not saturate
        try:
            self._session = ort.InferenceSession(str(model_path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's exceptions share no public base class
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise ModelError(f"{model_path} cannot be loaded as ONNX, truncated or damaged? {reason}") from error
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1 or len(outputs) != 1:
            raise ModelError(
                f"{model_path}: expected one input and one output, the model has {len(inputs)} and {len(outputs)}"
            )
        input_spec = _spec(inputs[0], INPUT_SCALE, 0)
        output_spec = _spec(outputs[0], OUTPUT_SCALE, OUTPUT_ZERO_POINT)
        self._check_metadata(model_path, input_spec, output_spec)
        super().__init__(model_path, input_spec, output_spec, f"onnxruntime {ort.__version__}")

    def _check_metadata(self, model_path: Path, input_spec: TensorSpec, output_spec: TensorSpec) -> None:
        noted = self._session.get_modelmeta().custom_metadata_map
        for end, spec in (("input", input_spec), ("output", output_spec)):
            if not spec.is_quantized or f"fer.{end}_scale" not in noted:
                continue
            try:
                found = float(noted[f"fer.{end}_scale"]), int(noted[f"fer.{end}_zero_point"])
            except (KeyError, ValueError) as error:
                raise ModelError(f"{model_path}: its metadata on the {end} cannot be read: {error}") from error
            if found != (spec.scale, spec.zero_point):
                raise ModelError(
                    f"{model_path}: the {end} has scale {found[0]:.8g} and zero point {found[1]}; "
                    f"expected {spec.scale:.8g} and {spec.zero_point}"
                )

    def infer(self, tensor: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Bare network: ``(1, S, S, 3)`` to ``(1, 7)``, both in the model's own dtypes."""
        result: npt.NDArray[Any] = self._session.run(None, {self.input_spec.name: tensor})[0]
        return result
