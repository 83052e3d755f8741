#!/usr/bin/env bash
# onnxruntime 1.32.0 (PyPI wheel, Linux) writes a device identifier and a database below ~/.cache/Microsoft when the
# first session is made, without being asked; ORT_DISABLE_TELEMETRY=1, set before the import, stops it.
# Exit 0: as described. Exit 1: the behaviour changed.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check onnxruntime==1.32.0 onnx==1.22.0 || exit 3
cat > "$work/session.py" <<'PYTHON'
import sys

import onnx
import onnxruntime as ort
from onnx import TensorProto, helper

ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "one", ends[:1], ends[1:])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
onnx.checker.check_model(model)
ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
print("onnxruntime", ort.__version__, file=sys.stderr)
PYTHON
left() { # files in a new home folder after one session, with the given variables
  mkdir -p "$work/$1"
  env -i HOME="$work/$1" PATH="$PATH" "${@:2}" "$work/venv/bin/python" "$work/session.py"
  (cd "$work/$1" && find . -type f | sort)
}
plain="$(left plain)"
asked="$(left asked ORT_DISABLE_TELEMETRY=1)"
printf 'files left in an empty home folder:\n%s\nwith ORT_DISABLE_TELEMETRY=1:\n%s\n' "${plain:-none}" "${asked:-none}"
grep -q deviceid <<< "$plain" && [ -z "$asked" ]
