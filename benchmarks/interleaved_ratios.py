"""Latency ratios of the models in a folder, by turns: ``python benchmarks/interleaved_ratios.py out``.

`fer-bench` gives each model a process of its own and several seconds, which is what memory figures and absolute
milliseconds need. A ratio of two models survives a machine whose speed drifts only if the two take turns within
milliseconds: here 300 rounds, in each of which every model, in random order, makes one warm-up and ten timed calls. The
last lines are the overhead of ``Classifier.predict`` (conversion, copies, dequantisation) around the bare
``Interpreter.invoke``, by turns of one call each; the target is at most 5 %.

A camera makes no ten calls in a row. With ``--single`` each call is timed by itself, between other work that takes the
caches: a sum over :data:`OTHER_MIB` MiB before each call. A runtime that needs more memory for a call is slower there;
how much each touches is reported, too (on Linux).

Of the four models those that are in the folder are taken, two at least. Half a minute on a fast machine. Like
`fer-bench`, it says when the machine was not fit for a measurement, in the JSON file (``--json F``) too.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fer_bench.measure.machine import read_machine
from fer_bench.measure.validity import Recorder, machine_reasons
from fer_edge.command import CommandParser, run_command
from fer_edge.errors import UsageError
from fer_edge.files import sha256_of, write_text
from fer_edge.inference.classifier import Classifier
from fer_edge.inference.tensors import to_model_input
from fer_edge.loading.open import open_classifier
from fer_edge.option_types import whole

MODELS = ("fer_int8.tflite", "fer_float.tflite", "fer_int8.onnx", "fer_float.onnx")
PAIRS = (
    ("fer_int8.tflite", "fer_float.tflite"),
    ("fer_int8.onnx", "fer_float.onnx"),
    ("fer_int8.onnx", "fer_int8.tflite"),
)
CALLS, WARM_UP, MIN_ROUNDS = 10, 200, 100
OTHER_MIB = 4
"""More than the caches of one core hold; a frame of 1920x1080 has 6."""


def parser() -> CommandParser:
    """The command line."""
    p = CommandParser(prog="interleaved_ratios.py", description="Latency ratios of four models by turns.")
    p.add_argument("folder", type=Path, nargs="?", default=Path("out"), help="where fer-export put them (out)")
    p.add_argument("--rounds", type=whole(1), default=300, metavar="N", help="turns of ten calls each (300)")
    p.add_argument("--single", action="store_true", help="time single calls, between other work; ten times the rounds")
    p.add_argument("--json", type=Path, metavar="F", help="write the result as JSON")
    return p


def main() -> int:
    """Measure the models in the folder given, and print medians and ratios with 95 % bootstrap intervals."""
    return run_command("interleaved_ratios.py", lambda: body(sys.argv[1:]))


def body(arguments: Sequence[str]) -> int:
    """What ``main`` does, errors not yet caught."""
    options = parser().parse_args(arguments)
    there = [name for name in MODELS if (options.folder / name).is_file()]
    if len(there) < 2:
        raise UsageError(f"{options.folder} holds {len(there)} of {', '.join(MODELS)}; expected two at least")
    classifiers = {name: open_classifier(options.folder / name, threads=1) for name in there}
    rng = np.random.default_rng(0)
    recorder = Recorder()
    n_rounds = options.rounds * (CALLS if options.single else 1)
    rounds = (single_calls if options.single else time_rounds)(classifiers, n_rounds, rng)
    pairs = [(first, other) for first, other in PAIRS if first in rounds and other in rounds]
    ratios = {f"{first} / {other}": np.array(rounds[first]) / np.array(rounds[other]) for first, other in pairs}
    for name in [name for name in there if name.endswith(".tflite") and not options.single]:
        key = f"Classifier.predict / Interpreter.invoke, {name}"
        ratios[key] = overhead(classifiers[name], options.rounds * CALLS, rng)
    report: dict[str, Any] = {
        **frame(recorder, n_rounds, 1 if options.single else CALLS),
        "models": {
            name: {"sha256": sha256_of(options.folder / name), "p50_ms": float(np.median(rounds[name]))}
            | {"min_ms": min(rounds[name]), "touched_mib": touched_mib(classifiers[name])}
            for name in there
        },
        "ratios": {key: with_interval(values, rng) for key, values in ratios.items()},
    }
    sys.stdout.write(text(report) + "\n")
    if options.json:
        write_text(options.json, json.dumps(report, indent=1) + "\n")
    return 0


def frame(recorder: Recorder, n_rounds: int, n_calls: int = CALLS) -> dict[str, Any]:
    """What every report of turns begins with: when, where, under what conditions, and whether these were fit."""
    conditions = recorder.stop()
    reasons = machine_reasons(conditions)
    if n_rounds < MIN_ROUNDS:
        reasons.append(f"too short: {n_rounds} rounds (at least {MIN_ROUNDS})")
    return {
        "created_utc": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "machine": dataclasses.asdict(read_machine()),
        "conditions": dataclasses.asdict(conditions),
        "n_rounds": n_rounds,
        "n_calls_a_round": n_calls,
        "threads": 1,
        "valid": not reasons,
        "invalid_reasons": reasons,
    }


def time_rounds(
    classifiers: Mapping[str, Classifier], n_rounds: int, rng: np.random.Generator
) -> dict[str, list[float]]:
    """Median of each round's calls in ms, for each model; models in random order in each round."""
    tensors = {}
    for name, classifier in classifiers.items():
        face = rng.integers(0, 256, (1, classifier.input_size, classifier.input_size), dtype=np.uint8)
        tensors[name] = to_model_input(face, classifier.input_spec)
        for _ in range(WARM_UP):
            classifier.infer(tensors[name])
    rounds: dict[str, list[float]] = {name: [] for name in classifiers}
    for _ in range(n_rounds):
        for name in rng.permutation(list(classifiers)):
            classifier, tensor, times = classifiers[name], tensors[name], []
            classifier.infer(tensor)
            for _ in range(CALLS):
                start = time.perf_counter()
                classifier.infer(tensor)
                times.append(time.perf_counter() - start)
            rounds[str(name)].append(1e3 * float(np.median(times)))
    return rounds


