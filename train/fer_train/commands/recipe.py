"""The recipe that a command line of `fer-train` asks for."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Final

from fer_edge.errors import UsageError
from fer_train.networks.build import NUM_BLOCKS, STUDENT
from fer_train.runs.config import TrainConfig, load_config
from fer_train.runs.run_folder import RunFolder

DEFAULTS = TrainConfig()
FROM_BACKBONE: Final[dict[str, Any]] = {"progressive_size": 64, "late_blocks": 13}
"""Part of the recommended recipe where it begins at ImageNet's weights: both make it faster."""


def recipe_from(options: dict[str, Any]) -> TrainConfig:
    """The recipe that the given options make, checked. Raises :class:`UsageError` for values that make no sense."""
    known = {field.name for field in dataclasses.fields(TrainConfig)}
    values = {key: value for key, value in options.items() if key in known}
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
    problems = [
        f"--{name.replace('_', '-')} must be {rule}, got {getattr(config, name)}"
        for name, valid, rule in (
            ("epochs", config.epochs >= (0 if config.start_from else 1), "at least 1 (0 with --start-from: QAT only)"),
            ("head_epochs", config.head_epochs >= 0, "at least 0"),
            ("qat_epochs", config.qat_epochs >= 0, "at least 0"),
            ("train_images", config.train_images >= 0, "at least 0"),
            ("batch_size", config.batch_size >= 1, "at least 1"),
            ("learning_rate", config.learning_rate > 0, "positive"),
            ("trainable_blocks", 0 <= config.trainable_blocks <= NUM_BLOCKS, f"0 to {NUM_BLOCKS}"),
            ("late_blocks", 0 <= config.late_blocks <= NUM_BLOCKS, f"0 to {NUM_BLOCKS}"),
            ("dropout", 0 <= config.dropout < 1, "0 to below 1"),
            ("label_smoothing", 0 <= config.label_smoothing < 1, "0 to below 1"),
            ("checkpoint_seconds", config.checkpoint_seconds >= 0, "at least 0"),
            ("ema_decay", 0 <= config.ema_decay < 1, "0 to below 1"),
            (
                "progressive_size",
                config.progressive_size % 32 == 0 and config.progressive_size >= 0,
                "a multiple of 32",
            ),
            ("progressive_fraction", 0 <= config.progressive_fraction <= 1, "0 to 1"),
            ("soft_label_weight", 0 <= config.soft_label_weight <= 1, "0 to 1"),
            ("teacher_weight", 0 <= config.teacher_weight <= 1, "0 to 1"),
            ("teacher_temperature", config.teacher_temperature > 0, "positive"),
            ("qat_distill", 0 <= config.qat_distill <= 1, "0 to 1"),
            ("qat_min_agreement", 0 <= config.qat_min_agreement <= 1, "0 to 1"),
            ("mixup", 0 <= config.mixup <= 100, "0 to 100"),
            ("cutmix", 0 <= config.cutmix <= 100, "0 to 100"),
            ("calibration_images", config.calibration_images >= 1, "at least 1"),
        )
        if not valid
    ]
    if problems:
        raise UsageError("; ".join(problems))
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
