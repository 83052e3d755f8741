#!/usr/bin/env bash
# LiteRT's XNNPACK delegate takes RESIZE_BILINEAR but not RESIZE_NEAREST_NEIGHBOR: each one cuts the
# network into separately delegated parts, without a word. CONCATENATION of four copies and DEPTH_TO_SPACE give the same
# bits in one part. Exits 0 while it is so, 1 when it has changed.
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
from ai_edge_litert.interpreter import Interpreter

# ABS -> twice the size -> ABS, (1, 4, 6, 8) to (1, 8, 12, 8).
def tflite(way):
    model, graph = s.ModelT(), s.SubGraphT()
    model.version, model.subgraphs, model.buffers, model.operatorCodes = 3, [graph], [s.BufferT()], []
    graph.tensors, graph.operators = [], []
    def tensor(shape, data=None):
        t = s.TensorT(); t.name, t.shape, t.buffer = f"t{len(graph.tensors)}", np.array(shape, np.int32), 0
        t.type = s.TensorType.FLOAT32 if data is None else s.TensorType.INT32
        if data is not None:
            b = s.BufferT(); b.data = np.frombuffer(data.tobytes(), np.uint8)
            t.buffer = len(model.buffers); model.buffers.append(b)
        graph.tensors.append(t); return len(graph.tensors) - 1
    def operator(kind, inputs, shape, options, name):
        code = s.OperatorCodeT(); code.builtinCode = getattr(s.BuiltinOperator, kind); code.version = 1
        code.deprecatedBuiltinCode = code.builtinCode; model.operatorCodes.append(code)
        o = s.OperatorT(); o.opcodeIndex = len(model.operatorCodes) - 1; y = tensor(shape)
        o.inputs, o.outputs = np.array(inputs, np.int32), np.array([y], np.int32)
        o.builtinOptions, o.builtinOptionsType = options, getattr(s.BuiltinOptions, name)
        graph.operators.append(o); return y
    x = tensor((1, 4, 6, 8)); large = (1, 8, 12, 8)
    y = operator("ABS", [x], (1, 4, 6, 8), s.AbsOptionsT(), "AbsOptions")
    size = np.array([8, 12], np.int32)
    if way == "CONCATENATION, DEPTH_TO_SPACE":
        together = s.ConcatenationOptionsT(); together.axis = 3
        y = operator("CONCATENATION", [y] * 4, (1, 4, 6, 32), together, "ConcatenationOptions")
        spread = s.DepthToSpaceOptionsT(); spread.blockSize = 2
        y = operator("DEPTH_TO_SPACE", [y], large, spread, "DepthToSpaceOptions")
    elif way == "RESIZE_BILINEAR":
        y = operator(way, [y, tensor((2,), size)], large, s.ResizeBilinearOptionsT(), "ResizeBilinearOptions")
    else:
        y = operator(way, [y, tensor((2,), size)], large, s.ResizeNearestNeighborOptionsT(), "ResizeNearestNeighborOptions")
    y = operator("ABS", [y], large, s.AbsOptionsT(), "AbsOptions")
    graph.inputs, graph.outputs = np.array([x], np.int32), np.array([y], np.int32)
    builder = flatbuffers.Builder(1024); builder.Finish(model.Pack(builder), b"TFL3"); return bytes(builder.Output())

print("ai-edge-litert", version("ai-edge-litert"))
values, parts, outputs = np.random.default_rng(0).normal(size=(1, 4, 6, 8)).astype(np.float32), {}, {}
for way in ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "CONCATENATION, DEPTH_TO_SPACE"):
    net = Interpreter(model_content=tflite(way), num_threads=1); net.allocate_tensors()
    net.set_tensor(net.get_input_details()[0]["index"], values); net.invoke()
    outputs[way] = net.get_tensor(net.get_output_details()[0]["index"])
    parts[way] = sum(each["op_name"] == "DELEGATE" for each in net._get_ops_details())
    print(f"{way}: {parts[way]} delegated part(s)")
same = np.array_equal(outputs["RESIZE_NEAREST_NEIGHBOR"], outputs["CONCATENATION, DEPTH_TO_SPACE"])
print("nearest and its replacement give the same bits:", same)
sys.exit(0 if list(parts.values()) == [1, 2, 1] and same else 1)
PY
"$work/venv/bin/python" "$work/show.py"
