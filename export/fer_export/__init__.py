"""From trained weights to verified INT8 and float models in TFLite and ONNX."""

from fer_edge.dependencies import set_defaults, set_folders

# Before anything imports Keras, Matplotlib or ONNX Runtime: they read these once.
set_defaults()
set_folders()
