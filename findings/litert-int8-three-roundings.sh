#!/usr/bin/env bash
# One INT8 convolution, three answers inside LiteRT: XNNPACK (the default), TFLite's optimised kernels and its reference
# kernels each round a few outputs to another step, though quantised arithmetic is in whole numbers and the reference
# kernels are there to be compared with. Which one a device's own kernels follow is up to their makers; so an INT8 file
# that was judged on one is not bit for bit what another computes, and in a deep network the steps add up. Exits 0 while
# it is so, 1 when it has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check tensorflow==2.21.0 ai-edge-litert==2.3.0 numpy==2.4.6
cat > "$work/two.py" << 'PYTHON'
import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter, OpResolverType

rng = np.random.default_rng(0)
weights = tf.constant(rng.normal(0, 0.2, (3, 3, 8, 8)), tf.float32)


@tf.function(input_signature=[tf.TensorSpec((1, 16, 16, 8), tf.float32)])
def convolve(x):
    return tf.nn.conv2d(x, weights, 1, "SAME")


faces = [rng.uniform(-1, 1, (1, 16, 16, 8)).astype(np.float32) for _ in range(20)]
converter = tf.lite.TFLiteConverter.from_concrete_functions([convolve.get_concrete_function()])
converter.optimizations = [tf.lite.Optimize.DEFAULT]
converter.representative_dataset = lambda: ([face] for face in faces)
converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
converter.inference_input_type = converter.inference_output_type = tf.int8
model = converter.convert()


def answers(resolver):
    net = Interpreter(model_content=model, experimental_op_resolver_type=resolver, num_threads=1)
    net.allocate_tensors()
    there, here = net.get_input_details()[0], net.get_output_details()[0]
    scale, zero = there["quantization"]
    found = []
    for face in faces:
        stored = np.clip(np.round(face / scale) + zero, -128, 127).astype(np.int8)
        net.set_tensor(there["index"], stored)
        net.invoke()
        found.append(net.get_tensor(here["index"]))
    return np.concatenate(found).astype(np.int32)


kernels = {
    "XNNPACK": answers(OpResolverType.AUTO),
    "optimised": answers(OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES),
    "reference": answers(OpResolverType.BUILTIN_REF),
}
print(f"outputs: {kernels['XNNPACK'].size:,}")
as_described = True
for one, other in (("XNNPACK", "optimised"), ("XNNPACK", "reference"), ("optimised", "reference")):
    steps = np.abs(kernels[one] - kernels[other])
    print(f"{one} and {other}: {(steps > 0).sum():,} differ, by at most {steps.max()}")
    as_described &= steps.max() == 1
sys.exit(0 if as_described else "changed: some of them agree, or differ by more than a step")
PYTHON
"$work/venv/bin/pip" list --disable-pip-version-check 2> /dev/null | grep -E "^(tensorflow|ai-edge-litert|numpy) "
out=$("$work/venv/bin/python" "$work/two.py" 2> "$work/log") || { echo "$out"; cat "$work/log"; exit 1; }
echo "$out"
