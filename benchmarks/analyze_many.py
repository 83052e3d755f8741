"""How ``fer-analyze`` scales, whether its memory grows, and how it compares with the video analysis of the package fer.

    python benchmarks/analyze_many.py scaling --clip talking_head.mp4 --json out/scaling.json
    python benchmarks/analyze_many.py memory --json out/memory.json
    python benchmarks/analyze_many.py peer --clip talking_head.mp4 --json out/peer.json

* ``scaling``: 200 clips of 100 frames, each cut from another place of CLIP, by one worker and by two in turns; the
  ratio is of whole commands, with everything that they write.
* ``memory``: 10,000 drawn images; the memory of all processes together (PSS, so that what they share counts once), each
  second, from the first tenth of the run to its end.
* ``peer``: ``fer-analyze`` on CLIP with all cores against ``fer.Video(CLIP).analyze(FER())``, which writes its table as
  well, without pictures of its own: both as whole commands, and the frames per second of the analysis alone. fer runs
  in the environment of ``benchmarks/peers`` (made on the first run, about 5 GB), or by ``--python``.

Options behind ``--`` go to ``fer-analyze``, for example ``-- --detector-model yunet.onnx``.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from fer_bench.intervals import paired_ratio
from fer_bench.measure.machine import read_machine
from fer_bench.measure.validity import Recorder, machine_reasons
from fer_edge.command import CommandParser, run_command
from fer_edge.errors import CheckFailedError, FerError, SourceError
from fer_edge.files import write_text
from fer_edge.option_types import whole
from fer_edge.system import usable_cpus

PROG: Final[str] = "analyze_many.py"
ANALYZE: Final[str] = str(Path(sys.executable).parent / "fer-analyze")
FER_VIDEO: Final[Path] = Path(__file__).parent / "peers" / "fer_video.py"
WARM_SHARE: Final[float] = 0.1
"""Part of the images after which every process has opened what it needs."""
MIN_ROUNDS: Final[int] = 3


def parser() -> CommandParser:
    """The options."""
    made = CommandParser(prog=PROG, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = made.add_subparsers(dest="measurement", required=True)
    for name, text in (
        ("scaling", "one worker against two"),
        ("memory", "over many images"),
        ("peer", "against the package fer"),
    ):
        part = parts.add_parser(name, help=text)
        part.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
        part.add_argument("more", nargs="*", metavar="-- OPTIONS", help="for fer-analyze")
        if name != "memory":
            part.add_argument("--clip", type=Path, required=True, metavar="VIDEO", help="a video with a face")
            part.add_argument("--rounds", type=whole(1), default=5, metavar="N", help="turns of each (default: 5)")
        if name == "scaling":
            part.add_argument("--clips", type=whole(2), default=200, metavar="N", help="how many (default: 200)")
            part.add_argument("--frames", type=whole(1), default=100, metavar="N", help="of each (default: 100)")
            part.add_argument("--workers", type=whole(2), default=2, metavar="N", help="against one (default: 2)")
        if name == "memory":
            part.add_argument("--images", type=whole(100), default=10_000, metavar="N", help="default: 10000")
        if name == "peer":
            part.add_argument("--python", type=Path, metavar="FILE", help="an interpreter that has fer")
    return made


def main() -> int:
    """Measure, print the figures."""
    return run_command(PROG, lambda: body(parser().parse_args()))


def body(options: argparse.Namespace) -> int:
    """What ``main`` does, errors not yet caught."""
    clip = getattr(options, "clip", None)
    if clip is not None and not clip.is_file():
        raise SourceError(f"no video {clip}")
    measure = {"scaling": scaling, "memory": memory, "peer": peer}[options.measurement]
    with tempfile.TemporaryDirectory(prefix="fer-analyze-bench-") as folder:
        inputs = Path(folder) / "inputs"
        inputs.mkdir()
        prepare(options, inputs)
        recorder = Recorder()
        figures = measure(options, inputs, Path(folder))
        conditions = recorder.stop()
    reasons = machine_reasons(conditions)
    if getattr(options, "rounds", MIN_ROUNDS) < MIN_ROUNDS:
        reasons.append(f"too short: {options.rounds} rounds (at least {MIN_ROUNDS})")
    report = {
        "schema": "fer-analyze-benchmark/1",
        "measurement": options.measurement,
        "created_utc": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "machine": dataclasses.asdict(read_machine()),
        "conditions": dataclasses.asdict(conditions),
        "valid": not reasons,
        "invalid_reasons": reasons,
        **figures,
    }
    text = json.dumps(report, indent=1)
    sys.stdout.write(text + "\n")
    if options.json:
        write_text(options.json, text + "\n")
    return 0


def prepare(options: argparse.Namespace, inputs: Path) -> None:
    """The clips or images to be analyzed."""
    if options.measurement == "scaling":
        cut(options.clip, inputs, options.clips, options.frames)
    elif options.measurement == "memory":
        draw(inputs, options.images)


def cut(clip: Path, inputs: Path, n_clips: int, n_frames: int) -> None:
    """Clips that begin at different frames of a video, which is repeated forwards and backwards."""
    capture = cv2.VideoCapture(str(clip))
    fps = capture.get(cv2.CAP_PROP_FPS) or 25.0
    frames: list[Any] = []
    while len(frames) < 500:
        got, frame = capture.read()
        if not got:
            break
        frames.append(frame)
    if not frames:
        raise SourceError(f"{clip} holds no readable video frame")
    ring = frames + frames[-2:0:-1]
    height, width = frames[0].shape[:2]
    for number in range(n_clips):
        path = inputs / f"{number:04}.mp4"
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, (width, height))
        for step in range(n_frames):
            writer.write(ring[(number * 7 + step) % len(ring)])
        writer.release()


def draw(inputs: Path, n_images: int) -> None:
    """Drawn scenes of 320x240 with one face, no two alike."""
    from fer_edge.labels import EMOTIONS
    from fer_train.synthetic.faces import draw_scene

    rng = np.random.default_rng(0)
    base = [draw_scene(EMOTIONS[n % len(EMOTIONS)], rng, 320, 240)[0] for n in range(min(n_images, 210))]
    for number in range(n_images):
        image = np.roll(base[number % len(base)], 3 * (number // len(base)), axis=1)
        image[:2, :2] = number % 251, number // 251 % 251, number % 7
        cv2.imwrite(str(inputs / f"{number:05}.png"), image)


def analyze(inputs: Path, out: Path, *options: str) -> subprocess.Popen[str]:
    """Start ``fer-analyze``."""
    command = [ANALYZE, str(inputs), "--out", str(out), *options]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def timed(inputs: Path, out: Path, *options: str) -> float:
    """Seconds of a whole command."""
    began = time.perf_counter()
    process = analyze(inputs, out, *options)
    _, notices = process.communicate()
    if process.returncode != 0:
        raise CheckFailedError(f"fer-analyze ended with {process.returncode}: {notices.strip().splitlines()[-1]}")
    return time.perf_counter() - began


def scaling(options: argparse.Namespace, inputs: Path, folder: Path) -> dict[str, Any]:
    """One worker and several by turns, in random order."""
    seconds: dict[int, list[float]] = {1: [], options.workers: []}
    rng = random.Random(0)
    for number in range(options.rounds):
        for workers in rng.sample(list(seconds), 2):
            out = folder / f"{number}-{workers}"
            seconds[workers].append(timed(inputs, out, "--workers", str(workers), *options.more))
            sys.stderr.write(f"{workers} workers: {seconds[workers][-1]:.1f} s\n")
    ratio, (low, high) = paired_ratio([seconds[1]], [seconds[options.workers]])
    return {
        "n_clips": options.clips,
        "n_frames_each": options.frames,
        "n_rounds": options.rounds,
        "workers": options.workers,
        "seconds_by_workers": seconds,
        "throughput_ratio": ratio,
        "throughput_ratio_ci95": [low, high],
    }


def memory(options: argparse.Namespace, inputs: Path, folder: Path) -> dict[str, Any]:
    """The memory of all processes of a run, each second."""
    process = analyze(inputs, folder / "out", *options.more)
    notices: list[str] = []
    reader = threading.Thread(target=lambda: notices.extend(process.stderr or []), daemon=True)
    reader.start()
    samples = []
    done = folder / "out" / "files"
    while process.poll() is None:
        n_done = sum(1 for _ in done.iterdir()) if done.is_dir() else 0
        pss = pss_mib(process.pid)
        if pss:
            samples.append((n_done, pss))
        time.sleep(1.0)
    reader.join()
    if process.returncode != 0:
        raise CheckFailedError(f"fer-analyze ended with {process.returncode}: {notices[-1].strip()}")
    running = [(n, mib) for n, mib in samples if WARM_SHARE * options.images <= n < options.images]
    if len(running) < 20:
        raise FerError(f"only {len(running)} samples; more images are needed")
    tenth = max(1, len(running) // 10)
    first = statistics.median(mib for _, mib in running[:tenth])
    last = statistics.median(mib for _, mib in running[-tenth:])
    return {
        "n_images": options.images,
        "n_samples": len(running),
        "first_mib": round(first, 1),
        "last_mib": round(last, 1),
        "most_mib": round(max(mib for _, mib in running), 1),
        "most_at_the_end_mib": round(max(mib for _, mib in samples), 1),
        "growth_percent": round(100 * (last / first - 1), 2),
        "samples": [[n, round(mib, 1)] for n, mib in samples[:: max(1, len(samples) // 200)]],
    }


def pss_mib(process: int) -> float:
    """Proportional memory of a process and those that it started, in MiB; 0 once it has ended."""
    total = 0.0
    try:
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) / 1024
        for task in Path(f"/proc/{process}/task").iterdir():
            total += sum(pss_mib(int(child)) for child in (task / "children").read_text().split())
    except OSError:
        return total
    return total


def peer(options: argparse.Namespace, inputs: Path, folder: Path) -> dict[str, Any]:
    """Ours and fer's by turns: a round is one command of each."""
    del inputs
    python = options.python
    if python is None:
        sys.path.insert(0, str(FER_VIDEO.parent))
        from run_peers import peers_python

        python = peers_python()
    ours: list[float] = []
    theirs: list[float] = []
    alone: list[float] = []
    answer: dict[str, Any] = {}
    for number in range(options.rounds):
        ours.append(timed(options.clip, folder / f"ours-{number}", *options.more))
        began = time.perf_counter()
        answer = fer_video(python, options.clip, folder / f"fer-{number}")
        theirs.append(time.perf_counter() - began)
        alone.append(answer["analyze_s"])
        sys.stderr.write(f"ours {ours[-1]:.1f} s, fer {theirs[-1]:.1f} s\n")
    from fer_edge.analysis import read_table

    table = read_table(folder / "ours-0")
    files = read_table(folder / "ours-0", "files")
    frames = int(files["frames"].iloc[0])
    own = analysis_alone(options.clip, options.rounds, options.more)
    ratio, (low, high) = paired_ratio([theirs], [ours])
    ratio_alone, (low_alone, high_alone) = paired_ratio([alone], [own])
    return {
        "n_frames": frames,
        "n_rounds": options.rounds,
        "n_cores": usable_cpus(),
        "fer_version": answer["version"],
        "ours_command_s": ours,
        "fer_command_s": theirs,
        "command_ratio": ratio,
        "command_ratio_ci95": [low, high],
        "ours_analysis_s": own,
        "fer_analysis_s": alone,
        "frames_per_second": {
            "ours": frames / statistics.median(own),
            "fer": answer["n_frames"] / statistics.median(alone),
        },
        "analysis_ratio": ratio_alone,
        "analysis_ratio_ci95": [low_alone, high_alone],
        "fer_columns": answer["columns"],
        "columns_of_fer_that_we_lack": lacking(answer["columns"], list(table.columns)),
    }


