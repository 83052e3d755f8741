"""Other packages compared with ours: accuracy on a split, frames per second on a video, first result, memory.

    python benchmarks/peers/run_peers.py --data fer2013.zip --video talking_head.mp4 --detector-model yunet.onnx \\
        --model fer_int8.tflite --json out/peers.json

The others run in an environment of their own, pinned in ``requirements.txt`` (made on the first run, about 5 GB, by
uv). Every package has a process of its own. They take turns in random order: first each is started several times (time
to the first result), then each goes through the whole video, round after round, so that a slow moment of the machine
hits all alike; then each gets the same labelled faces, without a face detector. The others' training data is not ours
to know: a package may have seen the split. A package that does not work here is left out, and the reason is recorded.

Accuracy does not depend on how busy the machine is, so it can be a run of its own: ``--accuracy-only --json a.json``,
later ``--accuracy-from a.json`` on the quiet machine, which then evaluates only versions and models not in that file.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import datetime
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fer_bench.intervals import paired_ratio, wilson_interval
from fer_bench.measure.accuracy import load_faces
from fer_bench.measure.choose_models import choose_contenders
from fer_bench.measure.machine import read_machine
from fer_bench.measure.validity import Recorder, machine_reasons
from fer_bench.report.peers_table import markdown, package_of
from fer_edge.command import CommandParser, run_command
from fer_edge.errors import FerError, MissingDependencyError, UsageError
from fer_edge.files import sha256_of, write_text
from fer_edge.labels import EMOTIONS
from fer_edge.option_types import whole
from fer_train.data.dataset import Split

HERE: Final[Path] = Path(__file__).parent
REQUIREMENTS: Final[Path] = HERE / "requirements.txt"
ENVIRONMENT: Final[Path] = HERE.parents[1] / ".venv-peers"
WORKER: Final[Path] = HERE / "peer_worker.py"
PEERS: Final[tuple[str, ...]] = ("fer", "facex", "facial-emotion-recognition", "PyEmotion")
OURS: Final[tuple[str, ...]] = ("yunet", "haar")
"""Our face detectors, each as it is by default."""
PAUSE_S: Final[float] = 0.3
"""Between turns: a runtime's idle threads keep spinning for a moment."""
MIN_ROUNDS: Final[int] = 3
Accuracies = dict[tuple[str, str | None, str], dict[str, Any]]
"""Rows with an accuracy, by package and version, our model's sha256, and split."""


@dataclass
class Contestant:
    """A package, how to start it, and what was measured."""

    title: str
    command: list[str]
    """Without the moment of the start, which is put in at ``{started_ns}``."""
    first_result_ms: list[float] = field(default_factory=list)
    pass_s: list[float] = field(default_factory=list)
    n_frames: int = 0
    n_faces: int = 0
    peak_rss_mib: float | None = None
    n_right: int | None = None
    n_images: int = 0
    sha256: str | None = None
    """Of our model; other packages are identified by their versions."""
    failed: str | None = None
    """Why it could not be measured."""


