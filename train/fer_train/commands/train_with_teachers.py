"""The most accurate recipe, in one command: ``python -m fer_train.commands.train_with_teachers --data fer2013.zip --runs runs/best``.

Three larger networks learn FER-2013 from scratch side by side, then teach MobileNetV2, which begins at ImageNet's
weights and sees the same changed faces as they do; its QAT stage follows. Every step is a plain ``fer-train`` in a
folder of its own below ``--runs``: what is finished stays, what was interrupted goes on when the command is repeated.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from fer_edge.command import CommandParser, run_command
from fer_edge.errors import CheckFailedError, UsageError
from fer_train.runs.run_folder import RunFolder

PROG: Final[str] = "fer_train.commands.train_with_teachers"
_ALL: Final[str] = "--batch-size 128 --erase 0.2 --checkpoint-seconds 30"
TEACHERS: Final[dict[str, str]] = {
    "vgg_a": "--network vgg --epochs 62 --seed 51 --dropout 0.4 --mixup 0.2",
    "vgg_b": "--network vgg --epochs 62 --seed 52 --dropout 0.4 --mixup 0.4 "
    "--rotation-degrees 16 --zoom 0.16 --shift 0.1",
    "resnet": "--network resnet --epochs 54 --seed 53 --dropout 0.3 --mixup 0.2",
}
"""Options of the networks that teach."""
STUDENT_OPTIONS: Final[str] = (
    "--epochs 75 --progressive-size 0 --teacher-weight 0.8 --learning-rate 0.0015 --mixup 0.2 --seed 61 "
    "--qat-epochs 3 --qat-distill 0.97"
)
_POLL_S: Final[float] = 0.5


def main(argv: Sequence[str] | None = None) -> int:
    """Train teachers and student; returns the exit code of the contract."""

    def body() -> int:
        options = _parser().parse_args(argv)
        if options.side_by_side < 1:
            raise UsageError(f"--side-by-side must be at least 1, got {options.side_by_side}")
        shared = ["--data", str(options.data)]
        if options.soft_labels:
            shared += ["--soft-labels", str(options.soft_labels), "--translate-votes"]
        commands = plan(options.runs, shared, [str(each) for each in options.also], options.backbone)
        student = commands.pop()
        run_all(commands, options.side_by_side)
        run_all([student], 1)
        sys.stdout.write(f"next: fer-export --int8 --run {options.runs / 'student'} --data {options.data}\n")
        return 0

    return run_command(PROG, body)


def _parser() -> CommandParser:
    parser = CommandParser(prog=f"python -m {PROG}", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", required=True, help="folder, zip or fer2013.csv")
    parser.add_argument("--runs", type=Path, required=True, help="folder for the runs: three teachers and 'student'")
    parser.add_argument("--soft-labels", type=Path, metavar="CSV", help="FER+ votes, for teachers and student")
    parser.add_argument("--also", nargs="*", default=[], metavar="RUN", help="more teachers, such as models")
    parser.add_argument("--backbone", help="'imagenet' (downloads) or a weights file, as for fer-train")
    parser.add_argument(
        "--side-by-side", type=int, default=3, metavar="N", help="teachers trained at once (default: %(default)s)"
    )
    return parser


def plan(runs: Path, shared: Sequence[str], also: Sequence[str], backbone: str | None) -> list[tuple[Path, list[str]]]:
    """Run folders and options of ``fer-train``, teachers first, the student last."""
    shared = [*shared, *_ALL.split()]
    commands = [(runs / name, [*shared, *options.split()]) for name, options in TEACHERS.items()]
    teachers = [str(folder) for folder, _ in commands] + list(also)
    start = ["--backbone", backbone] if backbone else []
    student = [*shared, *start, *STUDENT_OPTIONS.split(), "--teacher", *teachers]
    return [*commands, (runs / "student", student)]


def run_all(commands: Sequence[tuple[Path, list[str]]], at_once: int) -> None:
    """Run ``fer-train`` for every folder that is not finished, ``at_once`` of them at a time; each has a log beside it.

    Raises :class:`CheckFailedError` for the first one that fails, and ends the others then.
    """
    waiting = [command for command in commands if not RunFolder(command[0]).summary.exists()]
    running: dict[Path, subprocess.Popen[bytes]] = {}
    with _none_left(running) as told_to_end:
        while waiting or running:
            if told_to_end.is_set():
                raise KeyboardInterrupt
            while waiting and len(running) < at_once:
                folder, options = waiting.pop(0)
                running[folder] = _start(folder, options)
                sys.stderr.write(f"{folder}: begun, log in {log_of(folder)}\n")
            time.sleep(_POLL_S)
            for folder in [each for each, process in running.items() if process.poll() is not None]:
                code = running.pop(folder).returncode
                if code:
                    raise CheckFailedError(f"{folder} ended with {code}: {_last_line(log_of(folder))}")
                sys.stderr.write(f"{folder}: done. {_last_line(log_of(folder))}\n")


@contextmanager
def _none_left(running: Mapping[Path, subprocess.Popen[bytes]]) -> Iterator[threading.Event]:
    """Leave no process behind. The event is set by ``SIGTERM``, which must not come between a start and its record."""
    told_to_end = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda *_: told_to_end.set())
    try:
        yield told_to_end
    finally:
        signal.signal(signal.SIGTERM, before)
        for process in running.values():
            process.terminate()
        for process in running.values():
            process.wait()


def log_of(folder: Path) -> Path:
    """Where a run's output goes."""
    return folder.with_name(folder.name + ".log")


def _start(folder: Path, options: list[str]) -> subprocess.Popen[bytes]:
    folder.parent.mkdir(parents=True, exist_ok=True)
    # --resume begins anew where there is nothing to go on from.
    command = [sys.executable, "-m", "fer_train.commands.train", "--run", str(folder), "--resume", *options]
    with log_of(folder).open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=os.environ | {"COLUMNS": "160"})


def _last_line(path: Path) -> str:
    lines = [line for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else "no output"


if __name__ == "__main__":
    sys.exit(main())
