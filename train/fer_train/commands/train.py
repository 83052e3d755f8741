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
from fer_edge.native import quiet_native_libraries
from fer_train.commands.options import add_all
from fer_train.commands.recipe import _resumed_recipe, recipe_from
from fer_train.runs.run_folder import RunFolder
from fer_train.training.devices import hosts_from, open_devices


def build_parser() -> CommandParser:
    """All options; those that were not given are absent from the result, so that ``--resume`` can tell."""
    parser = CommandParser(
        prog="fer-train",
        description="Train MobileNetV2 on seven emotions: a float stage, then quantisation-aware training.",
        argument_default=argparse.SUPPRESS,
    )
    add_all(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of ``fer-train``; returns the exit code of the contract."""

    def body() -> int:
        options = vars(build_parser().parse_args(argv))
        folder = RunFolder(Path(options["run"]))
        hosts = hosts_from(options)
        resume = bool(options.get("resume")) and folder.config.exists()
        config = _resumed_recipe(options, folder) if resume else recipe_from(options)
        if not config.data:
            raise DataError("no data set; give --data with a folder, a zip or fer2013.csv")
        if not resume and hosts.is_first and folder.float_checkpoint.exists():
            raise UsageError(f"{folder.root} already holds a run; go on with --resume, or choose another --run")
        if (logits := options.get("write_logits")) and not Path(logits).absolute().parent.is_dir():
            raise UsageError(f"--write-logits {logits}: no folder {Path(logits).parent}; make it first")
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        with quiet_native_libraries(), folder.locked() if hosts.is_first else contextlib.nullcontext():
            try:
                devices = open_devices(options.get("devices"), hosts)
                from fer_train.training.session import train
            except ImportError as error:
                raise MissingDependencyError.for_extra(error.name or str(error), "train") from error
            return train(
                config,
                folder,
                resume=resume,
                cache_dir=options.get("cache_dir"),
                write_logits=options.get("write_logits"),
                devices=devices,
            )

    return run_command("fer-train", body)


if __name__ == "__main__":
    sys.exit(main())
