"""Two checkouts' camera pipelines by turns: is this version faster than that one, and by how much?

    git worktree add ../before 7178436
    python benchmarks/interleaved_trees.py ../before . --video talking_head.mp4 --detector-model yunet.onnx \
        --photo four_faces.jpg --photo one_happy_face.jpg --photo no_face.jpg --json trees.json

Nine rounds, in each of which both checkouts, in random order, start two processes of their own: one that begins as a
camera program does and goes through the video once (time to the first result, highest memory), and one that goes
through it four times and then times the detector alone (320x192, and 1920x1080 with the shrinking, one thread, CPU
time). Ratios are taken round by round, so that a machine whose speed drifts hits both. Both get the same model and
the same detector's file; everything else is what each does by default. Both run from compiled bytecode, as installed
packages do, whatever the environment says.

The table names what was wanted of the rework of the face detection (:data:`WANTED`). Some three minutes.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from fer_bench.intervals import paired_ratio
from fer_bench.measure.machine import read_machine
from fer_bench.measure.validity import MIN_ROUNDS, Recorder, machine_reasons
from fer_edge.command import CommandParser, run_command
from fer_edge.errors import FerError, UsageError
from fer_edge.files import sha256_of, write_text
from fer_edge.option_types import whole

HERE: Final[Path] = Path(__file__).parent
WORKER: Final[Path] = HERE / "tree_worker.py"
MODEL: Final[Path] = HERE.parent / "models" / "fer_int8.tflite"
PAUSE_S: Final[float] = 0.3
CACHED_NAMES: Final[tuple[str, ...]] = (
    "fer-edge-toolkit/face_detection_yunet_2023mar.onnx",
    "fer-edge/face_detection_yunet_2023mar.onnx",
)
"""Where checkouts look for the detector's file when none is given: the present name, the former one."""


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    key: str
    title: str
    least_ratio: float | None = None
    most_ratio: float | None = None
    most: float | None = None

    def wanted(self) -> str:
        """In words."""
        if self.least_ratio is not None:
            return f"at least {self.least_ratio:.2f} x"
        return f"at most {self.most:g}" if self.most is not None else f"at most {self.most_ratio:.2f} x"

    def is_met(self, ratio: float, new: float) -> bool:
        """Whether what was measured is what was wanted."""
        if self.least_ratio is not None:
            return ratio >= self.least_ratio
        return new <= self.most if self.most is not None else ratio <= (self.most_ratio or 0.0)


WANTED: Final[tuple[Row, ...]] = (
    Row("frames_per_s", "frames/s", least_ratio=2.4),
    Row("cpu_ms_per_frame", "CPU per frame, ms", most_ratio=0.40),
    Row("detect_ms", "detection at 320x192, ms", most_ratio=0.30),
    Row("large_ms", "1920x1080: shrink, detect, ms", most_ratio=0.30),
    Row("peak_mib", "peak memory, MiB", most=106.0),
    Row("first_result_s", "start to first result, s", most=0.25),
)


def parser() -> CommandParser:
    """The command line."""
    p = CommandParser(prog="interleaved_trees.py", description="Two checkouts' camera pipelines by turns.")
    p.add_argument("old", type=Path, help="a checkout, for example a git worktree of an earlier commit")
    p.add_argument("new", type=Path, help="another one")
    p.add_argument("--video", type=Path, required=True, metavar="F", help="the video to go through")
    p.add_argument("--photo", type=Path, action="append", default=[], metavar="F", help="count its faces; repeatable")
    p.add_argument("--detector-model", type=Path, required=True, metavar="F", help="YuNet's .onnx file")
    p.add_argument("--model", type=Path, default=MODEL, metavar="F", help="of both (default: models/fer_int8.tflite)")
    p.add_argument("--rounds", type=whole(1), default=MIN_ROUNDS, metavar="N", help=f"rounds ({MIN_ROUNDS})")
    p.add_argument("--passes", type=whole(1), default=3, metavar="N", help="timed passes of each process (3)")
    p.add_argument("--json", type=Path, metavar="F", help="write the result as JSON")
    return p


