"""The INT8 model on OpenVINO: python examples/openvino_int8.py models/fer_int8.onnx face.png

The face is cut out already. Why these settings: docs/how-to/openvino.md.
"""

from __future__ import annotations

import sys

import cv2
import numpy as np
import openvino

from fer_edge import EMOTIONS
from fer_edge.inference.backends.onnx import has_exact_int8
from fer_edge.preprocess import preprocess_face, to_int8_input

picture = cv2.imread(sys.argv[2])
if picture is None:
    sys.exit(f"{sys.argv[2]} is not a readable picture")
face = preprocess_face(np.asarray(picture, np.uint8), 96)

core = openvino.Core()
settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1, "PERFORMANCE_HINT": "LATENCY"}
settings |= {} if has_exact_int8() else {"LP_TRANSFORMS_MODE": "NO"}
network = core.compile_model(core.read_model(sys.argv[1]), "CPU", settings)
stored = network(to_int8_input(face[None]))[0]  # (1, 7) int8, -128 to 127
probabilities = (stored[0].astype(float) + 128) / 256

print({name: round(float(p), 3) for name, p in zip(EMOTIONS, probabilities, strict=True)})
