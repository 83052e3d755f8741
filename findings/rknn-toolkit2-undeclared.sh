#!/usr/bin/env bash
# rknn-toolkit2 2.5.0 (PyPI, Python 3.11, Linux x86-64) does not declare all that it needs: RKNN() imports pkg_resources, which
# setuptools 82 took out and which environments of uv and of Python 3.12 lack from the start; load_tflite() needs TensorFlow.
# And torch, whose CUDA build is most of its 6 GB, is imported and not needed to start: an empty module does.
# Exit 0: as described. Exit 1: the behaviour changed. Exit 3: no Python 3.11, or no packages.
set -euo pipefail
python="$(command -v python3.11)" || { echo "no Python 3.11"; exit 3; }
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
"$python" -m venv "$work/venv"
cd "$work"
pip() { "$work/venv/bin/pip" "$@" -q --disable-pip-version-check; }
pip install --no-deps rknn-toolkit2==2.5.0 numpy==1.26.4 onnx==1.18.0 protobuf==4.25.4 onnxruntime==1.26.0 flatbuffers==25.12.19 \
  packaging==26.4 sympy==1.14.0 mpmath==1.3.0 scipy==1.17.1 psutil==7.2.2 ruamel.yaml==0.19.1 tqdm==4.70.1 \
  fast-histogram==0.14 opencv-python-headless==4.11.0.86 typing-extensions==4.16.0 || exit 3
pip uninstall -y setuptools || true
mkdir -p "$work/venv/lib/python3.11/site-packages/torch"
touch "$work/venv/lib/python3.11/site-packages/torch/__init__.py"
"$work/venv/bin/python" - <<'PYTHON'
from importlib.metadata import requires

declared = " ".join(requires("rknn-toolkit2")).lower()
print("declared: setuptools", "setuptools" in declared, "tensorflow", "tensorflow" in declared, "torch", "torch" in declared)
raise SystemExit("setuptools" in declared or "tensorflow" in declared or "torch" not in declared)
PYTHON
start() { "$work/venv/bin/python" -c "from rknn.api import RKNN; RKNN()" > "$work/log" 2>&1 && echo starts || tail -1 "$work/log"; }
without="$(start)"
pip install "setuptools<81" || exit 3
with="$(start)"
printf 'RKNN() without setuptools: %s\nwith setuptools below 81:  %s\n' "$without" "$with"
[[ "$without" == *pkg_resources* ]] && [ "$with" = starts ]
