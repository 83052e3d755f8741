"""The stages of a training: float, QAT, temperature scaling; devices and checkpoints."""
