#!/usr/bin/env bash
# OpenVINO 2026.4.1 on x86-64 with AVX2 and without VNNI: its INT8 kernels add pairs of products in 16 bits, which
# saturate, so a quantised convolution gives another result than the same network computed with
# LP_TRANSFORMS_MODE=NO, or by ONNX Runtime. Processors with VNNI compute it exactly.
# Exit 0: as described. Exit 1: the behaviour changed. Exit 3: not this kind of processor, or no packages.
set -euo pipefail
grep -qw avx2 /proc/cpuinfo || { echo "no AVX2 here"; exit 3; }
if grep -qwE 'avx512_vnni|avx_vnni' /proc/cpuinfo; then echo "this processor has VNNI"; exit 3; fi
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check openvino==2026.4.1 onnx==1.22.0 onnxruntime==1.32.0 || exit 3
cat > "$work/convolution.py" <<'PYTHON'
"""One quantised 1x1 convolution: 64 channels of 1.0 by weights of 0.5, whose sum is 32."""
import numpy as np
import onnx
import onnxruntime
import openvino
from onnx import TensorProto, helper, numpy_helper

constants = {
    "x_scale": np.float32(1 / 255), "x_zero": np.uint8(0),
    "w": np.full((64, 64, 1, 1), 127, np.int8), "w_scale": np.float32(0.5 / 127), "w_zero": np.int8(0),
    "y_scale": np.float32(64 / 255), "y_zero": np.uint8(0),
}
nodes = [
    helper.make_node("QuantizeLinear", ["x", "x_scale", "x_zero"], ["xq"]),
    helper.make_node("DequantizeLinear", ["xq", "x_scale", "x_zero"], ["xd"]),
    helper.make_node("DequantizeLinear", ["w", "w_scale", "w_zero"], ["wd"]),
    helper.make_node("Conv", ["xd", "wd"], ["c"]),
    helper.make_node("QuantizeLinear", ["c", "y_scale", "y_zero"], ["yq"]),
    helper.make_node("DequantizeLinear", ["yq", "y_scale", "y_zero"], ["y"]),
]
ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 64, 8, 8]) for name in "xy"]
initial = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
graph = helper.make_graph(nodes, "one", ends[:1], ends[1:], initial)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
onnx.checker.check_model(model)
content, x = model.SerializeToString(), np.ones((1, 64, 8, 8), np.float32)

core = openvino.Core()
results = {}
for name, more in (("INT8", {}), ("LP_TRANSFORMS_MODE=NO", {"LP_TRANSFORMS_MODE": "NO"})):
    network = core.compile_model(core.read_model(content), "CPU", {"INFERENCE_PRECISION_HINT": "f32", **more})
    results[name] = float(network(x)[0].mean())
options = onnxruntime.SessionOptions()
options.add_session_config_entry("session.x64quantprecision", "1")
session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
results["ONNX Runtime"] = float(session.run(None, {"x": x})[0].mean())
print("OpenVINO", openvino.__version__, {name: round(value, 2) for name, value in results.items()}, "expected 32")
assert abs(results["LP_TRANSFORMS_MODE=NO"] - 32) < 0.5 and abs(results["ONNX Runtime"] - 32) < 0.5
raise SystemExit(0 if results["INT8"] < 20 else 1)
PYTHON
ORT_DISABLE_TELEMETRY=1 "$work/venv/bin/python" "$work/convolution.py"
