"""Everything that defines a training run, as one record that is written to ``config.json``."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fer_edge.errors import ModelError
from fer_edge.files import write_text
from fer_edge.labels import EMOTIONS
from fer_train.disturbances import FOR_TRAINING
from fer_train.networks.build import DEFAULT_BN_MOMENTUM, INPUT_SIZES, LAST_CHANNELS, NETWORKS, NUM_BLOCKS, STUDENT
from fer_train.runs.option import ABOVE_0, AT_LEAST_0, AT_LEAST_1, BELOW_1, SHARE, Range, option, options_of

__all__ = [
    "AUGMENTATION",
    "DEVICES",
    "DISTURBANCES",
    "FLOAT",
    "FORMAT_VERSION",
    "FROM_BACKBONE",
    "GROUPS",
    "NETWORK",
    "OPTIONS",
    "QAT",
    "SOFT",
    "WEIGHT_OF_VOTES",
    "WHAT",
    "Recipe",
    "load_recipe",
]

FORMAT_VERSION = 1
WHAT: Final[str] = "what and where"
NETWORK: Final[str] = "network"
FLOAT: Final[str] = "float stage"
DEVICES: Final[str] = "several devices and hosts (float stage; KERAS_BACKEND=jax)"
SOFT: Final[str] = "soft targets"
AUGMENTATION: Final[str] = "augmentation (largest change, drawn again for every image)"
DISTURBANCES: Final[str] = "disturbed faces (both stages; fer-bench robustness --list tells of the kinds)"
QAT: Final[str] = "QAT stage"
GROUPS: Final[tuple[str, ...]] = (WHAT, NETWORK, FLOAT, DEVICES, SOFT, AUGMENTATION, DISTURBANCES, QAT)
"""Groups of options, in the order in which ``fer-train --help`` shows them."""
FROM_BACKBONE: Final[dict[str, Any]] = {"progressive_size": 64, "late_blocks": 13}
"""Part of the recommended recipe where it begins at ImageNet's weights: both make it faster."""
WEIGHT_OF_VOTES: Final[float] = 0.4
"""``soft_label_weight`` where votes are given."""
_BLOCKS: Final = Range(low=0, high=NUM_BLOCKS)
_LOGARITHM: Final = Range(low=0, high=3)
"""Of a factor of at most 20: more leaves nothing of a face."""
_STRENGTH: Final = Range(low=1, high=3)
_ALPHA: Final = Range(low=0, high=100)
"""Of a Beta distribution; 0 is off."""


