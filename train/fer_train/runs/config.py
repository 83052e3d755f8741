"""Everything that defines a training run, as one record that is written to ``config.json``."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fer_edge.errors import ModelError
from fer_edge.files import write_text
from fer_edge.labels import EMOTIONS
from fer_train.networks.build import DEFAULT_BN_MOMENTUM, NUM_BLOCKS, STUDENT

FORMAT_VERSION = 1


@dataclass(frozen=True)
class TrainConfig:
    """The recipe; the defaults are the recommended one. Rates and amounts are explained in ``train/README.md``."""

    # What is trained on
    data: str = ""
    data_fingerprint: str = ""
    soft_labels: str | None = None
    soft_label_weight: float = 0.0
    translate_votes: bool = False
    """Whether votes are turned into the labels that they predict (:mod:`fer_train.data.vote_translation`)."""
    teacher: tuple[str, ...] = ()
    """Stored logits, exported models, or runs whose networks answer live; of several the mean probability teaches."""
    teacher_weight: float = 0.5
    teacher_temperature: float = 1.0
    clean: bool = False
    train_images: int = 0
    """Learn from so many images only, alike from every class by its share; 0 takes all."""
    # The network
    network: str = STUDENT
    input_size: int = 96
    backbone: str | None = "imagenet"
    start_from: str | None = None
    """A run whose float weights are the starting point, instead of ``backbone`` and a new dense layer."""
    average_of: tuple[str, ...] = ()
    """Runs whose float weights were averaged (:mod:`fer_train.commands.average`); no training took place then."""
    dropout: float = 0.2
    bn_momentum: float = DEFAULT_BN_MOMENTUM
    trainable_blocks: int = NUM_BLOCKS
    # The float stage
    epochs: int = 42
    head_epochs: int = 1
    batch_size: int = 64
    optimizer: str = "adamw"
    schedule: str = "cosine"
    head_learning_rate: float = 1e-3
    learning_rate: float = 1e-3
    warmup_epochs: float = 0.5
    weight_decay: float = 0.05
    label_smoothing: float = 0.05
    class_weighting: float = 0.0
    ema_decay: float = 0.998
    """What the weights' average keeps of itself in a step, at most (:mod:`fer_train.training.weight_average`); with few steps an
    epoch lowered to a memory of two epochs."""
    precision: str = "auto"
    progressive_size: int = 0
    progressive_fraction: float = 0.38
    late_blocks: int = NUM_BLOCKS
    """How many of the last blocks are fine-tuned behind ``progressive_fraction`` of the epochs, if that is fewer."""
    checkpoint_seconds: float = 0.0
    """Least time between checkpoints, for GPUs on which an epoch takes hardly longer than writing one."""
    # Augmentation: amounts are maxima, drawn uniformly for each image
    flip: float = 0.5
    rotation_degrees: float = 12.0
    zoom: float = 0.12
    shift: float = 0.08
    brightness: float = 0.15
    contrast: float = 0.2
    erase: float = 0.15
    mixup: float = 0.0
    cutmix: float = 0.0
    # The QAT stage
    qat_epochs: int = 2
    qat_start_from: str | None = None
    """A run or packed folder whose QAT weights are the starting point, instead of calibrated float weights."""
    qat_learning_rate: float = 5e-4
    qat_distill: float = 1.0
    qat_min_agreement: float = 0.97
    """Epochs whose INT8 model gives the float model's answer less often are taken only where all do."""
    calibration_images: int = 1024
    temperature_scaling: bool = True
    seed: int = 0

    @property
    def live_teachers(self) -> tuple[Path, ...]:
        """Those teachers that are folders: runs, or released models."""
        return tuple(Path(name) for name in self.teacher if Path(name).is_dir())

    @property
    def stored_teachers(self) -> tuple[Path, ...]:
        """Those teachers that are files: of logits, or exported models."""
        return tuple(Path(name) for name in self.teacher if not Path(name).is_dir())

    def without_paths(self) -> TrainConfig:
        """The recipe for others to read: data and backbone left out, votes by name."""
        votes = Path(self.soft_labels).name if self.soft_labels else None
        return dataclasses.replace(self, data="", backbone=None, soft_labels=votes)

    def as_json(self) -> str:
        """The record as JSON text, with what is needed to rebuild the network."""
        architecture = "mobilenetv2-1.0" if self.network == STUDENT else self.network
        record = {"format": FORMAT_VERSION, "architecture": architecture, "labels": list(EMOTIONS)}
        return json.dumps(record | dataclasses.asdict(self), indent=2) + "\n"

    def save(self, path: Path) -> None:
        """Write ``config.json`` atomically."""
        write_text(path, self.as_json())


def load_config(path: Path) -> TrainConfig:
    """Read ``config.json``; unknown keys of newer versions are passed over.

    Raises :class:`ModelError` when it is missing, not JSON, or for other labels.
    """
    try:
        record: Any = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"no {path.name} in {path.parent}; expected a run folder of fer-train") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(record, dict) or record.get("labels") != list(EMOTIONS):
        raise ModelError(f"{path} does not describe a model with the labels {', '.join(EMOTIONS)}")
    known = {field.name for field in dataclasses.fields(TrainConfig)}
    teachers = record.get("teacher") or ()  # one name, or null, in older records
    record["teacher"] = (teachers,) if isinstance(teachers, str) else tuple(teachers)
    record["average_of"] = tuple(record.get("average_of") or ())
    try:
        return TrainConfig(**{key: value for key, value in record.items() if key in known})
    except TypeError as error:
        raise ModelError(f"{path} is not a valid configuration: {error}") from error
