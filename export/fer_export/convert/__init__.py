"""From weights to files: TFLite and ONNX, float and INT8."""