def main() -> int:
    """Measure both and print medians and ratios."""
    return run_command("interleaved_trees.py", lambda: body(sys.argv[1:]))


def body(arguments: Sequence[str]) -> int:
    """What ``main`` does, errors not yet caught."""
    options = parser().parse_args(arguments)
    trees = {"old": options.old.resolve(), "new": options.new.resolve()}
    for tree in trees.values():
        if not (tree / "edge" / "fer_edge").is_dir():
            raise UsageError(f"{tree} holds no edge/fer_edge; expected a checkout of this repository")
    for file in (options.video, options.detector_model, options.model, *options.photo):
        if not file.is_file():
            raise UsageError(f"no file {file}")
    rng = np.random.default_rng(0)
    turns: dict[str, list[dict[str, Any]]] = {name: [] for name in trees}
    with tempfile.TemporaryDirectory() as cache:
        for name in CACHED_NAMES:
            (Path(cache) / name).parent.mkdir(exist_ok=True)
            shutil.copy(options.detector_model, Path(cache) / name)
        for tree in trees.values():  # bytecode and the detector's own files are made now
            process(tree, options, cache, "start")
        recorder = Recorder()
        for _ in range(options.rounds):
            for name in rng.permutation(list(trees)):
                turns[str(name)].append(turn(trees[str(name)], options, cache))
        report = summary(turns, recorder, options.rounds)
    report["trees"] = {name: {"path": str(tree), "commit": commit(tree)} for name, tree in trees.items()}
    report["files"] = {str(f): sha256_of(f) for f in (options.video, options.detector_model, options.model)}
    report["float_boxes_px"] = float_difference(options.video, options.detector_model)
    sys.stdout.write(text(report) + "\n")
    if options.json:
        write_text(options.json, json.dumps(report, indent=1) + "\n")
    return 0


