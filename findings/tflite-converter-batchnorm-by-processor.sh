#!/usr/bin/env bash
# TFLite's converter writes other weights on another processor. It folds BatchNorm into the convolution before it, and
# takes 1 / sqrt(variance + epsilon) from TensorFlow's own kernel, whose vectorised rsqrt begins at the estimate of the
# processor's rsqrtps and is up to two steps of float32 off: on Intel rsqrt(1) of a long vector is not even 1. The
# estimate is each maker's own, so one saved network becomes another .tflite on Intel, AMD, or an emulator, although
# nothing in it is random; in an INT8 file scales differ in their last bits and some biases by one. The second processor
# here is QEMU's user mode (Debian: apt-get install qemu-user-static), which computes the estimate exactly. Exits 0
# while it is so, 1 when it has changed, 3 without QEMU.
set -euo pipefail
if ! command -v qemu-x86_64-static > /dev/null; then
  echo "qemu-x86_64-static is missing: apt-get install qemu-user-static"
  exit 3
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check tensorflow==2.21.0 numpy==2.4.6
cat > "$work/convert.py" << 'PYTHON'
import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np
import tensorflow as tf

CHANNELS = 512
rng = np.random.default_rng(0)
kernel = tf.constant(np.ones((1, 1, 1, CHANNELS)), tf.float32)
gamma, variance = (tf.constant(rng.uniform(0.5, 2.0, CHANNELS), tf.float32) for _ in range(2))
nothing = tf.zeros(CHANNELS)


@tf.function(input_signature=[tf.TensorSpec((1, 4, 4, 1), tf.float32)])
def network(x):
    x = tf.nn.conv2d(x, kernel, 1, "SAME")
    return tf.compat.v1.nn.fused_batch_norm(x, gamma, nothing, nothing, variance, epsilon=1e-3, is_training=False)[0]


converter = tf.lite.TFLiteConverter.from_concrete_functions([network.get_concrete_function()])
interpreter = tf.lite.Interpreter(model_content=converter.convert())
weights = next(
    interpreter.get_tensor(each["index"]).reshape(-1)
    for each in interpreter.get_tensor_details()
    if list(each["shape"]) == [CHANNELS, 1, 1, 1]
)
np.savez(
    sys.argv[1],
    weights=weights,
    exact=(gamma.numpy().astype(np.float64) / np.sqrt(variance.numpy().astype(np.float64) + 1e-3)).astype(np.float32),
    one=tf.math.rsqrt(tf.ones(64)).numpy()[0],
)
PYTHON
cat > "$work/compare.py" << 'PYTHON'
import sys

import numpy as np

here, there = (np.load(path) for path in sys.argv[1:])
n = len(here["weights"])
for name, each in (("this processor", here), ("QEMU", there)):
    off = (each["weights"] != each["exact"]).sum()
    print(f"{name}: {off} of {n} folded weights are not the exact ones rounded once; rsqrt(1) = {each['one']:.8f}")
differ = (here["weights"] != there["weights"]).sum()
apart = np.abs(here["weights"] / there["weights"] - 1).max()
print(f"the two files: {differ} of {n} weights differ, by at most {apart:.1e} of their value")
sys.exit(0 if differ and apart < 1e-6 else "changed: both write the same, or differ by more")
PYTHON
"$work/venv/bin/pip" list --disable-pip-version-check 2> /dev/null | grep -E "^(tensorflow|numpy) "
"$work/venv/bin/python" "$work/convert.py" "$work/here.npz" > "$work/log" 2>&1 || { cat "$work/log"; exit 1; }
qemu-x86_64-static -cpu max "$work/venv/bin/python" "$work/convert.py" "$work/there.npz" > "$work/log" 2>&1 ||
  { cat "$work/log"; exit 1; }
"$work/venv/bin/python" "$work/compare.py" "$work/here.npz" "$work/there.npz"
