"""The most accurate recipe, in one command: ``fer-train teach --data fer2013.zip --runs runs/best``.

Three larger networks learn FER-2013 from scratch side by side, then teach MobileNetV2, which begins at ImageNet's
weights and sees the same changed faces as they do; its QAT stage follows. Every step is a plain ``fer-train`` in a
folder of its own below ``--runs``: what is finished stays, what was interrupted goes on when the command is repeated.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from fer_edge.command import CommandParser, run_command
from fer_edge.option_types import whole
from fer_train.commands.child_runs import run_all
from fer_train.logs import LOG

PROG: Final[str] = "fer-train teach"
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


def main(argv: Sequence[str] | None = None) -> int:
    """Train teachers and student; returns the exit code of the contract."""

    def body() -> int:
        options = _parser().parse_args(argv)
        shared = ["--data", str(options.data)]
        if options.soft_labels:
            shared += ["--soft-labels", str(options.soft_labels), "--translate-votes"]
        commands = plan(options.runs, shared, [str(path) for path in options.also], options.backbone)
        student = commands.pop()
        run_all(commands, options.side_by_side)
        run_all([student])
        LOG.info(f"next: fer-export --int8 --run {options.runs / 'student'} --data {options.data}")
        return 0

    return run_command(PROG, body)


def _parser() -> CommandParser:
    parser = CommandParser(prog=PROG, description=(__doc__ or "").partition("\n")[0])
    parser.add_verbosity()
    parser.add_argument("--data", required=True, help="folder, zip or fer2013.csv")
    parser.add_argument("--runs", type=Path, required=True, help="folder for the runs: three teachers and 'student'")
    parser.add_argument("--soft-labels", type=Path, metavar="CSV", help="FER+ votes, for teachers and student")
    parser.add_argument("--also", nargs="*", default=[], metavar="RUN", help="more teachers, such as models")
    parser.add_argument("--backbone", help="'imagenet' (downloads) or a weights file, as for fer-train")
    parser.add_argument(
        "--side-by-side", type=whole(1), default=3, metavar="N", help="teachers trained at once (default: %(default)s)"
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
