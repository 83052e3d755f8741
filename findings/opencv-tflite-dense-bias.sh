#!/usr/bin/env bash
# OpenCV 4.14's TFLite importer drops the bias of FULLY_CONNECTED without a word: the network loads, runs and gives other
# numbers. The same file is right on LiteRT, and the bias of a convolution is kept. Exits 0 while it is so, 1 when it
# has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "opencv-python==4.14.0.94" "numpy==2.4.6" "ai-edge-litert==2.3.0"
cat >"$work/show.py" <<'PY'
import sys
import cv2, flatbuffers, numpy as np
from ai_edge_litert import schema_py_generated as s
from ai_edge_litert.interpreter import Interpreter

# (1, 2, 2, 3) -> 1x1 convolution with bias -> reshape to (1, 12) -> dense layer of 4 with or without bias.
def tflite(dense_bias):
    rng = np.random.default_rng(0)
    model, graph = s.ModelT(), s.SubGraphT()
    model.version, model.subgraphs, model.buffers, model.operatorCodes = 3, [graph], [s.BufferT()], []
    graph.tensors, graph.operators = [], []
    def tensor(name, shape, data=None):
        t = s.TensorT(); t.name, t.shape, t.buffer = name, np.array(shape, np.int32), 0
        t.type = s.TensorType.INT32 if data is not None and data.dtype == np.int32 else s.TensorType.FLOAT32
        if data is not None:
            b = s.BufferT(); b.data = np.frombuffer(data.tobytes(), np.uint8)
            t.buffer = len(model.buffers); model.buffers.append(b)
        graph.tensors.append(t); return len(graph.tensors) - 1
    def operator(kind, inputs, output, options, name):
        code = s.OperatorCodeT(); code.builtinCode = code.deprecatedBuiltinCode = getattr(s.BuiltinOperator, kind)
        code.version = 1; model.operatorCodes.append(code)
        o = s.OperatorT(); o.opcodeIndex = len(model.operatorCodes) - 1
        o.inputs, o.outputs = np.array(inputs, np.int32), np.array([output], np.int32)
        o.builtinOptions, o.builtinOptionsType = options, getattr(s.BuiltinOptions, name)
        graph.operators.append(o)
    normal = lambda *shape: rng.normal(size=shape).astype(np.float32)
    x, a, flat, y = tensor("x", (1, 2, 2, 3)), tensor("a", (1, 2, 2, 3)), tensor("flat", (1, 12)), tensor("y", (1, 4))
    conv = s.Conv2DOptionsT(); conv.strideH = conv.strideW = 1; conv.padding = s.Padding.VALID
    operator("CONV_2D", [x, tensor("w", (3, 1, 1, 3), normal(3, 1, 1, 3)), tensor("b", (3,), normal(3))], a, conv, "Conv2DOptions")
    reshape = s.ReshapeOptionsT(); reshape.newShape = np.array([1, 12], np.int32)
    operator("RESHAPE", [a, tensor("s", (2,), np.array([1, 12], np.int32))], flat, reshape, "ReshapeOptions")
    weights, bias = tensor("dw", (4, 12), normal(4, 12)), np.array(dense_bias, np.float32)
    operator("FULLY_CONNECTED", [flat, weights, tensor("db", (4,), bias)], y, s.FullyConnectedOptionsT(), "FullyConnectedOptions")
    graph.inputs, graph.outputs = np.array([x], np.int32), np.array([y], np.int32)
    builder = flatbuffers.Builder(1024); builder.Finish(model.Pack(builder), b"TFL3"); return bytes(builder.Output())

def litert(content, x):
    net = Interpreter(model_content=content); net.allocate_tensors()
    net.set_tensor(net.get_input_details()[0]["index"], x); net.invoke()
    return net.get_tensor(net.get_output_details()[0]["index"])[0]

def opencv(content, x):
    net = cv2.dnn.readNetFromTFLite(np.frombuffer(content, np.uint8))
    net.setInput(np.ascontiguousarray(x.transpose(0, 3, 1, 2))); return net.forward().reshape(-1)

x, bias = np.random.default_rng(1).normal(size=(1, 2, 2, 3)).astype(np.float32), [10.0, 20.0, 30.0, 40.0]
print("OpenCV", cv2.__version__)
lost = {}
for name, values in (("no dense bias", [0.0] * 4), ("dense bias 10, 20, 30, 40", bias)):
    right, got = litert(tflite(values), x), opencv(tflite(values), x)
    lost[name] = right - got
    print(f"{name}: LiteRT {right.round(3)}, OpenCV {got.round(3)}, difference {lost[name].round(3)}")
first, second = lost.values()
sys.exit(0 if np.abs(first).max() < 1e-4 and np.allclose(second, bias, atol=1e-3) else 1)
PY
"$work/venv/bin/python" "$work/show.py"
