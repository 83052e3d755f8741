"""``fer-train``: from a data set to trained float and QAT weights, with curves and confusion matrices."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fer_edge.command import CommandParser, run_command
from fer_edge.errors import DataError, MissingDependencyError, UsageError
from fer_edge.native import quiet_native_libraries
from fer_train.config import TrainConfig, load_config
from fer_train.devices import hosts_from, open_devices
from fer_train.model import STUDENT
from fer_train.options import DEFAULTS, FROM_BACKBONE, QUICK, add_all, problems
from fer_train.run_folder import RunFolder


def build_parser() -> CommandParser:
    """All options; those that were not given are absent from the result, so that ``--resume`` can tell."""
    parser = CommandParser(
        prog="fer-train",
        description="Train MobileNetV2 on seven emotions: a float stage, then quantisation-aware training.",
        argument_default=argparse.SUPPRESS,
    )
    add_all(parser)
    return parser


def recipe_from(options: dict[str, Any]) -> TrainConfig:
    """The recipe that the given options make, checked. Raises :class:`UsageError` for values that make no sense."""
    known = {field.name for field in dataclasses.fields(TrainConfig)}
    values = {key: value for key, value in options.items() if key in known}
    if options.get("quick"):
        if values.get("network", STUDENT) != STUDENT:
            raise UsageError("--quick is a recipe for MobileNetV2; leave out --network, or --quick")
        values = QUICK | values
    if values.get("backbone") == "none":
        values["backbone"] = None
    if "teacher" in values:
        values["teacher"] = tuple(values["teacher"])
    if values.get("network", STUDENT) != STUDENT:
        if values.get("backbone") or values.get("qat_epochs"):
            raise UsageError(
                f"--network {values['network']} is trained from scratch and in float only: no --backbone, "
                "no --qat-epochs; it can teach with --teacher"
            )
        values |= {"backbone": None, "qat_epochs": 0}
        values.setdefault("head_epochs", 0)
    if values.get("epochs") == 1 or values.get("start_from"):
        values.setdefault("head_epochs", 0)  # the head alone would be a poor use of the only epoch
    live = any(Path(name).is_dir() for name in values.get("teacher", ()))
    if not live and not values.get("start_from") and values.get("backbone", DEFAULTS.backbone):
        values = FROM_BACKBONE | values
    if "soft_labels" in values:
        values.setdefault("soft_label_weight", 0.4)
    elif values.get("translate_votes"):
        raise UsageError("--translate-votes needs the votes; give --soft-labels")
    config = TrainConfig(**values)
    if config.live_teachers and (config.stored_teachers or config.progressive_size):
        raise UsageError("live teachers (folders) go neither with files nor with --progressive-size; give one of them")
    if found := problems(config):
        raise UsageError("; ".join(found))
    return config


def _resumed_recipe(options: dict[str, Any], folder: RunFolder) -> TrainConfig:
    saved = load_config(folder.config)
    given = recipe_from({"data": saved.data} | options)
    names = {field.name for field in dataclasses.fields(TrainConfig)} & options.keys() - {"data"}
    changed = [name for name in sorted(names) if getattr(given, name) != getattr(saved, name)]
    if changed:
        raise UsageError(
            f"--resume goes on with the recipe in {folder.config}; changed: {', '.join(changed)}. "
            "Leave these options out, or start another --run"
        )
    return dataclasses.replace(saved, data=given.data)


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
                from fer_train.session import train
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
