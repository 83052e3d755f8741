#!/usr/bin/env bash
# TensorFlow Lite Micro gives the memory of the input tensor to later layers: after Invoke() it holds something else. A
# second Invoke() on what was written once returns kTfLiteOk and other outputs; on TFLite's own interpreter it gives the
# same. Its header says nothing of it; on a microcontroller a loop that fills the input once shows it as wrong answers.
# Exits 0 while it is so, 1 when it has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check tflite-micro==0.dev20261023182759 ai-edge-litert==2.3.0 numpy==2.4.6
cat > "$work/network.py" << 'PYTHON'
import sys
import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as s

rng = np.random.default_rng(0)
model, graph = s.ModelT(), s.SubGraphT()
model.version, model.description = 3, b"three convolutions"
model.buffers, model.operatorCodes, model.subgraphs = [s.BufferT()], [s.OperatorCodeT()], [graph]
model.operatorCodes[0].builtinCode = model.operatorCodes[0].deprecatedBuiltinCode = s.BuiltinOperator.CONV_2D
model.operatorCodes[0].version = 3
graph.tensors, graph.operators, graph.name = [], [], b"main"


def tensor(name, shape, scale, kind=s.TensorType.INT8, data=None):
    t, q = s.TensorT(), s.QuantizationParametersT()
    t.name, t.shape, t.type, t.quantization = name.encode(), shape, kind, q
    q.scale, q.zeroPoint, q.quantizedDimension = scale, [0] * len(scale), 0
    if data is not None:
        b = s.BufferT()
        b.data = np.frombuffer(data.tobytes(), np.uint8)
        t.buffer = len(model.buffers)
        model.buffers.append(b)
    graph.tensors.append(t)
    return len(graph.tensors) - 1


last = first = tensor("input", [1, 32, 32, 16], [0.02])
for i in range(3):
    w = tensor(f"w{i}", [16, 3, 3, 16], [0.004] * 16, data=rng.integers(-127, 128, (16, 3, 3, 16)).astype(np.int8))
    b = tensor(f"b{i}", [16], [0.02 * 0.004] * 16, s.TensorType.INT32, rng.integers(-999, 999, 16).astype(np.int32))
    out = tensor(f"y{i}", [1, 32, 32, 16], [0.02])
    op, options = s.OperatorT(), s.Conv2DOptionsT()
    op.opcodeIndex, op.inputs, op.outputs = 0, [last, w, b], [out]
    op.builtinOptionsType, op.builtinOptions = s.BuiltinOptions.Conv2DOptions, options
    options.strideH = options.strideW = 1
    graph.operators.append(op)
    last = out
graph.inputs, graph.outputs = [first], [last]
builder = flatbuffers.Builder(1 << 16)
builder.Finish(model.Pack(builder), b"TFL3")
open(sys.argv[1], "wb").write(builder.Output())
PYTHON
cat > "$work/invoke.py" << 'PYTHON'
import sys

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from tflite_micro import runtime

x = np.random.default_rng(1).integers(-128, 128, (1, 32, 32, 16)).astype(np.int8)
micro = runtime.Interpreter.from_file(sys.argv[1])
micro.set_input(x, 0)
status = [micro.invoke()]
first = micro.get_output(0)
status.append(micro.invoke())
second = micro.get_output(0)
micro.set_input(x, 0)
status.append(micro.invoke())
written_again = micro.get_output(0)
lite = Interpreter(sys.argv[1], num_threads=1)
lite.allocate_tensors()
lite.set_tensor(lite.get_input_details()[0]["index"], x)
lite.invoke()
before = lite.get_tensor(lite.get_output_details()[0]["index"])
lite.invoke()
after = lite.get_tensor(lite.get_output_details()[0]["index"])
changed = float(np.mean(first != second))
print(f"TFLM, status {status}: {changed:.0%} of the outputs change with the second invoke")
print(f"TFLM, input written again: {np.mean(first != written_again):.0%} change")
print(f"LiteRT: {np.mean(before != after):.0%} change")
same = np.array_equal(first, written_again) and np.array_equal(before, after) and status == [0, 0, 0]
sys.exit(0 if changed > 0.1 and same else "changed: the input survives, or something else is different")
PYTHON
"$work/venv/bin/pip" list --disable-pip-version-check 2> /dev/null | grep -E "^(tflite-micro|ai-edge-litert|numpy) "
"$work/venv/bin/python" "$work/network.py" "$work/net.tflite"
out=$("$work/venv/bin/python" "$work/invoke.py" "$work/net.tflite" 2> "$work/log") || { echo "$out"; cat "$work/log"; exit 1; }
echo "$out"
