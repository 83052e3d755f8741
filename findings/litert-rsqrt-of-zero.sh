#!/usr/bin/env bash
# LiteRT with its default delegate, XNNPACK, takes RSQRT of 0 for NaN on x86, and TFLite's own kernels for inf, as IEEE
# 754, TensorFlow and ONNX do. So min(rsqrt(sum(x^2)), 1e6) * x, which is how Keras' UnitNormalization is converted,
# turns a vector of zeros (dead ReLUs, a black picture) into NaN. Exits 0 while it is so, 1 when it has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "numpy==2.4.6" "ai-edge-litert==2.3.0"
cat >"$work/show.py" <<'PY'
import sys
from importlib.metadata import version
import flatbuffers, numpy as np
from ai_edge_litert import schema_py_generated as s
from ai_edge_litert.interpreter import Interpreter, OpResolverType

# RSQRT of (1, 8) float32, built with LiteRT's own schema.
model, graph, code, op = s.ModelT(), s.SubGraphT(), s.OperatorCodeT(), s.OperatorT()
model.version, model.subgraphs, model.buffers, model.operatorCodes = 3, [graph], [s.BufferT()], [code]
code.builtinCode = code.deprecatedBuiltinCode = s.BuiltinOperator.RSQRT
code.version = 1
graph.tensors = []
for name in ("x", "y"):
    tensor = s.TensorT()
    tensor.name, tensor.shape, tensor.type, tensor.buffer = name, np.array((1, 8), np.int32), s.TensorType.FLOAT32, 0
    graph.tensors.append(tensor)
op.opcodeIndex, op.inputs, op.outputs = 0, np.array([0], np.int32), np.array([1], np.int32)
graph.operators, graph.inputs, graph.outputs = [op], np.array([0], np.int32), np.array([1], np.int32)
builder = flatbuffers.Builder(1024)
builder.Finish(model.Pack(builder), b"TFL3")

print("ai-edge-litert", version("ai-edge-litert"))
x = np.array([[0.0, 1e-30, 0.25, 1.0, 4.0, 100.0, 1e30, 0.0]], np.float32)
print("x", x)
answers = {}
for name, kind in (("XNNPACK", OpResolverType.AUTO), ("own kernels", OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)):
    net = Interpreter(model_content=bytes(builder.Output()), experimental_op_resolver_type=kind, num_threads=1)
    net.allocate_tensors()
    net.set_tensor(net.get_input_details()[0]["index"], x)
    net.invoke()
    answers[name] = net.get_tensor(net.get_output_details()[0]["index"])
    print(name, answers[name])
sys.exit(0 if np.isnan(answers["XNNPACK"][0, 0]) and np.isposinf(answers["own kernels"][0, 0]) else 1)
PY
"$work/venv/bin/python" "$work/show.py"
