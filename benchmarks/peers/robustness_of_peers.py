"""Other packages and ours on the same disturbed faces: ``fer-bench robustness`` for packages that give decisions alone.

    python benchmarks/peers/robustness_of_peers.py --data fer2013.zip --limit 1197 --json out/peers-robustness.json

Faces and disturbances are those of ``fer-bench robustness``, 48 x 48 grey, without a face detector: each package gets
them through its own network and its own scaling. Other packages run in the environment that ``run_peers.py`` makes.
Their probabilities are not asked for, so they have no calibration error. Nothing is timed: a busy machine will do.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from run_peers import PEERS, Running, ours, peer, peers_python

from fer_bench.measure.choose_models import choose_contenders
from fer_bench.progress import OnFraction, progress_bar, require_rich
from fer_bench.report.terminal import console
from fer_bench.report.writable import check_writable
from fer_bench.robustness.evaluate import Faces, cases_of, chosen_faces, disturbed, kinds_called, report_of
from fer_bench.robustness.picture import draw
from fer_bench.robustness.schema import RobustnessReport
from fer_bench.robustness.summary import Case, Judged
from fer_bench.robustness.terminal import print_robustness
from fer_edge.command import CommandParser, run_command
from fer_edge.errors import FerError
from fer_edge.files import write_text
from fer_edge.labels import EMOTIONS, NUM_EMOTIONS
from fer_edge.option_types import whole
from fer_train.evaluation.evaluate import Evaluation
from fer_train.synthetic.faces import draw_scene

DEFAULT_PEERS: Final[tuple[str, ...]] = ("fer",)
FIRST_FRAMES: Final[int] = 3
"""Of the film that a package answers before it takes faces."""


def parser() -> CommandParser:
    """The options."""
    p = CommandParser(prog="robustness_of_peers.py", description=__doc__.partition("\n")[0])
    p.add_verbosity()
    p.add_argument("--data", type=Path, required=True, metavar="D", help="folder, zip or fer2013.csv")
    p.add_argument("--split", default="validation", help="split to evaluate (default: validation)")
    p.add_argument("--limit", type=whole(1), metavar="N", help="N faces, evenly spaced over the split")
    p.add_argument("--model", default="fer_int8.tflite", help="our model (default: fer_int8.tflite)")
    p.add_argument(
        "--peer", action="append", choices=PEERS, metavar="P", help=f"of {', '.join(PEERS)}; repeatable (fer)"
    )
    p.add_argument("--kind", action="append", default=[], metavar="K", help="only this kind; repeat for several")
    p.add_argument("--seed", type=whole(), default=0, help="of the disturbances (default: 0)")
    p.add_argument("--python", type=Path, metavar="P", help="interpreter of an environment that has the packages")
    p.add_argument("--json", type=Path, metavar="F", help="write the result as JSON")
    p.add_argument("--picture", type=Path, metavar="F.png", help="draw example faces and a chart")
    return p


def main() -> int:
    """Evaluate, print the tables of fer-bench robustness."""
    return run_command("robustness_of_peers.py", lambda: body(parser().parse_args()))


def body(options: argparse.Namespace) -> int:
    """What ``main`` does, errors not yet caught."""
    require_rich()
    for path in (options.json, options.picture):
        check_writable(path)
    kinds = kinds_called(options.kind)
    faces = chosen_faces(options.data, options.split, options.limit, options.seed)
    ((_, contender),) = choose_contenders([options.model], "auto", 1)
    python = options.python or peers_python()
    with tempfile.TemporaryDirectory() as folder:
        video = a_video(Path(folder) / "face.avi")
        contestants = [ours(contender.path, video, None, "haar")]
        contestants += [peer(name, python, video) for name in options.peer or DEFAULT_PEERS]
        with progress_bar() as on_progress, opened(contestants) as running:
            judged = judge(running, faces, cases_of(kinds), options.seed, Path(folder), on_progress)
    command = ["robustness_of_peers.py", *sys.argv[1:]]
    report = report_of(judged, faces, kinds, seed=options.seed, data=options.data.name, command=command)
    show(report, options.json, options.picture)
    return 0


def show(report: RobustnessReport, json: Path | None, picture: Path | None) -> None:
    """Print and write."""
    print_robustness(report, console())
    if json:
        write_text(json, report.as_json())
    if picture:
        draw(report, picture)


def a_video(path: Path) -> Path:
    """A few frames of a synthetic person: every package answers one frame before it takes faces."""
    frame, _ = draw_scene("happy", np.random.default_rng(0), 320, 240)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (320, 240))
    for _ in range(FIRST_FRAMES):
        writer.write(frame)
    writer.release()
    return path


@contextmanager
def opened(contestants: Sequence[Any]) -> Iterator[list[Running]]:
    """The packages, each in a process of its own."""
    with ExitStack() as stack:
        running = []
        for contestant in contestants:
            process = Running(contestant)
            stack.callback(process.close)
            running.append(process)
        yield running


def judge(
    running: Sequence[Running], faces: Faces, cases: Sequence[Case], seed: int, folder: Path, on_progress: OnFraction
) -> list[Judged]:
    """Every package over every case; all get the same file of faces."""
    evaluations_of: list[list[Evaluation]] = [[] for _ in running]
    with ThreadPoolExecutor(len(running)) as pool:
        for number, case in enumerate(cases):
            archive = folder / f"{case.kind}_{case.strength}.npz"
            np.savez(archive, images=disturbed(faces, case, seed))
            answers = pool.map(lambda process, archive=archive: process.ask(op="classify", faces=str(archive)), running)
            for evaluations, answer in zip(evaluations_of, answers, strict=True):
                evaluations.append(Evaluation(faces.split, certain(answer["decided"], len(faces.labels)), faces.labels))
            archive.unlink()
            on_progress((number + 1) / len(cases), f"{case.kind} {case.strength}")
    return [
        Judged(
            process.contestant.title.partition(", faces by")[0],
            process.contestant.sha256,
            "",
            cases,
            evaluations,
            False,
        )
        for process, evaluations in zip(running, evaluations_of, strict=True)
    ]


def certain(decided: Sequence[str], count: int) -> Any:
    """``(N, 7)`` with 1 for the class that was decided; what is none of the seven is never right."""
    if len(decided) != count:
        raise FerError(f"a package gave {len(decided)} decisions for {count} faces")
    out = np.zeros((count, NUM_EMOTIONS + 1), np.float32)
    for row, name in enumerate(decided):
        out[row, EMOTIONS.index(name) if name in EMOTIONS else NUM_EMOTIONS] = 1.0
    return out


if __name__ == "__main__":
    sys.exit(main())
