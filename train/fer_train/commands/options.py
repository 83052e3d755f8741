"""The options of ``fer-train``: names, help with units and defaults, and what their values may be."""

from __future__ import annotations

import argparse
import math
from typing import Any, Final

from fer_train.networks.build import INPUT_SIZES, NETWORKS, NUM_BLOCKS
from fer_train.runs.config import TrainConfig
from fer_train.training.optimizer import OPTIMIZERS, SCHEDULES

DEFAULTS: Final[TrainConfig] = TrainConfig()
FROM_BACKBONE: Final[dict[str, Any]] = {"progressive_size": 64, "late_blocks": 13}
"""Part of the recommended recipe where it begins at ImageNet's weights: both make it faster."""

QUICK: Final[dict[str, Any]] = {
    "input_size": 64,
    "epochs": 5,
    "batch_size": 32,
    "train_images": 5000,
    "progressive_size": 0,
    "late_blocks": NUM_BLOCKS,
    "erase": 0.0,
    "qat_epochs": 1,
    "qat_learning_rate": 1e-4,
    "calibration_images": 512,
}
"""What ``--quick`` stands for; every other option given beside it wins."""

_Group = argparse._ArgumentGroup


def add_all(parser: argparse.ArgumentParser) -> None:
    """Add every option to a parser whose ``argument_default`` is SUPPRESS."""
    _add_need(parser.add_argument_group("what and where"))
    _add_network(parser.add_argument_group("network"))
    stage = parser.add_argument_group("float stage")
    _add_stage(stage)
    _add_speed(stage)
    _add_devices(parser.add_argument_group("several devices and hosts (float stage; KERAS_BACKEND=jax)"))
    _add_soft_targets(parser.add_argument_group("soft targets"))
    _add_augmentation(parser.add_argument_group("augmentation (largest change, drawn anew for every image)"))
    _add_qat(parser.add_argument_group("QAT stage"))


def problems(config: TrainConfig) -> list[str]:
    """What is wrong with the numbers of a recipe, a line for each; values that are no finite numbers are wrong."""
    unit, positive, not_negative, count = "0 to 1", "positive", "0 or more", "at least 1"
    least_epochs = 0 if config.start_from else 1
    rules: tuple[tuple[str, bool, str], ...] = (
        ("seed", config.seed >= 0, not_negative),
        ("epochs", config.epochs >= least_epochs, "at least 1 (0 with --start-from: QAT only)"),
        ("head_epochs", config.head_epochs >= 0, not_negative),
        ("qat_epochs", config.qat_epochs >= 0, not_negative),
        ("train_images", config.train_images >= 0, not_negative),
        ("batch_size", config.batch_size >= 1, count),
        ("learning_rate", config.learning_rate > 0, positive),
        ("head_learning_rate", config.head_learning_rate > 0, positive),
        ("qat_learning_rate", config.qat_learning_rate > 0, positive),
        ("warmup_epochs", config.warmup_epochs >= 0, not_negative),
        ("weight_decay", config.weight_decay >= 0, not_negative),
        ("class_weighting", 0 <= config.class_weighting <= 1, unit),
        ("trainable_blocks", 0 <= config.trainable_blocks <= NUM_BLOCKS, f"0 to {NUM_BLOCKS}"),
        ("late_blocks", 0 <= config.late_blocks <= NUM_BLOCKS, f"0 to {NUM_BLOCKS}"),
        ("dropout", 0 <= config.dropout < 1, "0 to below 1"),
        ("bn_momentum", 0 <= config.bn_momentum < 1, "0 to below 1"),
        ("label_smoothing", 0 <= config.label_smoothing < 1, "0 to below 1"),
        ("checkpoint_seconds", config.checkpoint_seconds >= 0, not_negative),
        ("ema_decay", 0 <= config.ema_decay < 1, "0 to below 1"),
        ("progressive_size", config.progressive_size % 32 == 0 <= config.progressive_size, "a multiple of 32"),
        ("progressive_fraction", 0 <= config.progressive_fraction <= 1, unit),
        ("soft_label_weight", 0 <= config.soft_label_weight <= 1, unit),
        ("teacher_weight", 0 <= config.teacher_weight <= 1, unit),
        ("teacher_temperature", config.teacher_temperature > 0, positive),
        ("qat_distill", 0 <= config.qat_distill <= 1, unit),
        ("qat_min_agreement", 0 <= config.qat_min_agreement <= 1, unit),
        ("flip", 0 <= config.flip <= 1, unit),
        ("erase", 0 <= config.erase <= 1, unit),
        ("rotation_degrees", 0 <= config.rotation_degrees <= 180, "0 to 180"),
        ("zoom", 0 <= config.zoom <= 1, unit),
        ("shift", 0 <= config.shift <= 1, unit),
        ("brightness", 0 <= config.brightness <= 1, unit),
        ("contrast", 0 <= config.contrast <= 1, unit),
        ("mixup", 0 <= config.mixup <= 100, "0 to 100"),
        ("cutmix", 0 <= config.cutmix <= 100, "0 to 100"),
        ("calibration_images", config.calibration_images >= 1, count),
    )
    return [
        f"--{name.replace('_', '-')} must be {rule}, got {getattr(config, name)}"
        for name, valid, rule in rules
        if not valid or not math.isfinite(getattr(config, name))
    ]


