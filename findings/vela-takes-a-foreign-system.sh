#!/usr/bin/env bash
# Arm's vela compiles for an Ethos-U55 with the system configuration of an Ethos-U65, without a word and with exit code 0.
# Its estimate is then for memories and a clock that a U55 does not have: half the time, here. Whoever copies a command
# line from another board publishes it. Exits 0 while it is so, 1 when it has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check ethos-u-vela==5.2.0 ai-edge-litert==2.3.0 numpy==2.4.6
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
"$work/venv/bin/pip" list --disable-pip-version-check 2> /dev/null | grep -E "^(ethos-u-vela|ai-edge-litert|numpy) "
"$work/venv/bin/python" "$work/network.py" "$work/net.tflite"
estimate() {
  "$work/venv/bin/vela" "$work/net.tflite" --accelerator-config ethos-u55-256 --config Arm/vela.ini \
    --system-config "$1" --memory-mode Shared_Sram --output-dir "$work/$1" > "$work/$1.log" 2>&1
  ! grep -qiE "warning|error" "$work/$1.log" || { echo "changed: vela says something"; cat "$work/$1.log"; exit 1; }
  "$work/venv/bin/python" - "$work/$1/net_summary_$1.csv" << 'PYTHON'
import csv
import sys

(row,) = csv.DictReader(open(sys.argv[1]))
print(row["accelerator_configuration"], row["system_config"], float(row["core_clock"]) / 1e6, "MHz")
print(f"{1e6 * float(row['inference_time']):.0f} microseconds")
PYTHON
}
own=$(estimate Ethos_U55_High_End_Embedded)
foreign=$(estimate Ethos_U65_High_End)
printf '%s\n' "$own" "$foreign"
own_us=$(tail -n 1 <<< "$own"); foreign_us=$(tail -n 1 <<< "$foreign")
[ $((${foreign_us%% *} * 3)) -lt $((${own_us%% *} * 2)) ] || { echo "changed: the estimates are alike"; exit 1; }
