"""Other packages beside ours: accuracy on a split, frames a second on a video, first result, memory.

    python benchmarks/peers/run_peers.py --data fer2013.zip --video talking_head.mp4 --detector-model yunet.onnx \\
        --model fer_int8.tflite --json out/peers.json

The others run in an environment of their own, pinned in ``requirements.txt`` (made on the first run, about 4 GB, by
uv). Every package gets the same labelled faces, without a face detector, and the whole video, with its own. Each runs
in a fresh process, one after the other. Their training data is not ours to know: a package may have seen the split.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import numpy as np

from fer_bench.accuracy import evaluate_targets, load_faces
from fer_bench.end_to_end import Scene, measure_end_to_end
from fer_bench.machine import read_machine
from fer_bench.measure_command import positive_int
from fer_bench.remote import Target
from fer_bench.statistic import wilson_interval
from fer_bench.targets import choose_targets
from fer_bench.validity import Recorder, machine_reasons
from fer_edge.command import CommandParser, run_command
from fer_edge.errors import FerError, MissingDependencyError
from fer_edge.files import write_text
from fer_edge.labels import EMOTIONS

HERE: Final[Path] = Path(__file__).parent
REQUIREMENTS: Final[Path] = HERE / "requirements.txt"
ENVIRONMENT: Final[Path] = HERE.parents[1] / ".venv-peers"
PEERS: Final[tuple[str, ...]] = ("fer", "facial-emotion-recognition")


def parser() -> CommandParser:
    """The command line."""
    p = CommandParser(prog="run_peers.py", description="Measure other packages beside ours on the same input.")
    p.add_argument("--data", type=Path, required=True, help="labelled faces: folder, zip or fer2013.csv")
    p.add_argument("--split", default="validation", help="split of the data (validation)")
    p.add_argument("--limit", type=positive_int, metavar="N", help="only N faces of the split, evenly spaced")
    p.add_argument("--video", type=Path, required=True, help="video file with faces")
    p.add_argument("--model", default="fer_int8.tflite", help="our model")
    p.add_argument("--detector-model", metavar="PATH", help="YuNet's .onnx file, for our pipeline")
    p.add_argument("--peer", action="append", choices=PEERS, help="only this package; repeat for several")
    p.add_argument("--python", type=Path, metavar="P", help="interpreter of an environment that has them already")
    p.add_argument("--json", type=Path, metavar="F", help="write the result as JSON")
    return p


def main() -> int:
    """Measure, print a Markdown table."""
    return run_command("run_peers.py", lambda: body(parser().parse_args()))


def body(options: argparse.Namespace) -> int:
    """What ``main`` does, errors not yet caught."""
    faces = load_faces(options.data, options.split)
    keep = np.arange(len(faces.labels))
    if options.limit and options.limit < len(keep):
        keep = np.linspace(0, len(keep) - 1, options.limit).astype(int)
    faces = dataclasses.replace(faces, images=np.asarray(faces.images[keep]), labels=np.asarray(faces.labels[keep]))
    if not options.video.is_file():
        raise FerError(f"no video {options.video}")
    python = options.python or peers_python()
    ((_, target),) = choose_targets([options.model], "auto", 1)
    recorder = Recorder()
    rows = [ours(target, options, faces, detector) for detector in ("yunet", "haar")]
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "faces.npz"
        np.savez(archive, images=faces.images)
        names = np.array(EMOTIONS)[faces.labels]
        rows += [peer(name, python, archive, options.video, names) for name in options.peer or PEERS]
    conditions = recorder.stop()
    reasons = machine_reasons(conditions)
    report = {
        "created_utc": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "machine": dataclasses.asdict(read_machine()),
        "conditions": dataclasses.asdict(conditions),
        "split": faces.split,
        "n_images": len(faces.labels),
        "video": options.video.name,
        "valid": not reasons,
        "invalid_reasons": reasons,
        "results": rows,
    }
    sys.stdout.write(markdown(report) + "\n")
    if options.json:
        write_text(options.json, json.dumps(report, indent=1) + "\n")
    return 0


def peers_python() -> Path:
    """The interpreter of the peers' environment, which is made where it is not there."""
    python = ENVIRONMENT / "bin" / "python"
    stamp = ENVIRONMENT / "requirements.installed"
    if stamp.is_file() and stamp.read_text() == REQUIREMENTS.read_text():
        return python
    sys.stderr.write(f"making {ENVIRONMENT} with the other packages, about 4 GB\n")
    uv = [sys.executable, "-m", "uv"]
    for command in (
        [*uv, "venv", "-q", "--clear", "--python", "3.11", str(ENVIRONMENT)],
        [*uv, "pip", "install", "-q", "--python", str(python), "-r", str(REQUIREMENTS)],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise MissingDependencyError(f"the peers' environment cannot be made: {last}")
    stamp.write_text(REQUIREMENTS.read_text())
    return python


def ours(target: Target, options: argparse.Namespace, faces: Any, detector: str) -> dict[str, Any]:
    """Our model and pipeline."""
    (evaluation,) = evaluate_targets([target], faces)
    scene = Scene(str(options.video), detector, options.detector_model if detector == "yunet" else None)
    (found,) = measure_end_to_end([target], scene, 1, None, lambda *_: None)
    right = int(np.sum(evaluation.decisions == evaluation.labels))
    return {
        "name": f"fer-edge-toolkit, {target.path.name}, faces by {detector}",
        **accuracy(right, evaluation.n_images),
        "n_frames": found.n_frames,
        "n_faces": found.n_faces,
        "throughput_fps": found.throughput_fps,
        "first_result_ms": found.first_result_ms,
        "peak_rss_mib": found.peak_rss_mib,
    }


def peer(name: str, python: Path, archive: Path, video: Path, labels: Any) -> dict[str, Any]:
    """One other package."""
    command = [str(python), str(HERE / "peer_worker.py"), name, str(archive), str(video), str(time.monotonic_ns())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise FerError(f"{name} failed: {last}")
    answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    right = int(np.sum(np.array(answer.pop("decided")) == labels))
    title = f"{answer.pop('package')} {answer.pop('version')}, faces by {answer.pop('detector')}"
    return {"name": title, **accuracy(right, len(labels)), **answer}


def accuracy(right: int, n_images: int) -> dict[str, Any]:
    """The fraction with its interval."""
    return {"accuracy": right / n_images, "accuracy_ci95": list(wilson_interval(right, n_images))}


def markdown(report: dict[str, Any]) -> str:
    """The table for the README, with machine and date."""
    machine = report["machine"]
    place = machine["board"] or machine["cpu_model"]
    lines = [
        f"| package | accuracy ({report['split']}, n = {report['n_images']}) | frames/s | faces found | first result | "
        "peak memory |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in report["results"]:
        half = 100 * (row["accuracy_ci95"][1] - row["accuracy_ci95"][0]) / 2
        lines.append(
            f"| {row['name']} | {100 * row['accuracy']:.1f} ± {half:.1f} % | {row['throughput_fps']:.0f} | "
            f"{row['n_faces']} in {row['n_frames']} frames | {row['first_result_ms'] / 1000:.1f} s | "
            f"{row['peak_rss_mib']:.0f} MiB |"
        )
    day = report["created_utc"][:10]
    lines += ["", f"{place}, {machine['n_cpus']} CPUs, Python {machine['python']}, {day}; video {report['video']}."]
    lines += [f"**Invalid speeds**: {reason}." for reason in report["invalid_reasons"]]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
