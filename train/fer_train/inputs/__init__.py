"""From images to batches: targets, mixing, augmentation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fer_edge.lazy import lazy_names

if TYPE_CHECKING:
    from fer_train.inputs.augment import Augment
    from fer_train.inputs.batches import Batches
    from fer_train.inputs.mixing import Mixing, mix
    from fer_train.inputs.stored_teachers import ensemble_targets, write_teacher_logits
    from fer_train.inputs.targets import blend, class_weights, hard_targets
    from fer_train.inputs.training_data import TrainingData, prepare_data

__all__ = [
    "Augment",
    "Batches",
    "Mixing",
    "TrainingData",
    "blend",
    "class_weights",
    "ensemble_targets",
    "hard_targets",
    "mix",
    "prepare_data",
    "write_teacher_logits",
]

_HOMES: Final[dict[str, str]] = {
    "Augment": "fer_train.inputs.augment",
    "Batches": "fer_train.inputs.batches",
    "Mixing": "fer_train.inputs.mixing",
    "mix": "fer_train.inputs.mixing",
    "ensemble_targets": "fer_train.inputs.stored_teachers",
    "write_teacher_logits": "fer_train.inputs.stored_teachers",
    "blend": "fer_train.inputs.targets",
    "class_weights": "fer_train.inputs.targets",
    "hard_targets": "fer_train.inputs.targets",
    "TrainingData": "fer_train.inputs.training_data",
    "prepare_data": "fer_train.inputs.training_data",
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
