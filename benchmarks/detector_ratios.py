"""Time of YuNet's engines by turns: ``python benchmarks/detector_ratios.py VIDEO --detector-model YUNET.onnx``.

INT8 and float on LiteRT and OpenCV's own, one thread each, search every frame of the video in random order, so that a
machine whose speed drifts gives the same ratios. Per width and engine: the median time of a frame, the ratio to
OpenCV's with its 95 % interval over the rounds (one ratio of medians a round), and the number of faces found.
``shrink`` is what scaling the frame to the width takes, which all engines share.

Half a minute at the default settings. Like `fer-bench`, it says when the machine was not fit for a measurement.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from fer_bench.measure.machine import read_machine
from fer_bench.measure.validity import MIN_ROUNDS, Recorder, machine_reasons
from fer_edge.arrays import Image
from fer_edge.command import CommandParser, run_command
from fer_edge.errors import InputError
from fer_edge.faces.detection import shrink
from fer_edge.faces.detectors.yunet import YUNET_SCORE
from fer_edge.faces.yunet_engines import ENGINES, Engine, OpenCVEngine
from fer_edge.faces.yunet_file import yunet_file
from fer_edge.files import write_text
from fer_edge.option_types import whole
from interleaved_ratios import with_interval

PROG: Final[str] = "detector_ratios.py"
SHRINK: Final[str] = "shrink"


def main() -> int:
    """Measure and print."""
    return run_command(PROG, lambda: body(sys.argv[1:]))


def body(arguments: Sequence[str]) -> int:
    """What ``main`` does, errors not yet caught."""
    parser = CommandParser(prog=PROG, description="Time of the face detector's engines by turns.")
    parser.add_argument("video", type=Path, help="a video with faces")
    parser.add_argument("--detector-model", type=Path, metavar="F", help="YuNet's .onnx (default: fetched)")
    parser.add_argument("--width", type=whole(32), action="append", metavar="PX", help="of the view (320); repeatable")
    parser.add_argument("--rounds", type=whole(1), default=9, metavar="N", help="passes over the video (9)")
    parser.add_argument("--json", type=Path, metavar="F", help="write the result as JSON")
    options = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    frames = read(options.video)
    model = options.detector_model or yunet_file()
    recorder = Recorder()
    widths = {width: measure(frames, width, model, options.rounds) for width in options.width or [320]}
    reasons = machine_reasons(recorder.stop())
    if options.rounds < MIN_ROUNDS:
        reasons.append(f"too short: {options.rounds} rounds (at least {MIN_ROUNDS})")
    report = {
        "video": options.video.name,
        "n_frames": len(frames),
        "n_rounds": options.rounds,
        "opencv": cv2.__version__,
        "cpu": read_machine().cpu_model,
        "widths": widths,
        "valid": not reasons,
        "invalid_reasons": reasons,
    }
    sys.stdout.write(text(report) + "\n")
    if options.json:
        write_text(options.json, json.dumps(report, indent=1) + "\n")
    return 0


def read(path: Path) -> list[Image]:
    """All frames."""
    capture, frames = cv2.VideoCapture(str(path)), []
    while (got := capture.read())[0]:
        frames.append(np.asarray(got[1], np.uint8))
    capture.release()
    if not frames:
        raise InputError(f"{path} is not a video that OpenCV reads")
    return frames


def measure(frames: list[Image], width: int, model: Path, n_rounds: int) -> dict[str, dict[str, Any]]:
    """By engine: median ms of a frame, ratio to OpenCV's engine, faces in a pass over the video."""
    rng = np.random.default_rng(0)
    views = [shrink(frame, width) for frame in frames]
    engines = {name: make(model, YUNET_SCORE) for name, make in ENGINES.items()}
    calls: dict[str, Callable[[int], Any]] = {name: finder(engine, views) for name, engine in engines.items()}
    calls[SHRINK] = lambda i: shrink(frames[i], width)
    n_faces = {name: sum(len(calls[name](i)) for i in range(len(views))) for name in engines}  # also warms up
    rounds = [one_pass(calls, len(views), rng) for _ in range(n_rounds)]
    medians: dict[str, dict[str, Any]] = {}
    for name in calls:
        times = np.array([round_[name] for round_ in rounds])
        medians[name] = {"median_ms": float(np.median(times)), "n_faces": n_faces.get(name)}
        if name in engines:
            theirs = np.array([round_[OpenCVEngine.name] for round_ in rounds])
            medians[name]["ratio_to_opencv"] = with_interval(times / theirs, rng)
    return medians


def finder(engine: Engine, views: list[Image]) -> Callable[[int], Any]:
    """Searches the view of a number."""
    return lambda i: engine.find(views[i])


def one_pass(calls: Mapping[str, Callable[[int], Any]], n: int, rng: np.random.Generator) -> dict[str, float]:
    """Median ms of each call over all frames, in random order in each frame."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for i in range(n):
        for name in rng.permutation(list(calls)):
            start = time.perf_counter()
            calls[str(name)](i)
            times[str(name)].append(1e3 * (time.perf_counter() - start))
    return {name: float(np.median(values)) for name, values in times.items()}


def text(report: dict[str, Any]) -> str:
    """The report in lines; invalid figures say so."""
    mark = "" if report["valid"] else "  INVALID"
    lines = []
    for width, engines in report["widths"].items():
        lines.append(f"width {width}")
        for name, engine in engines.items():
            line = f"  {name:13} {engine['median_ms']:.3f} ms"
            if "ratio_to_opencv" in engine:
                ratio = engine["ratio_to_opencv"]
                line += f"  {ratio['median']:.3f} x opencv ({ratio['ci95'][0]:.3f} to {ratio['ci95'][1]:.3f})"
                line += f"  {engine['n_faces']} faces"
            lines.append(line + mark)
    return "\n".join(lines + [f"invalid: {reason}" for reason in report["invalid_reasons"]])


if __name__ == "__main__":
    sys.exit(main())