def process(tree: Path, options: Any, cache: str, what: str) -> dict[str, Any]:
    """One process of one checkout, and what it measured."""
    time.sleep(PAUSE_S)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"PYTHONPATH": str(tree / "edge"), "XDG_CACHE_HOME": cache}
    environment["PYTHONPYCACHEPREFIX"] = str(Path(cache) / "bytecode")
    asked = {
        "what": what,
        "tree": str(tree),
        "video": str(options.video.resolve()),
        "model": str(options.model.resolve()),
        "detector_model": str(options.detector_model.resolve()),
        "photos": [str(photo.resolve()) for photo in options.photo],
        "passes": options.passes,
        "started_ns": time.monotonic_ns(),
    }
    command = [sys.executable, str(WORKER), json.dumps(asked)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise FerError(f"{tree} does not run: {(done.stderr.strip() or 'no word why').splitlines()[-1]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def turn(tree: Path, options: Any, cache: str) -> dict[str, Any]:
    """Both processes of one checkout."""
    start, rates = process(tree, options, cache, "start"), process(tree, options, cache, "rates")
    passes = rates["passes"]
    frames = sum(run["frames"] for run in passes)
    return {
        "frames_per_s": statistics.median(run["frames"] / run["wall_s"] for run in passes),
        "cpu_ms_per_frame": 1e3 * sum(run["cpu_s"] for run in passes) / frames,
        "faces": [run["faces"] for run in passes],
        "searched": [run.get("searched") for run in passes],
        "detect_ms": rates["detect_ms"],
        "large_ms": rates["large_ms"],
        "photos": rates["photos"],
        "first_result_s": start["first_result_s"],
        "peak_mib": start["peak_mib"],
    }


def summary(turns: dict[str, list[dict[str, Any]]], recorder: Recorder, n_rounds: int) -> dict[str, Any]:
    """Medians of the rounds, the ratios, and whether the machine was fit."""
    conditions = recorder.stop()
    reasons = machine_reasons(conditions)
    if n_rounds < MIN_ROUNDS:
        reasons.append(f"too short: {n_rounds} rounds (at least {MIN_ROUNDS})")
    values = {
        row.key: {name: [process_turn[row.key] for process_turn in turns[name]] for name in turns} for row in WANTED
    }
    known = {key: trees for key, trees in values.items() if None not in trees["old"] + trees["new"]}
    return {
        "created_utc": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "machine": dataclasses.asdict(read_machine()),
        "conditions": dataclasses.asdict(conditions),
        "n_rounds": n_rounds,
        "valid": not reasons,
        "invalid_reasons": reasons,
        "medians": {key: {name: statistics.median(trees[name]) for name in trees} for key, trees in known.items()},
        "new_to_old": {key: ratio(trees["new"], trees["old"]) for key, trees in known.items()},
        "wanted": {row.key: row.wanted() for row in WANTED},
        "turns": turns,
    }


def ratio(new: list[float], old: list[float]) -> dict[str, Any]:
    """The median of the rounds' ratios with its 95 % bootstrap interval."""
    median, interval = paired_ratio([new], [old])
    return {"median": median, "ci95": list(interval)}


def float_difference(video: Path, model: Path) -> float:
    """Greatest difference of a box, in pixels of the view, between LiteRT's float form, not averaged, and OpenCV's.

    Infinite where the two find another number of faces. Of this checkout.
    """
    from fer_edge.faces.detection import shrink
    from fer_edge.faces.detectors.yunet import YUNET_SCORE
    from fer_edge.faces.yunet_engines import FloatEngine, OpenCVEngine
    from tree_worker import WIDTH, some_frames

    ours, theirs = FloatEngine(model, YUNET_SCORE, average=False), OpenCVEngine(model, YUNET_SCORE)
    worst = 0.0
    for frame in some_frames(str(video)):
        view = shrink(frame, WIDTH)
        a, b = ours.find(view), theirs.find(view)
        worst = max(worst, float(np.abs(a[:, :4] - b[:, :4]).max(initial=0.0)) if len(a) == len(b) else float("inf"))
    return worst


def commit(tree: Path) -> str | None:
    """The commit that is checked out, with ``-dirty`` where files differ; None outside git."""
    command = ["git", "-C", str(tree), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() or None


def text(report: dict[str, Any]) -> str:
    """The report as a table in Markdown; invalid figures say so."""
    lines = ["| | old | new | new / old (95 %) | wanted | |", "| --- | --- | --- | --- | --- | --- |"]
    for row in WANTED:
        if row.key not in report["medians"]:
            continue
        medians, ratio_ = report["medians"][row.key], report["new_to_old"][row.key]
        met = "met" if row.is_met(ratio_["median"], medians["new"]) else "**not met**"
        low, high = ratio_["ci95"]
        lines.append(
            f"| {row.title} | {medians['old']:.3f} | {medians['new']:.3f} | "
            f"{ratio_['median']:.3f} ({low:.3f} to {high:.3f}) | {row.wanted()} | {met} |"
        )
    for title, key in (("faces in a pass of the video", "faces"), ("faces in the photos", "photos")):
        old, new = (counts(report["turns"][name], key) for name in ("old", "new"))
        lines.append(f"| {title} | {old} | {new} | | same | {'met' if old == new else '**not met**'} |")
    far = report["float_boxes_px"]
    met = "met" if far <= 1e-3 else "**not met**"
    lines.append(f"| float boxes, difference to OpenCV's, pixels | | {far:.1e} | | at most 0.001 | {met} |")
    return "\n".join(lines + [f"INVALID: {reason}" for reason in report["invalid_reasons"]])


def counts(turns: list[dict[str, Any]], key: str) -> str:
    """All different numbers that came up."""
    faces = {
        ", ".join(map(str, count.values() if isinstance(count, dict) else [count]))
        for turn in turns
        for count in (turn[key] if isinstance(turn[key], list) else [turn[key]])
    }
    return " or ".join(sorted(faces)) or "none"


if __name__ == "__main__":
    sys.exit(main())
