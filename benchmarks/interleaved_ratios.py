"""Latency ratios of the four models in a folder, by turns: ``python benchmarks/interleaved_ratios.py out``.

`fer-bench` gives each model a process of its own and several seconds, which is what memory figures and absolute
milliseconds need. A ratio of two models survives a machine whose speed drifts only if the two take turns within
milliseconds: here 300 rounds, in each of which every model, in random order, makes one warm-up and ten timed calls. The
last lines are the overhead of ``Classifier.predict`` (conversion, copies, dequantisation) around the bare
``Interpreter.invoke``, by turns of one call each; the target is at most 5 %.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from fer_edge.classifier import open_classifier, to_model_input

MODELS = ("fer_int8.tflite", "fer_float.tflite", "fer_int8.onnx", "fer_float.onnx")
PAIRS = (
    ("fer_int8.tflite", "fer_float.tflite"),
    ("fer_int8.onnx", "fer_float.onnx"),
    ("fer_int8.onnx", "fer_int8.tflite"),
)
ROUNDS, CALLS, WARM_UP = 300, 10, 200


def main() -> int:
    """Measure the models in the folder given, and print medians and ratios with 95 % bootstrap intervals."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "out")
    classifiers = {name: open_classifier(folder / name, threads=1) for name in MODELS}
    rng = np.random.default_rng(0)
    tensors = {}
    for name, classifier in classifiers.items():
        face = rng.integers(0, 256, (1, classifier.input_size, classifier.input_size), dtype=np.uint8)
        tensors[name] = to_model_input(face, classifier.input_spec)
        for _ in range(WARM_UP):
            classifier.infer(tensors[name])
    rounds: dict[str, list[float]] = {name: [] for name in MODELS}
    for _ in range(ROUNDS):
        for name in rng.permutation(MODELS):
            classifier, tensor, times = classifiers[name], tensors[name], []
            classifier.infer(tensor)
            for _ in range(CALLS):
                start = time.perf_counter()
                classifier.infer(tensor)
                times.append(time.perf_counter() - start)
            rounds[str(name)].append(1e3 * float(np.median(times)))
    for name in MODELS:
        print(f"{name:17} median {np.median(rounds[name]):.3f} ms, least {min(rounds[name]):.3f} ms")  # noqa: T201
    for one, other in PAIRS:
        ratios = np.array(rounds[one]) / np.array(rounds[other])
        resampled = np.median(rng.choice(ratios, (1000, ROUNDS)), axis=1)
        low, high = np.percentile(resampled, [2.5, 97.5])
        print(f"{one} / {other}: {np.median(ratios):.3f} ({low:.3f} to {high:.3f})")  # noqa: T201
    for name in ("fer_int8.tflite", "fer_float.tflite"):
        print(f"Classifier.predict / Interpreter.invoke, {name}: {overhead(classifiers[name], rng)}")  # noqa: T201
    return 0


def overhead(classifier: Any, rng: np.random.Generator) -> str:
    """Median ratio of the two, with its 95 % bootstrap interval, from pairs of calls that follow each other."""
    face = rng.integers(0, 256, (1, classifier.input_size, classifier.input_size), dtype=np.uint8)
    ratios = np.empty(ROUNDS * CALLS)
    for i in range(-WARM_UP, len(ratios)):
        times = {}
        for what in rng.permutation(["predict", "invoke"]):
            start = time.perf_counter()
            if what == "predict":
                classifier.predict(face)
            else:
                classifier._interpreter.invoke()
            times[str(what)] = time.perf_counter() - start
        if i >= 0:
            ratios[i] = times["predict"] / times["invoke"]
    resampled = np.median(rng.choice(ratios, (1000, len(ratios))), axis=1)
    low, high = np.percentile(resampled, [2.5, 97.5])
    return f"{np.median(ratios):.3f} ({low:.3f} to {high:.3f})"


if __name__ == "__main__":
    sys.exit(main())