def _add_need(group: _Group) -> None:
    quick = " ".join(f"--{name.replace('_', '-')} {value:g}" for name, value in QUICK.items())
    group.add_argument("--data", metavar="PATH", help="data set: folder, zip or fer2013.csv")
    group.add_argument("--run", metavar="DIR", required=True, help="folder of this run, such as runs/first (required)")
    group.add_argument("--resume", action="store_true", help="go on after the last complete epoch of --run")
    group.add_argument(
        "--quick",
        action="store_true",
        help=f"a first model that fer-export accepts, in minutes on two cores: {quick}; options given beside it win",
    )
    group.add_argument(
        "--cache-dir", metavar="DIR", help="where decoded images are kept (default: the user's cache folder)"
    )
    group.add_argument(
        "--seed",
        type=int,
        metavar="N",
        help=f"seed of image order, augmentation and initial weights (default {DEFAULTS.seed})",
    )
    group.add_argument(
        "--clean", action="store_true", help="leave duplicates, conflicting labels and leaks out of the train split"
    )
    group.add_argument(
        "--train-images",
        type=int,
        metavar="N",
        help="learn from N images only, every class by its share; 0 takes all (default 0)",
    )


def _add_network(group: _Group) -> None:
    group.add_argument(
        "--network",
        choices=NETWORKS,
        help="architecture; vgg and resnet are for teachers: larger, trained from scratch, float only "
        f"(default {DEFAULTS.network})",
    )
    group.add_argument(
        "--input-size",
        type=int,
        choices=INPUT_SIZES,
        help=f"side of the square input in pixels (default {DEFAULTS.input_size})",
    )
    group.add_argument(
        "--backbone",
        metavar="WEIGHTS",
        help="initial weights of MobileNetV2: imagenet (9 MB, downloaded once), none (random), or a .h5 file "
        "(default imagenet)",
    )
    group.add_argument(
        "--start-from",
        metavar="RUN",
        help="begin with the float weights of another run (or packed model folder) instead of --backbone",
    )
    group.add_argument(
        "--trainable-blocks",
        type=int,
        metavar="N",
        help=f"fine-tune the last N of {NUM_BLOCKS} blocks; 0 trains the dense layer only (default {NUM_BLOCKS})",
    )
    _add_number(group, "dropout", "SHARE", "dropout before the dense layer, 0 to below 1")
    _add_number(group, "bn-momentum", "SHARE", "momentum of the BatchNorm statistics, 0 to below 1")


def _add_stage(group: _Group) -> None:
    _add_count(group, "epochs", "epochs of the float stage, those of --head-epochs included")
    group.add_argument(
        "--head-epochs",
        type=int,
        metavar="N",
        help="of these, first epochs that train the dense layer alone, on the frozen backbone "
        f"(default {DEFAULTS.head_epochs}; 0 with --epochs 1 or --start-from)",
    )
    _add_count(group, "batch-size", "images per step")
    group.add_argument(
        "--optimizer",
        choices=OPTIMIZERS,
        help=f"sgd needs a --learning-rate of about 0.02 (default {DEFAULTS.optimizer})",
    )
    group.add_argument(
        "--schedule", choices=SCHEDULES, help=f"learning rate after the warm-up (default {DEFAULTS.schedule})"
    )
    _add_number(group, "learning-rate", "RATE", "peak learning rate of fine-tuning")
    _add_number(group, "head-learning-rate", "RATE", "peak learning rate of the head epochs")
    _add_number(group, "warmup-epochs", "N", "epochs in which the learning rate rises; fractions are allowed")
    _add_number(group, "weight-decay", "RATE", "decoupled weight decay of kernels, per step and learning rate")
    _add_number(group, "label-smoothing", "SHARE", "share of each target spread over all classes, 0 to below 1")
    _add_number(group, "class-weighting", "SHARE", "0 weights images alike, 1 weights classes alike")
    group.add_argument(
        "--ema-decay",
        type=float,
        metavar="SHARE",
        help="decay of the weights' average over the steps, 0 to below 1; 0 is off. It grows from the first step to "
        f"this value, at most to a memory of two epochs; the better of average and plain weights is kept "
        f"(default {DEFAULTS.ema_decay})",
    )


