"""``fer-train``: from a data set to trained float and QAT weights, with curves and confusion matrices."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from fer_edge.command import CommandParser, run_command
from fer_edge.errors import DataError, MissingDependencyError, UsageError
from fer_edge.native import quiet_native_libraries
from fer_train.config import TrainConfig, load_config
from fer_train.devices import hosts_from, open_devices
from fer_train.model import INPUT_SIZES, NETWORKS, NUM_BLOCKS, STUDENT
from fer_train.optimizer import OPTIMIZERS, SCHEDULES
from fer_train.run_folder import RunFolder

DEFAULTS = TrainConfig()
FROM_BACKBONE: Final[dict[str, Any]] = {"progressive_size": 64, "late_blocks": 13}
"""Part of the recommended recipe where it begins at ImageNet's weights: both make it faster."""

QUICK: Final[dict[str, Any]] = {
    "input_size": 64,
    "epochs": 4,
    "batch_size": 32,
    "train_images": 6000,
    "progressive_size": 0,
    "late_blocks": NUM_BLOCKS,
    "erase": 0.0,
    "qat_epochs": 1,
    "calibration_images": 512,
}
"""What ``--quick`` stands for; every other option given beside it wins."""


def build_parser() -> CommandParser:
    """All options; those that were not given are absent from the result, so that ``--resume`` can tell."""
    parser = CommandParser(
        prog="fer-train",
        description="Train MobileNetV2 on seven emotions: a float stage, then quantisation-aware training.",
        argument_default=argparse.SUPPRESS,
    )
    need = parser.add_argument_group("what and where")
    need.add_argument("--data", help="folder, zip or fer2013.csv")
    need.add_argument("--run", required=True, help="folder of this run, for example runs/first")
    need.add_argument("--resume", action="store_true", help="go on after the last complete epoch of --run")
    need.add_argument("--cache-dir", help="where decoded images are kept (default: the user's cache folder)")
    need.add_argument("--seed", type=int, help=f"of order, augmentation and initialisation (default {DEFAULTS.seed})")
    need.add_argument("--clean", action="store_true", help="leave duplicates, conflicts and leaks out of train")

    need.add_argument(
        "--quick",
        action="store_true",
        help="recipe for a first model that fer-export accepts, in minutes on two cores: "
        + " ".join(f"--{name.replace('_', '-')} {value:g}" for name, value in QUICK.items())
        + "; options given beside it win",
    )
    need.add_argument(
        "--train-images",
        type=int,
        metavar="N",
        help="learn from N images only, every class by its share: for quick tries",
    )

    _add_network(parser)

    stage = parser.add_argument_group("float stage")
    stage.add_argument("--epochs", type=int, help=f"head-only and fine-tuning together (default {DEFAULTS.epochs})")
    stage.add_argument(
        "--head-epochs",
        type=int,
        help=f"with frozen backbone (default {DEFAULTS.head_epochs}; 0 if --epochs is 1 or with --start-from)",
    )
    stage.add_argument("--batch-size", type=int, help=f"(default {DEFAULTS.batch_size})")
    stage.add_argument(
        "--optimizer",
        choices=OPTIMIZERS,
        help=f"sgd wants a --learning-rate of 0.02 or so (default {DEFAULTS.optimizer})",
    )
    stage.add_argument("--schedule", choices=SCHEDULES, help=f"behind the warm-up (default {DEFAULTS.schedule})")
    stage.add_argument("--learning-rate", type=float, help=f"its peak (default {DEFAULTS.learning_rate})")
    stage.add_argument("--head-learning-rate", type=float, help=f"(default {DEFAULTS.head_learning_rate})")
    stage.add_argument("--warmup-epochs", type=float, help=f"(default {DEFAULTS.warmup_epochs})")
    stage.add_argument("--weight-decay", type=float, help=f"of kernels (default {DEFAULTS.weight_decay})")
    stage.add_argument("--label-smoothing", type=float, help=f"(default {DEFAULTS.label_smoothing})")
    stage.add_argument("--class-weighting", type=float, help="0 none to 1 balanced (default 0)")
    stage.add_argument(
        "--ema-decay",
        type=float,
        help="average weights over steps; 0 is off "
        f"(default {DEFAULTS.ema_decay}, lowered where two epochs have fewer steps)",
    )
    stage.add_argument(
        "--precision", choices=("auto", "float32", "mixed_bfloat16", "mixed_float16"), help="(default auto)"
    )
    stage.add_argument(
        "--progressive-size",
        type=int,
        help="smaller input in the first epochs; 0 is off "
        f"(default {FROM_BACKBONE['progressive_size']} from ImageNet weights)",
    )
    stage.add_argument(
        "--progressive-fraction", type=float, help=f"of the epochs (default {DEFAULTS.progressive_fraction})"
    )
    stage.add_argument(
        "--late-blocks",
        type=int,
        metavar="N",
        help="behind that fraction fine-tune only the last N blocks, which is faster "
        f"(default {FROM_BACKBONE['late_blocks']} from ImageNet weights, else all)",
    )

    stage.add_argument(
        "--checkpoint-seconds",
        type=float,
        help="least time between two checkpoints; 0 writes one an epoch (default 0)",
    )

    _add_devices(parser)

    more = parser.add_argument_group("soft targets")
    more.add_argument("--soft-labels", metavar="CSV", help="FER+ votes, blended with the labels")
    more.add_argument("--soft-label-weight", type=float, help="share of the votes in the target (default 0.4 if given)")
    more.add_argument(
        "--translate-votes",
        action="store_true",
        help="first turn votes into the labels that images with such votes have, which keeps the task FER-2013's own",
    )
    more.add_argument(
        "--teacher",
        metavar="TEACHER",
        nargs="+",
        help="one or several: stored logits (see --write-logits), an exported model (.tflite, .onnx), or runs whose "
        "networks answer live, for the changed faces that the student sees",
    )
    more.add_argument("--teacher-weight", type=float, help=f"(default {DEFAULTS.teacher_weight})")
    more.add_argument("--teacher-temperature", type=float, help=f"(default {DEFAULTS.teacher_temperature})")
    more.add_argument(
        "--write-logits", metavar="NPZ", help="at the end, write this model's logits of train, for --teacher"
    )

    _add_augmentation(parser)

    qat = parser.add_argument_group("QAT stage")
    qat.add_argument("--qat-epochs", type=int, help=f"0 leaves the stage out (default {DEFAULTS.qat_epochs})")
    qat.add_argument(
        "--qat-start-from",
        metavar="RUN",
        help="begin with the QAT weights of another run (or packed model folder), instead of calibration",
    )
    qat.add_argument("--qat-learning-rate", type=float, help=f"(default {DEFAULTS.qat_learning_rate})")
    qat.add_argument("--qat-distill", type=float, help=f"share of the float model (default {DEFAULTS.qat_distill})")
    qat.add_argument(
        "--qat-min-agreement",
        type=float,
        metavar="SHARE",
        help="of validation images with the float model's answer, that the best epoch should reach "
        f"(default {DEFAULTS.qat_min_agreement})",
    )
    qat.add_argument("--calibration-images", type=int, help=f"(default {DEFAULTS.calibration_images})")
    qat.add_argument(
        "--no-temperature-scaling",
        dest="temperature_scaling",
        action="store_false",
        help="leave the probabilities' calibration as training made it",
    )
    return parser


