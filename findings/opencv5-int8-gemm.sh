#!/usr/bin/env bash
# OpenCV 5.0's default network engine does not load a valid ONNX model in which a Gemm with a bias stands between
# DequantizeLinear and QuantizeLinear, the usual form of an INT8 dense layer. Without the bias it loads; so does the
# whole model with the old engine (OPENCV_FORCE_DNN_ENGINE=1) and in ONNX Runtime. Exits 0 while it is so, 1 when it has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "opencv-python==5.0.0.93" "numpy==2.4.6" "onnx==1.23.2" "onnxruntime==1.32.0"
cat >"$work/show.py" <<'PY'
import os, sys
os.environ["OPENCV_LOG_LEVEL"] = "SILENT"
import cv2, numpy as np, onnx, onnxruntime
from onnx import TensorProto, helper, numpy_helper

def model(path, with_bias):
    rng = np.random.default_rng(0)
    constants = {"s": np.float32(0.05), "z": np.int8(0), "sw": np.float32(0.01), "sb": np.float32(0.0005), "zb": np.int32(0),
                 "w": rng.integers(-127, 128, (8, 4)).astype(np.int8), "b": np.array([100, -200, 300, 400], np.int32)}
    node = helper.make_node
    nodes = [node("QuantizeLinear", ["x", "s", "z"], ["xq"]), node("DequantizeLinear", ["xq", "s", "z"], ["xd"]),
             node("DequantizeLinear", ["w", "sw", "z"], ["wd"])]
    if with_bias:
        nodes.append(node("DequantizeLinear", ["b", "sb", "zb"], ["bd"]))
    nodes += [node("Gemm", ["xd", "wd", "bd"][: 3 if with_bias else 2], ["yd"]),
              node("QuantizeLinear", ["yd", "s", "z"], ["yq"]), node("DequantizeLinear", ["yq", "s", "z"], ["y"])]
    used = {name for each in nodes for name in each.input}
    made = helper.make_model(helper.make_graph(nodes, "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 8])], [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items() if k in used]),
        opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(made, full_check=True); onnx.save(made, path)

x, found = np.linspace(-1, 1, 8, dtype=np.float32)[None], []
for with_bias in (False, True):
    path = f"{sys.argv[1]}/gemm{with_bias}.onnx"
    model(path, with_bias)
    right = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
    try:
        net = cv2.dnn.readNetFromONNX(path); net.setInput(x)
        got = f"loaded, difference {np.abs(net.forward() - right).max():.3f}"
    except cv2.error as error:
        got = "refused: " + " ".join(str(error).split())[:150]
    found.append(got.startswith("loaded"))
    print("OpenCV", cv2.__version__, "engine", os.environ.get("OPENCV_FORCE_DNN_ENGINE", "default"), "bias:", with_bias, "->", got)
sys.exit(0 if found == [True, sys.argv[2] == "loads"] else 1)
PY
"$work/venv/bin/python" "$work/show.py" "$work" refuses
OPENCV_FORCE_DNN_ENGINE=1 "$work/venv/bin/python" "$work/show.py" "$work" loads
