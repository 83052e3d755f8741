"""From trained weights to verified INT8 and float models in TFLite and ONNX."""