def single_calls(
    classifiers: Mapping[str, Classifier], n_rounds: int, rng: np.random.Generator
) -> dict[str, list[float]]:
    """Time of one call in ms in each round, for each model; before each call other work takes the caches."""
    tensors = {}
    for name, classifier in classifiers.items():
        face = rng.integers(0, 256, (1, classifier.input_size, classifier.input_size), dtype=np.uint8)
        tensors[name] = to_model_input(face, classifier.input_spec)
        for _ in range(WARM_UP):
            classifier.infer(tensors[name])
    other = np.zeros(OTHER_MIB << 20, np.uint8)
    rounds: dict[str, list[float]] = {name: [] for name in classifiers}
    for _ in range(n_rounds):
        for name in rng.permutation(list(classifiers)):
            np.add(other, 1, out=other)
            start = time.perf_counter()
            classifiers[name].infer(tensors[name])
            rounds[str(name)].append(1e3 * (time.perf_counter() - start))
    return rounds


def touched_mib(classifier: Classifier) -> float | None:
    """Memory that one call reads or writes, in MiB, without what reading this takes; None where it is not known.

    Linux marks the pages that a process refers to (``/proc/PID/clear_refs``, ``smaps``; proc(5)).
    """
    size = classifier.input_size
    tensor = to_model_input(np.zeros((1, size, size), np.uint8), classifier.input_spec)
    classifier.infer(tensor)
    try:
        calls = [referred(lambda: None), referred(lambda: classifier.infer(tensor))]
    except OSError:
        return None
    return (calls[1] - calls[0]) / 1024


def referred(call: Callable[[], Any]) -> int:
    """KiB of this process that were referred to since just before ``call``."""
    Path("/proc/self/clear_refs").write_text("1")
    call()
    lines = Path("/proc/self/smaps").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Referenced:"))


def overhead(classifier: Any, n_calls: int, rng: np.random.Generator) -> Any:
    """``(n_calls,)`` ratios of ``predict`` to the interpreter's bare ``invoke``, from calls that follow each other."""
    face = rng.integers(0, 256, (1, classifier.input_size, classifier.input_size), dtype=np.uint8)
    ratios = np.empty(n_calls)
    for i in range(-WARM_UP, n_calls):
        times = {}
        for what in ("predict", "invoke") if i % 2 else ("invoke", "predict"):
            start = time.perf_counter()
            if what == "predict":
                classifier.predict(face)
            else:
                classifier._interpreter.invoke()
            times[what] = time.perf_counter() - start
        if i >= 0:
            ratios[i] = times["predict"] / times["invoke"]
    return ratios


def with_interval(ratios: Any, rng: np.random.Generator) -> dict[str, float | list[float]]:
    """The median of the ratios and its 95 % bootstrap interval."""
    resampled = np.median(rng.choice(ratios, (1000, len(ratios))), axis=1)
    return {"median": float(np.median(ratios)), "ci95": [float(v) for v in np.percentile(resampled, [2.5, 97.5])]}


def text(report: dict[str, Any]) -> str:
    """The report in lines; invalid figures say so."""
    mark = "" if report["valid"] else "  INVALID"
    lines = [
        f"{name:17} median {model['p50_ms']:.3f} ms, least {model['min_ms']:.3f} ms{mark}"
        + (f", a call touches {model['touched_mib']:.1f} MiB" if model["touched_mib"] else "")
        for name, model in report["models"].items()
    ]
    for key, ratio in report["ratios"].items():
        lines.append(f"{key}: {ratio['median']:.3f} ({ratio['ci95'][0]:.3f} to {ratio['ci95'][1]:.3f}){mark}")
    return "\n".join(lines + [f"invalid: {reason}" for reason in report["invalid_reasons"]])


if __name__ == "__main__":
    sys.exit(main())
