"""The most accurate recipe, in one command: ``fer-train teach --data fer2013.zip --runs runs/best``.

Five larger networks of different kinds learn FER-2013 from scratch side by side, on clean, mixed and disturbed faces.
All of them then teach MobileNetV2 live, about the very faces that it sees. Every step is a plain ``fer-train`` in a
folder of its own below ``--runs``: what is finished stays, what was interrupted goes on when the command is repeated.

With ``--minutes`` it ends in time: teachers that are not finished when their share is over teach with the best weights
that they have, and the student stops at the end. Weights of every run are in half precision in ``best.npz`` and
``latest.npz`` of its folder, at most a minute old, so that it may also be cut off at any moment.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from fer_edge.command import CommandParser, run_command
from fer_edge.errors import CheckFailedError
from fer_edge.option_types import number, whole
from fer_train.commands.child_runs import run_all
from fer_train.logs import LOG
from fer_train.runs.run_folder import RunFolder

PROG: Final[str] = "fer-train teach"
_ALL: Final[str] = (
    "--batch-size 128 --clip-gradients 1 --disturb 0.5 --half-weights --checkpoint-steps 50 --checkpoint-seconds 50"
)
_WIDE: Final[str] = (
    "--network mobilenetv2 --width 1.4 --backbone none --head-epochs 0 --qat-epochs 0 --progressive-size 0"
)
TEACHERS: Final[dict[str, str]] = {
    "vgg": "--network vgg --seed 51 --dropout 0.4 --mixup 0.2 --erase 0.2",
    "vgg_128": "--network vgg --input-size 128 --seed 52 --dropout 0.4 --mixup 0.4 --erase 0.2 "
    "--rotation-degrees 16 --zoom 0.16 --shift 0.1",
    "resnet": "--network resnet --seed 53 --dropout 0.3 --mixup 0.2 --erase 0.2",
    "wide_128": f"{_WIDE} --input-size 128 --seed 54 --dropout 0.3 --mixup 0.2 --erase 0.2 --late-blocks 17",
    "convnext": "--network convnext --seed 55 --dropout 0.3 --mixup 0.3 --erase 0.2",
}
"""Options of the networks that teach."""
TEACHER_EPOCHS: Final[int] = 150
STUDENT_EPOCHS: Final[int] = 300
TEACHERS_SHARE: Final[float] = 0.45
"""Of ``--minutes``."""
STUDENT_OPTIONS: Final[str] = (
    "--progressive-size 0 --late-blocks 17 --teacher-weight 0.8 --learning-rate 0.001 --mixup 0.2 --erase 0.2 "
    "--seed 61 --qat-epochs 0"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Train teachers and student; returns the exit code of the contract."""

    def body() -> int:
        options = _parser().parse_args(argv)
        shared = ["--data", str(options.data)]
        if options.soft_labels:
            shared += ["--soft-labels", str(options.soft_labels), "--translate-votes"]
        start, seconds = time.monotonic(), 60.0 * options.minutes if options.minutes else None
        teachers = teacher_runs(options.runs, shared, options.teacher_epochs)
        run_all(teachers, options.side_by_side, None if seconds is None else start + TEACHERS_SHARE * seconds)
        able = [folder for folder, _ in teachers if has_weights(folder)] + [Path(name) for name in options.also]
        if not able:
            raise CheckFailedError("no teacher has finished an epoch; give more --minutes, or repeat the command")
        student = student_run(options.runs, shared, able, options.student_epochs, options.backbone)
        run_all([student], 1, None if seconds is None else start + seconds)
        folder = options.runs / "student"
        done = RunFolder(folder).summary.exists()
        LOG.info(f"{folder}: {'finished' if done else 'stopped in time; repeat the command to go on'}")
        LOG.info(
            f"next, on a CPU: fer-train --data {options.data} --run {options.runs / 'qat'} --start-from {folder} "
            "--epochs 0 --qat-epochs 3 --qat-distill 0.97 --batch-size 32 --disturb 0.8"
        )
        return 0

    return run_command(PROG, body)


def _parser() -> CommandParser:
    parser = CommandParser(prog=PROG, description=(__doc__ or "").partition("\n")[0])
    parser.add_verbosity()
    parser.add_argument("--data", required=True, help="folder, zip or fer2013.csv")
    parser.add_argument("--runs", type=Path, required=True, help="folder for the runs: five teachers and 'student'")
    parser.add_argument("--soft-labels", type=Path, metavar="CSV", help="FER+ votes, for teachers and student")
    parser.add_argument("--also", nargs="*", default=[], metavar="RUN", help="more teachers, such as models")
    parser.add_argument("--backbone", help="'imagenet' (downloads) or a weights file, as for fer-train")
    parser.add_argument(
        "--side-by-side",
        type=whole(1),
        default=len(TEACHERS),
        metavar="N",
        help="teachers trained at once (default: %(default)s)",
    )
    parser.add_argument(
        "--minutes",
        type=number(0.1),
        metavar="M",
        help=f"end after that time, {100 * TEACHERS_SHARE:.0f} of 100 parts of it for teachers (default: when all "
        "epochs are done)",
    )
    for whose, epochs in (("teacher", TEACHER_EPOCHS), ("student", STUDENT_EPOCHS)):
        parser.add_argument(
            f"--{whose}-epochs", type=whole(1), default=epochs, metavar="N", help="at most (default: %(default)s)"
        )
    return parser


def teacher_runs(runs: Path, shared: Sequence[str], epochs: int) -> list[tuple[Path, list[str]]]:
    """Run folders of the teachers, and their options of ``fer-train``."""
    common = [*shared, *_ALL.split(), "--epochs", str(epochs)]
    return [(runs / name, [*common, *options.split()]) for name, options in TEACHERS.items()]


def student_run(
    runs: Path, shared: Sequence[str], teachers: Sequence[Path], epochs: int, backbone: str | None
) -> tuple[Path, list[str]]:
    """Run folder of the student, and its options of ``fer-train``.

    One that goes on keeps the teachers that it began with.
    """
    folder = runs / "student"
    start = ["--backbone", backbone] if backbone else []
    options = [*shared, *_ALL.split(), "--epochs", str(epochs), *start, *STUDENT_OPTIONS.split()]
    if RunFolder(folder).float_checkpoint.exists():
        return folder, ["--data", shared[1]]
    return folder, [*options, "--teacher", *map(str, teachers)]


def has_weights(folder: Path) -> bool:
    """Whether a run has finished an epoch, so that it can teach."""
    return RunFolder(folder).float_weights.exists() or RunFolder(folder).best_half.exists()
