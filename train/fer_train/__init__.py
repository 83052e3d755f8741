"""Training, quantisation-aware training and evaluation of FER models."""
