"""Quantisation-aware training and conversion to INT8 TFLite."""
