"""Latency, memory and accuracy of FER models, measured so that people can trust them."""