def fer_video(python: Path, clip: Path, folder: Path) -> dict[str, Any]:
    """What ``fer_video.py`` reports, in an interpreter that has fer."""
    command = [str(python), str(FER_VIDEO), str(clip.resolve()), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CheckFailedError(f"fer cannot be measured: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def analysis_alone(clip: Path, rounds: int, more: Sequence[str]) -> list[float]:
    """Seconds from the open network to the finished tables and picture of a file, in this process."""
    from fer_edge.analysis.cli import build_parser
    from fer_edge.analysis.one_file import Job, carry_out
    from fer_edge.analysis.recipe import open_tools, recipe_from

    recipe = recipe_from(build_parser().parse_args([str(clip), "--out", "unused", *more]))
    tools = open_tools(recipe)
    seconds = []
    for _ in range(rounds + 1):
        began = time.perf_counter()
        outcome = carry_out(Job(0, clip.name, str(clip.absolute()), 0, "folder"), recipe, lambda: tools)
        seconds.append(time.perf_counter() - began)
        if outcome.error:
            raise CheckFailedError(outcome.error)
    return seconds[1:]


def lacking(theirs: Sequence[str], ours: Sequence[str]) -> list[str]:
    """Columns of fer, without the number of the face at their end, that have no counterpart in our table."""
    known = {*ours, *(["box"] if {"x", "y", "w", "h"} <= set(ours) else [])}
    return sorted({name.rstrip("0123456789") for name in theirs} - known)


if __name__ == "__main__":
    sys.exit(main())
