"""Latency, memory and accuracy of FER models, measured so that people can trust them."""

from fer_edge.dependencies import set_defaults, set_folders

# Before anything imports Keras, Matplotlib or ONNX Runtime: they read these once.
set_defaults()
set_folders()