class Running:
    """A contestant's process."""

    def __init__(self, contestant: Contestant) -> None:
        self.contestant = contestant
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        command = [part.format(started_ns=time.monotonic_ns()) for part in contestant.command]
        # Another interpreter must not see our packages.
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, env=environment, text=True
        )
        try:
            opened = self._receive()
        except BaseException:
            self.close()
            raise
        contestant.first_result_ms.append(opened["first_result_ms"])
        contestant.title = contestant.title.format(**opened)

    def ask(self, **request: Any) -> dict[str, Any]:
        """The answer to a request."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # the missing answer tells why
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        return self._receive()

    def close(self) -> None:
        """End the process and wait for it, so that its CPU time counts as ours."""
        if self._process.stdin:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()
        self._log.close()

    def _receive(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._log.seek(0)
            printed = self._log.read().decode(errors="replace").strip().splitlines()
            last = printed[-1] if printed else f"ended with {self._process.returncode}"
            raise FerError(f"{package_of(self.contestant.title)} failed: {last}")
        reply: dict[str, Any] = json.loads(line)
        return reply


def parser() -> CommandParser:
    """The command line."""
    p = CommandParser(prog="run_peers.py", description="Measure other packages beside ours on the same input.")
    p.add_argument("--data", type=Path, required=True, help="labelled faces: folder, zip or fer2013.csv")
    p.add_argument("--split", default="validation", help="split of the data (validation)")
    p.add_argument("--limit", type=whole(1), metavar="N", help="only N faces of the split, evenly spaced")
    p.add_argument("--video", type=Path, required=True, help="video file with faces")
    p.add_argument("--model", default="fer_int8.tflite", help="our model")
    p.add_argument("--detector-model", metavar="PATH", help="YuNet's .onnx file, for our pipeline")
    p.add_argument("--peer", action="append", choices=PEERS, help="only this package; repeat for several")
    p.add_argument("--rounds", type=whole(1), default=5, metavar="N", help="passes over the video each (5)")
    p.add_argument("--starts", type=whole(1), default=3, metavar="N", help="fresh starts each (3)")
    p.add_argument("--python", type=Path, metavar="P", help="interpreter of an environment that has them already")
    p.add_argument("--json", type=Path, metavar="F", help="write the result as JSON")
    p.add_argument("--accuracy-only", action="store_true", help="no timing; may run on a busy machine")
    p.add_argument("--accuracy-from", type=Path, metavar="F", help="take accuracies of the same versions from here")
    return p


def main() -> int:
    """Measure, print a Markdown table."""
    return run_command("run_peers.py", lambda: body(parser().parse_args()))


def body(options: argparse.Namespace) -> int:
    """What ``main`` does, errors not yet caught."""
    faces = load_faces(options.data, options.split, limit=options.limit)
    if not options.video.is_file():
        raise FerError(f"no video {options.video}")
    if options.detector_model and not Path(options.detector_model).is_file():
        raise UsageError(f"no detector model {options.detector_model}")
    known = read_accuracies(options.accuracy_from) if options.accuracy_from else {}
    python = options.python or peers_python()
    ((_, contender),) = choose_contenders([options.model], "auto", 1)
    contestants = [ours(contender.path, options.video, options.detector_model, detector) for detector in OURS]
    if options.accuracy_only:
        del contestants[1:]  # the same network twice
    contestants += [peer(name, python, options.video) for name in options.peer or PEERS]
    starts, rounds = (1, 0) if options.accuracy_only else (options.starts, options.rounds)
    recorder = Recorder()
    measure(contestants, faces, starts, rounds, say, known)
    conditions = recorder.stop()
    if contestants[0].failed:
        raise FerError(contestants[0].failed)
    reasons = machine_reasons(conditions) if rounds else []
    if rounds < MIN_ROUNDS:
        reasons.append(f"too short: {rounds} rounds (at least {MIN_ROUNDS})" if rounds else "accuracy only: no timing")
    report = {
        "created_utc": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "machine": dataclasses.asdict(read_machine()),
        "conditions": dataclasses.asdict(conditions),
        "split": faces.name,
        "video": options.video.name,
        "n_rounds": rounds,
        "n_starts": starts,
        "valid": not reasons,
        "invalid_reasons": reasons,
        "results": [row(contestant, contestants[0]) for contestant in contestants],
    }
    sys.stdout.write(markdown(report) + "\n")
    if options.json:
        write_text(options.json, json.dumps(report, indent=1) + "\n")
    return 0


def read_accuracies(path: Path) -> Accuracies:
    """Those in a JSON file of this script."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        rows = [entry for entry in content["results"] if entry.get("accuracy") is not None]
        return {(package_of(entry["name"]), entry["model_sha256"], content["split"]): entry for entry in rows}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} is not a JSON file written by this script ({type(error).__name__})") from error


def take_accuracy(contestant: Contestant, known: Accuracies, split: str) -> bool:
    """Whether the accuracy of this version was found before; then it is that."""
    earlier = known.get((package_of(contestant.title), contestant.sha256, split))
    if earlier is None:
        return False
    contestant.n_right, contestant.n_images = earlier["n_right"], earlier["n_images"]
    return True


def say(text: str) -> None:
    """Progress: this takes minutes."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")


def peers_python() -> Path:
    """The interpreter of the peers' environment, which is made where it is not there."""
    python = ENVIRONMENT / "bin" / "python"
    stamp = ENVIRONMENT / "requirements.installed"
    if stamp.is_file() and stamp.read_text() == REQUIREMENTS.read_text():
        return python
    say(f"making {ENVIRONMENT} with the other packages, about 5 GB")
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


def ours(model: Path, video: Path, detector_model: str | None, detector: str) -> Contestant:
    """Our pipeline, by this interpreter."""
    options = {
        "model": str(model.resolve()),
        "detector": detector,
        "detector_model": detector_model if detector == "yunet" else None,
    }
    # Doubled braces: the command is formatted once more, with the moment of the start.
    text = json.dumps(options).replace("{", "{{").replace("}", "}}")
    command = [sys.executable, str(WORKER), "ours", str(video), "{started_ns}", text]
    return Contestant(
        f"fer-edge-toolkit {{version}}, {model.name}, faces by {detector}", command, sha256=sha256_of(model)
    )


