"""Two checkouts' camera pipelines by turns: is this version faster than that one, and by how much?

    git worktree add ../before 7178436
    python benchmarks/interleaved_trees.py ../before . --video talking_head.mp4 --detector-model yunet.onnx

Nine rounds, in each of which both checkouts, in random order, start a process of their own that goes through the video
once unmeasured and then three times. Ratios are taken round by round, so that a machine whose speed drifts hits both.
Both get the same model and the same detector's file; everything else is what each does by default.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
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


def parser() -> CommandParser:
    """The command line."""
    p = CommandParser(prog="interleaved_trees.py", description="Two checkouts' camera pipelines by turns.")
    p.add_argument("old", type=Path, help="a checkout, for example a git worktree of an earlier commit")
    p.add_argument("new", type=Path, help="another one")
    p.add_argument("--video", type=Path, required=True, metavar="F", help="the video to go through")
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
    for file in (options.video, options.detector_model, options.model):
        if not file.is_file():
            raise UsageError(f"no file {file}")
    recorder, rng = Recorder(), np.random.default_rng(0)
    turns: dict[str, list[dict[str, Any]]] = {name: [] for name in trees}
    with tempfile.TemporaryDirectory() as cache:
        for _ in range(options.rounds):
            for name in rng.permutation(list(trees)):
                time.sleep(PAUSE_S)
                turns[str(name)].append(turn(trees[str(name)], options, cache))
    report = summary(turns, recorder, options.rounds)
    report["trees"] = {name: {"path": str(tree), "commit": commit(tree)} for name, tree in trees.items()}
    report["files"] = {str(f): sha256_of(f) for f in (options.video, options.detector_model, options.model)}
    sys.stdout.write(text(report) + "\n")
    if options.json:
        write_text(options.json, json.dumps(report, indent=1) + "\n")
    return 0


def turn(tree: Path, options: Any, cache: str) -> dict[str, Any]:
    """One process of one checkout, and what it measured."""
    environment = os.environ | {"PYTHONPATH": str(tree / "edge"), "XDG_CACHE_HOME": cache}
    files = [str(file.resolve()) for file in (options.video, options.model, options.detector_model)]
    began_ns = time.monotonic_ns()
    command = [sys.executable, str(WORKER), str(tree), *files, str(options.passes), str(began_ns)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise FerError(f"{tree} does not run: {(done.stderr.strip() or 'no word why').splitlines()[-1]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    passes = result["passes"]
    frames = sum(each["frames"] for each in passes)
    return {
        "frames_per_s": statistics.median(each["frames"] / each["wall_s"] for each in passes),
        "cpu_ms_per_frame": 1e3 * sum(each["cpu_s"] for each in passes) / frames,
        "faces": [each["faces"] for each in passes],
        "searched": [each.get("searched") for each in passes],
        "first_result_s": result["first_result_s"],
        "peak_mib": result["peak_mib"],
    }


def summary(turns: dict[str, list[dict[str, Any]]], recorder: Recorder, n_rounds: int) -> dict[str, Any]:
    """Medians of the rounds, the ratios, and whether the machine was fit."""
    conditions = recorder.stop()
    reasons = machine_reasons(conditions)
    if n_rounds < MIN_ROUNDS:
        reasons.append(f"too short: {n_rounds} rounds (at least {MIN_ROUNDS})")
    keys = ("frames_per_s", "cpu_ms_per_frame", "first_result_s", "peak_mib")
    values = {key: {name: [each[key] for each in turns[name]] for name in turns} for key in keys}
    known = {key: each for key, each in values.items() if None not in each["old"] + each["new"]}
    return {
        "created_utc": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "machine": dataclasses.asdict(read_machine()),
        "conditions": dataclasses.asdict(conditions),
        "n_rounds": n_rounds,
        "valid": not reasons,
        "invalid_reasons": reasons,
        "medians": {key: {name: statistics.median(each[name]) for name in each} for key, each in known.items()},
        "new_to_old": {key: ratio(each["new"], each["old"]) for key, each in known.items()},
        "turns": turns,
    }


def ratio(new: list[float], old: list[float]) -> dict[str, Any]:
    """The median of the rounds' ratios with its 95 % bootstrap interval."""
    median, interval = paired_ratio([new], [old])
    return {"median": median, "ci95": list(interval)}


def commit(tree: Path) -> str | None:
    """The commit that is checked out, with ``-dirty`` where files differ; None outside git."""
    command = ["git", "-C", str(tree), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() or None


def text(report: dict[str, Any]) -> str:
    """The report in lines; invalid figures say so."""
    mark = "" if report["valid"] else "  INVALID"
    lines = []
    for key, medians in report["medians"].items():
        ratio = report["new_to_old"][key]
        low, high = ratio["ci95"]
        lines.append(
            f"{key:16} old {medians['old']:8.3f}, new {medians['new']:8.3f}, "
            f"new / old {ratio['median']:.3f} ({low:.3f} to {high:.3f}){mark}"
        )
    for name, turns in report["turns"].items():
        lines.append(
            f"faces per pass, {name}: {', '.join(map(str, sorted({n for each in turns for n in each['faces']})))}"
        )
    return "\n".join(lines + [f"invalid: {reason}" for reason in report["invalid_reasons"]])


if __name__ == "__main__":
    sys.exit(main())
