"""Measure: latency, memory, accuracy, each model in a process of its own."""