def peer(name: str, python: Path, video: Path) -> Contestant:
    """One other package, by the interpreter of its environment."""
    return Contestant(f"{name} {{version}}, faces by {{detector}}", [
        str(python), str(WORKER), name, str(video), "{started_ns}",
    ])  # fmt: skip


def measure(
    contestants: Sequence[Contestant],
    faces: Split,
    starts: int,
    rounds: int,
    on_progress: Callable[[str], None],
    known: Accuracies | None = None,
) -> None:
    """Fill in what each contestant does; see the top of this file for the order. ``known`` need not be found again."""
    rng = np.random.default_rng(0)
    with contextlib.ExitStack() as stack:
        running: dict[int, Running] = {}
        for start in range(starts):
            for index in rng.permutation(len(contestants)):
                contestant = contestants[index]
                if contestant.failed:
                    continue
                on_progress(f"start {start + 1} of {starts}: {contestant.title.split(',')[0].split(' {')[0]}")
                with failing(contestant, on_progress):
                    process = Running(contestant)
                    if start < starts - 1:
                        process.close()
                    else:
                        stack.callback(process.close)
                        running[int(index)] = process
                time.sleep(PAUSE_S)
        for number in range(rounds):
            on_progress(f"round {number + 1} of {rounds}")
            for index in rng.permutation(len(contestants)):
                if not contestants[index].failed:
                    with failing(contestants[index], on_progress):
                        _watch(running[int(index)])
                    time.sleep(PAUSE_S)
        for process in running.values():
            with failing(process.contestant, on_progress):
                process.contestant.peak_rss_mib = process.ask(op="memory")["peak_rss_mib"]
        on_progress(f"accuracy on {len(faces.labels)} faces")
        with tempfile.TemporaryDirectory() as folder:
            archive = Path(folder) / "faces.npz"
            np.savez(archive, images=faces.images)
            names = np.array(EMOTIONS)[faces.labels]

            def score(process: Running) -> None:
                if take_accuracy(process.contestant, known or {}, faces.name):
                    return
                with failing(process.contestant, on_progress):
                    _score(process, archive, names)
                    on_progress(f"accuracy of {process.contestant.title}: {process.contestant.n_right} right")

            # Not timed, so two at a time.
            with ThreadPoolExecutor(2) as pool:
                list(pool.map(score, [process for process in running.values() if not process.contestant.failed]))


@contextlib.contextmanager
def failing(contestant: Contestant, on_progress: Callable[[str], None]) -> Iterator[None]:
    """What goes wrong inside is written down as the contestant's result: the others go on."""
    try:
        yield
    except FerError as error:
        contestant.failed = str(error)
        on_progress(contestant.failed)


def _watch(process: Running) -> None:
    answer, contestant = process.ask(op="watch"), process.contestant
    contestant.pass_s.append(answer["seconds"])
    contestant.n_frames, contestant.n_faces = answer["n_frames"], answer["n_faces"]


def _score(process: Running, archive: Path, labels: npt.NDArray[np.str_]) -> None:
    decided = np.array(process.ask(op="classify", faces=str(archive))["decided"])
    process.contestant.n_right, process.contestant.n_images = int(np.sum(decided == labels)), len(labels)


def row(contestant: Contestant, first: Contestant) -> dict[str, Any]:
    """What was measured of a contestant, as in the JSON; times against ``first``, round by round."""
    record: dict[str, Any] = {"name": contestant.title, "model_sha256": contestant.sha256, "failed": contestant.failed}
    if contestant.failed:
        return record
    if contestant.n_right is not None:
        record |= {
            "accuracy": contestant.n_right / contestant.n_images,
            "accuracy_ci95": list(wilson_interval(contestant.n_right, contestant.n_images)),
            "n_right": contestant.n_right,
            "n_images": contestant.n_images,
        }
    if contestant.pass_s:
        ratio, interval = paired_ratio([contestant.pass_s], [first.pass_s])
        record |= {
            "n_frames": contestant.n_frames,
            "n_faces": contestant.n_faces,
            "throughput_fps": contestant.n_frames / statistics.median(contestant.pass_s),
            "throughput_each_fps": [contestant.n_frames / seconds for seconds in contestant.pass_s],
            "ratio_of_time_to_first": ratio,
            "ratio_of_time_to_first_ci95": list(interval),
            "first_result_ms": statistics.median(contestant.first_result_ms),
            "first_result_each_ms": contestant.first_result_ms,
            "peak_rss_mib": contestant.peak_rss_mib,
        }
    return record


if __name__ == "__main__":
    sys.exit(main())
