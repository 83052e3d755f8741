"""``fer-train``: from a data set to trained float and QAT weights, with curves and confusion matrices."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from fer_edge.command import CommandParser, run_command
from fer_edge.errors import DataError, MissingDependencyError, UsageError
from fer_edge.extras import missing_packages
from fer_edge.native import keep_memory, quiet_native_libraries
from fer_edge.option_types import whole
from fer_train.commands.recipe import QUICK, add_option, recipe_from, resumed_recipe
from fer_train.commands.subcommands import SUBCOMMANDS
from fer_train.runs.recipe import DEVICES, GROUPS, OPTIONS, SOFT, WHAT
from fer_train.runs.run_folder import RunFolder
from fer_train.training.devices import hosts_from, open_devices

__all__ = ["build_parser", "main"]


def build_parser() -> CommandParser:
    """All options; those that were not given are absent from the result, so that ``--resume`` can tell.

    Returns:
        The parser of ``fer-train``.
    """
    parser = CommandParser(
        prog="fer-train",
        description="Train MobileNetV2 on seven emotions: a float stage, then quantisation-aware training.",
        epilog=SUBCOMMANDS.summary(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
    )
    parser.add_version()
    parser.add_verbosity()
    groups = {title: parser.add_argument_group(title) for title in GROUPS}
    what = groups[WHAT]
    what.add_argument("--run", required=True, help="folder of this run, for example runs/first")
    what.add_argument("--resume", action="store_true", help="continue after the last checkpoint of --run")
    what.add_argument(
        "--quick",
        action="store_true",
        help="a first model in minutes on two cores; short for "
        + " ".join(f"--{name.replace('_', '-')} {value:g}" for name, value in QUICK.items())
        + ", but other options given take precedence",
    )
    what.add_argument("--cache-dir", help="where decoded images are kept (default: the user's cache folder)")
    for field in OPTIONS.values():
        add_option(groups[field.option.group], field)
    groups[SOFT].add_argument(
        "--write-logits", metavar="NPZ", help="at the end, write this model's logits of train, for --teacher"
    )
    where = groups[DEVICES]
    where.add_argument("--devices", metavar="all|N", help="split every batch over devices of this host")
    where.add_argument("--coordinator", metavar="HOST:PORT", help="address of host 0, the same on every host")
    where.add_argument("--num-hosts", type=whole(1), metavar="N", help="how many hosts run this command")
    where.add_argument("--host-id", type=whole(), metavar="I", help="which of them this is, from 0; 0 writes the files")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``fer-train`` for one training.

    Args:
        argv: arguments without the program's name; None takes those of the process.

    Returns:
        The exit code (see :func:`fer_edge.command.run_command`).
    """
    return run_command("fer-train", lambda: _train(argv))


def _train(argv: Sequence[str] | None) -> int:
    options = vars(build_parser().parse_args(argv))
    folder = RunFolder(Path(options["run"]))
    hosts = hosts_from(options)
    resume = bool(options.get("resume")) and folder.config.exists()
    recipe = resumed_recipe(options, folder) if resume else recipe_from(options)
    if not recipe.data:
        if options.get("resume"):
            raise UsageError(f"{folder.root} holds no run to go on with; give --data to begin one there")
        raise DataError("no data set; give --data with a folder, a zip or fer2013.csv")
    if not resume and hosts.is_first and folder.float_checkpoint.exists():
        raise UsageError(f"{folder.root} already holds a run; continue with --resume, or choose another --run")
    if (logits := options.get("write_logits")) and not Path(logits).absolute().parent.is_dir():
        raise UsageError(f"--write-logits {logits}: no folder {Path(logits).parent}; make it first")
    if "keras" in missing_packages("train"):  # before a run folder is made
        raise MissingDependencyError.for_extra("keras", "train")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    keep_memory()
    with quiet_native_libraries(), folder.locked() if hosts.is_first else contextlib.nullcontext():
        try:
            devices = open_devices(options.get("devices"), hosts)
            from fer_train.training.session import train
        except ImportError as error:
            raise MissingDependencyError.for_extra(error.name or str(error), "train") from error
        train(
            recipe,
            folder,
            resume=resume,
            cache_dir=options.get("cache_dir"),
            write_logits=options.get("write_logits"),
            devices=devices,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
