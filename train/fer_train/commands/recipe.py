"""The recipe that a command line of `fer-train` asks for."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from fer_edge.errors import UsageError
from fer_train.commands.options import DEFAULTS, FROM_BACKBONE, QUICK, problems
from fer_train.networks.build import STUDENT
from fer_train.runs.config import TrainConfig, load_config
from fer_train.runs.run_folder import RunFolder


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