def _add_speed(group: _Group) -> None:
    group.add_argument(
        "--precision",
        choices=("auto", "float32", "mixed_bfloat16", "mixed_float16"),
        help="arithmetic; auto is mixed_bfloat16 on a GPU, float32 elsewhere (default auto)",
    )
    group.add_argument(
        "--progressive-size",
        type=int,
        metavar="PIXELS",
        help="smaller input in the first epochs, a multiple of 32; 0 is off "
        f"(default {FROM_BACKBONE['progressive_size']} from ImageNet weights, else 0)",
    )
    _add_number(group, "progressive-fraction", "SHARE", "share of the epochs that --progressive-size is for, 0 to 1")
    group.add_argument(
        "--late-blocks",
        type=int,
        metavar="N",
        help="after that share of the epochs fine-tune only the last N blocks, which is faster "
        f"(default {FROM_BACKBONE['late_blocks']} from ImageNet weights, else {NUM_BLOCKS})",
    )
    _add_number(group, "checkpoint-seconds", "SECONDS", "shortest time between two checkpoints; 0 writes one per epoch")


def _add_devices(group: _Group) -> None:
    group.add_argument("--devices", metavar="all|N", help="split every batch over devices of this host")
    group.add_argument("--coordinator", metavar="HOST:PORT", help="address of host 0, the same on every host")
    group.add_argument("--num-hosts", type=int, metavar="N", help="how many hosts run this command")
    group.add_argument("--host-id", type=int, metavar="N", help="which of them this is, from 0; 0 writes the files")


def _add_soft_targets(group: _Group) -> None:
    group.add_argument("--soft-labels", metavar="CSV", help="FER+ votes, blended with the labels")
    group.add_argument(
        "--soft-label-weight",
        type=float,
        metavar="SHARE",
        help="share of the votes in the target, 0 to 1 (default 0.4 with --soft-labels)",
    )
    group.add_argument(
        "--translate-votes",
        action="store_true",
        help="first turn votes into the labels that images with such votes have, which keeps the task FER-2013's own",
    )
    group.add_argument(
        "--teacher",
        metavar="FILE_OR_RUN",
        nargs="+",
        help="one or several: stored logits (see --write-logits), an exported model (.tflite, .onnx), or runs whose "
        "networks answer live, for the augmented faces that the student sees",
    )
    _add_number(group, "teacher-weight", "SHARE", "share of the teachers in the target, 0 to 1")
    _add_number(group, "teacher-temperature", "T", "the teachers' logits are divided by this")
    group.add_argument(
        "--write-logits",
        metavar="NPZ",
        help="at the end, write this model's logits of the train split, for --teacher of another run",
    )


def _add_augmentation(group: _Group) -> None:
    for name, metavar, text in (
        ("flip", "SHARE", "probability of mirroring, 0 to 1"),
        ("rotation-degrees", "DEGREES", "rotation to either side"),
        ("zoom", "LOG", "natural logarithm of the scale, 0 to 1"),
        ("shift", "SHARE", "shift to either side, as a share of the side"),
        ("brightness", "SHARE", "change of brightness, as a share of the range"),
        ("contrast", "LOG", "natural logarithm of the gain, 0 to 1"),
        ("erase", "SHARE", "probability of random erasing, 0 to 1"),
        ("mixup", "ALPHA", "blend pairs of images, for example 0.2; 0 is off"),
        ("cutmix", "ALPHA", "paste parts of other images, for example 1.0; 0 is off"),
    ):
        _add_number(group, name, metavar, text)


def _add_qat(group: _Group) -> None:
    _add_count(group, "qat-epochs", "epochs of the QAT stage; 0 leaves it out, and fer-export then calibrates")
    group.add_argument(
        "--qat-start-from",
        metavar="RUN",
        help="begin with the QAT weights of another run (or packed model folder) instead of calibration",
    )
    _add_number(group, "qat-learning-rate", "RATE", "learning rate of the QAT stage at its start")
    _add_number(group, "qat-distill", "SHARE", "share of the float model's answers in the QAT target, 0 to 1")
    _add_number(
        group,
        "qat-min-agreement",
        "SHARE",
        "share of validation images on which the chosen QAT epoch should answer like the float model",
    )
    _add_count(group, "calibration-images", "training images on which activation ranges are measured")
    group.add_argument(
        "--no-temperature-scaling",
        dest="temperature_scaling",
        action="store_false",
        help="keep the probabilities as training left them, without calibrating them on the validation split",
    )


def _add_number(group: _Group, name: str, metavar: str, text: str) -> None:
    group.add_argument(f"--{name}", type=float, metavar=metavar, help=f"{text} (default {_default(name):g})")


def _add_count(group: _Group, name: str, text: str) -> None:
    group.add_argument(f"--{name}", type=int, metavar="N", help=f"{text} (default {_default(name)})")


def _default(name: str) -> Any:
    return getattr(DEFAULTS, name.replace("-", "_"))