def _add_network(parser: CommandParser) -> None:
    net = parser.add_argument_group("network")
    net.add_argument(
        "--network",
        choices=NETWORKS,
        help=f"vgg and resnet are for teachers: larger, from scratch, float only (default {DEFAULTS.network})",
    )
    net.add_argument("--input-size", type=int, choices=INPUT_SIZES, help=f"pixels (default {DEFAULTS.input_size})")
    net.add_argument("--backbone", help="'imagenet' (downloads), 'none', or a weights file (default imagenet)")
    net.add_argument(
        "--start-from",
        metavar="RUN",
        help="begin with the float weights of another run (or packed model folder) instead of --backbone",
    )
    net.add_argument(
        "--trainable-blocks",
        type=int,
        help=f"how many of the last of {NUM_BLOCKS} blocks are fine-tuned; 0: the head only (default all)",
    )
    net.add_argument("--dropout", type=float, help=f"before the dense layer (default {DEFAULTS.dropout})")
    net.add_argument("--bn-momentum", type=float, help=f"of BatchNorm statistics (default {DEFAULTS.bn_momentum})")


def _add_augmentation(parser: CommandParser) -> None:
    change = parser.add_argument_group("augmentation (largest change, drawn anew for every image)")
    for name, text in (
        ("flip", "probability of mirroring"),
        ("rotation-degrees", "rotation"),
        ("zoom", "natural logarithm of the scale"),
        ("shift", "fraction of the side"),
        ("brightness", "fraction of the range"),
        ("contrast", "natural logarithm of the gain"),
        ("erase", "probability of random erasing"),
    ):
        change.add_argument(
            f"--{name}", type=float, help=f"{text} (default {getattr(DEFAULTS, name.replace('-', '_'))})"
        )
    change.add_argument("--mixup", type=float, metavar="ALPHA", help="blend pairs of images, for example 0.2 (off)")
    change.add_argument("--cutmix", type=float, metavar="ALPHA", help="paste parts of other images, such as 1.0 (off)")


def _add_devices(parser: CommandParser) -> None:
    where = parser.add_argument_group("several devices and hosts (float stage; KERAS_BACKEND=jax)")
    where.add_argument("--devices", metavar="all|N", help="split every batch over devices of this host")
    where.add_argument("--coordinator", metavar="HOST:PORT", help="address of host 0, the same on every host")
    where.add_argument("--num-hosts", type=int, metavar="N", help="how many hosts run this command")
    where.add_argument("--host-id", type=int, metavar="I", help="which of them this is, from 0; 0 writes the files")


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