@dataclass(frozen=True)
class Recipe:
    """The recipe; the defaults are the recommended one.

    Every option of ``fer-train`` that belongs to the recipe is a field here, with its words, range and default; a new
    one needs nothing but its line. ``docs/reference/training-options.md`` is made from them.
    """

    data: str = option("", "folder, zip or fer2013.csv", group=WHAT)
    data_fingerprint: str = ""
    """SHA-256 of the data set that the run was started with; set by the run itself."""
    soft_labels: str | None = option(None, "FER+ votes, blended with the labels", group=SOFT, metavar="CSV")
    soft_label_weight: float = option(
        0.0,
        "share of the votes in the target",
        group=SOFT,
        within=SHARE,
        default_text=f"{WEIGHT_OF_VOTES} with --soft-labels",
    )
    translate_votes: bool = option(
        False,
        "first turn votes into the labels that images with such votes have, which keeps the task FER-2013's own",
        group=SOFT,
    )
    teacher: tuple[str, ...] = option(
        (),
        "one or several, whose mean probability teaches: stored logits (see --write-logits), an exported model "
        "(.tflite, .onnx), or runs whose networks answer live, for the changed faces that the student sees",
        group=SOFT,
        metavar="TEACHER",
    )
    teacher_weight: float = option(0.5, "share of the teacher in the target", group=SOFT, within=SHARE)
    teacher_temperature: float = option(1.0, "softens the teacher's answers above 1", group=SOFT, within=ABOVE_0)
    clean: bool = option(False, "leave duplicates, conflicts and leaks out of train", group=WHAT)
    train_images: int = option(
        0,
        "train on N images only, stratified by class: for quick tries",
        group=WHAT,
        metavar="N",
        within=AT_LEAST_0,
        default_text="all",
    )
    network: str = option(
        STUDENT,
        "vgg and resnet are for teachers: larger, from scratch, float only",
        group=NETWORK,
        choices=NETWORKS,
    )
    input_size: int = option(96, "side of the square input in pixels", group=NETWORK, choices=INPUT_SIZES)
    width: float = option(
        1.0,
        "factor of the channels of MobileNetV2's blocks, for example 0.5 for microcontrollers; --start-from then also "
        "takes a wider run, to which the first weights are fitted layer by layer",
        group=NETWORK,
        within=Range(low=0.1, high=1.4),
    )
    last_channels: int = option(
        LAST_CHANNELS,
        "of MobileNetV2's convolution before pooling; fewer make the file smaller",
        group=NETWORK,
        metavar="N",
        within=Range(low=8, multiple_of=8),
    )
    backbone: str | None = option("imagenet", "'imagenet' (downloads), 'none', or a weights file", group=NETWORK)
    start_from: str | None = option(
        None,
        "begin with the float weights of another run (or packed model folder) instead of --backbone",
        group=NETWORK,
        metavar="RUN",
    )
    average_of: tuple[str, ...] = ()
    """Runs whose float weights were averaged (``fer-train average``); no training took place then."""
    dropout: float = option(0.2, "before the dense layer", group=NETWORK, within=BELOW_1)
    bn_momentum: float = option(DEFAULT_BN_MOMENTUM, "of BatchNorm statistics", group=NETWORK, within=BELOW_1)
    trainable_blocks: int = option(
        NUM_BLOCKS,
        f"how many of the last of {NUM_BLOCKS} blocks are fine-tuned; 0: the head only",
        group=NETWORK,
        within=_BLOCKS,
        default_text="all",
    )
    freeze_batchnorm: bool = option(
        False,
        "leave BatchNorm as it is, for short trainings of a network that is good already",
        group=NETWORK,
    )
    epochs: int = option(42, "head-only and fine-tuning together", group=FLOAT, within=AT_LEAST_0)
    head_epochs: int = option(
        1,
        "with frozen backbone",
        group=FLOAT,
        within=AT_LEAST_0,
        default_text="{default}; 0 if --epochs is 1, with --start-from, and for vgg and resnet",
    )
    batch_size: int = option(64, "images per step", group=FLOAT, within=AT_LEAST_1)
    optimizer: str = option("adamw", "sgd needs a --learning-rate of about 0.02", group=FLOAT, choices=("adamw", "sgd"))
    schedule: str = option("cosine", "after the warm-up", group=FLOAT, choices=("cosine", "constant"))
    head_learning_rate: float = option(1e-3, "peak in the head-only epochs", group=FLOAT, within=ABOVE_0)
    learning_rate: float = option(1e-3, "peak in fine-tuning", group=FLOAT, within=ABOVE_0)
    warmup_epochs: float = option(0.5, "in which the rate rises to its peak", group=FLOAT, within=AT_LEAST_0)
    weight_decay: float = option(0.05, "of kernels", group=FLOAT, within=AT_LEAST_0)
    clip_gradients: float = option(
        0.0,
        "largest norm of all gradients together, for example 1 (Pascanu et al. 2013)",
        group=FLOAT,
        within=AT_LEAST_0,
        default_text="off",
    )
    label_smoothing: float = option(0.05, "share of the target spread over all classes", group=FLOAT, within=BELOW_1)
    class_weighting: float = option(0.0, "0 none to 1 balanced", group=FLOAT, within=SHARE)
    ema_decay: float = option(
        0.998,
        "average weights over steps; 0 is off",
        group=FLOAT,
        within=BELOW_1,
        default_text="{default}, lowered where two epochs have fewer steps",
    )
    precision: str = option(
        "auto",
        "of the computation; auto is mixed_bfloat16 on a GPU, else float32",
        group=FLOAT,
        choices=("auto", "float32", "mixed_bfloat16", "mixed_float16"),
    )
    progressive_size: int = option(
        0,
        "smaller input in the first epochs; 0 is off",
        group=FLOAT,
        within=Range(low=0, multiple_of=32),
        default_text=f"{FROM_BACKBONE['progressive_size']} from ImageNet weights, else 0",
    )
    progressive_fraction: float = option(0.38, "of the epochs that --progressive-size takes", group=FLOAT, within=SHARE)
    late_blocks: int = option(
        NUM_BLOCKS,
        "after that fraction fine-tune only the last N blocks, which is faster",
        group=FLOAT,
        metavar="N",
        within=_BLOCKS,
        default_text=f"{FROM_BACKBONE['late_blocks']} from ImageNet weights, else all",
    )
    checkpoint_steps: int = option(
        0,
        "write a checkpoint after every N batches too, in both stages, from which --resume goes on",
        group=FLOAT,
        within=AT_LEAST_0,
        default_text="after epochs only",
    )
    checkpoint_seconds: float = option(
        0.0, "least time between two checkpoints; 0 leaves none out", group=FLOAT, within=AT_LEAST_0
    )
    half_weights: bool = option(
        False,
        "also write the weights in half precision, the best ones to best.npz, and with every checkpoint to latest.npz",
        group=FLOAT,
        flag="--half-weights",
    )
    flip: float = option(0.5, "probability of mirroring", group=AUGMENTATION, within=SHARE)
    rotation_degrees: float = option(12.0, "rotation", group=AUGMENTATION, within=Range(low=0, high=180))
    zoom: float = option(0.12, "natural logarithm of the scale", group=AUGMENTATION, within=_LOGARITHM)
    shift: float = option(0.08, "fraction of the side", group=AUGMENTATION, within=SHARE)
    brightness: float = option(0.15, "fraction of the range", group=AUGMENTATION, within=SHARE)
    contrast: float = option(0.2, "natural logarithm of the gain", group=AUGMENTATION, within=_LOGARITHM)
    erase: float = option(0.15, "probability of random erasing", group=AUGMENTATION, within=SHARE)
    mixup: float = option(
        0.0,
        "blend pairs of images, for example 0.2",
        group=AUGMENTATION,
        metavar="ALPHA",
        within=_ALPHA,
        default_text="off",
    )
    cutmix: float = option(
        0.0,
        "paste parts of other images, for example 1.0",
        group=AUGMENTATION,
        metavar="ALPHA",
        within=_ALPHA,
        default_text="off",
    )
    disturb: float = option(
        0.0,
        "probability that a face is disturbed in one way, by noise, blur, light, compression or position; live "
        "teachers, and in the QAT stage the float model, see the clean face",
        group=DISTURBANCES,
        within=SHARE,
        default_text="off",
    )
    disturb_weakest: float = option(1.0, "strengths are drawn evenly from here", group=DISTURBANCES, within=_STRENGTH)
    disturb_strongest: float = option(3.0, "to here", group=DISTURBANCES, within=_STRENGTH)
    disturb_kinds: tuple[str, ...] = option(
        (),
        f"of {', '.join(FOR_TRAINING)}; the others are held out of training for the benchmark",
        group=DISTURBANCES,
        metavar="KIND",
        default_text="all of these",
    )
    consistency: float = option(
        0.0,
        "weight of the Jensen-Shannon divergence between the answers to the disturbed and to the clean face, for "
        "example 6; every face is then learned from in both views, which takes twice the time",
        group=DISTURBANCES,
        within=AT_LEAST_0,
        default_text="off",
    )
    disturbed_images: int = option(
        1200,
        "validation images that are also told disturbed after each epoch; the best epoch then is the one of the "
        "best mean of both accuracies",
        group=DISTURBANCES,
        within=AT_LEAST_1,
    )
    qat_epochs: int = option(2, "0 leaves the stage out", group=QAT, within=AT_LEAST_0)
    qat_start_from: str | None = option(
        None,
        "begin with the QAT weights of another run (or packed model folder), instead of measured ranges",
        group=QAT,
        metavar="RUN",
    )
    qat_learning_rate: float = option(5e-4, "at its beginning", group=QAT, within=ABOVE_0)
    qat_distill: float = option(1.0, "share of the float model in the target", group=QAT, within=SHARE)
    qat_min_agreement: float = option(
        0.97,
        "of validation images with the float model's answer that the best epoch should reach; epochs below it are "
        "taken only where all are",
        group=QAT,
        metavar="SHARE",
        within=SHARE,
    )
    qat_reference_kernels: bool = option(
        True,
        "judge epochs on XNNPACK alone, without TFLite's slow reference kernels, which compute as microcontrollers do",
        group=QAT,
        flag="--no-qat-reference-kernels",
    )
    calibration_images: int = option(1024, "for the ranges of activations", group=QAT, within=AT_LEAST_1)
    temperature_scaling: bool = option(
        True,
        "leave the probabilities as training made them",
        group=QAT,
        flag="--no-temperature-scaling",
    )
    seed: int = option(0, "of order, augmentation and initialisation", group=WHAT, within=Range(low=0, high=2**32 - 1))

    @property
    def live_teachers(self) -> tuple[Path, ...]:
        """Those teachers that are folders: runs, or released models."""
        return tuple(Path(name) for name in self.teacher if Path(name).is_dir())

    @property
    def stored_teachers(self) -> tuple[Path, ...]:
        """Those teachers that are files: of logits, or exported models."""
        return tuple(Path(name) for name in self.teacher if not Path(name).is_dir())

    def without_paths(self) -> Recipe:
        """The recipe for others to read: data and backbone left out, votes by name.

        Returns:
            The copy.
        """
        votes = Path(self.soft_labels).name if self.soft_labels else None
        return dataclasses.replace(self, data="", backbone=None, soft_labels=votes)

    def as_json(self) -> str:
        """The record as JSON text, with what is needed to rebuild the network.

        Returns:
            Text of ``config.json``.
        """
        architecture = f"mobilenetv2-{float(self.width)}" if self.network == STUDENT else self.network
        record = {"format": FORMAT_VERSION, "architecture": architecture, "labels": list(EMOTIONS)}
        return json.dumps(record | dataclasses.asdict(self), indent=2) + "\n"

    def save(self, path: Path) -> None:
        """Write ``config.json`` atomically.

        Args:
            path: the file; an older one is replaced.
        """
        write_text(path, self.as_json())


OPTIONS: Final = options_of(Recipe)
"""The options of the recipe, by field name."""


def load_recipe(path: Path) -> Recipe:
    """Read ``config.json``; unknown keys of newer versions are ignored.

    Args:
        path: the file.

    Returns:
        The recipe.

    Raises:
        ModelError: the file is missing, not JSON, or for other labels.
    """
    try:
        record: Any = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"no {path.name} in {path.parent}; expected a run folder of fer-train") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(record, dict) or record.get("labels") != list(EMOTIONS):
        raise ModelError(f"{path} does not describe a model with the labels {', '.join(EMOTIONS)}")
    known = {field.name for field in dataclasses.fields(Recipe)}
    teachers = record.get("teacher") or ()  # one name, or null, in older records
    record["teacher"] = (teachers,) if isinstance(teachers, str) else tuple(teachers)
    for name in ("average_of", "disturb_kinds"):
        record[name] = tuple(record.get(name) or ())
    try:
        return Recipe(**{key: value for key, value in record.items() if key in known})
    except TypeError as error:
        raise ModelError(f"{path} is not a valid configuration: {error}") from error
