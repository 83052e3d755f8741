"""The networks: MobileNetV2 for devices, and larger ones that teach it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fer_edge.lazy import lazy_names

if TYPE_CHECKING:
    from fer_train.networks.batchnorm_statistics import reestimate_batchnorm
    from fer_train.networks.build import (
        INPUT_SIZES,
        NETWORKS,
        NUM_BLOCKS,
        STUDENT,
        build_network,
        copy_weights,
        set_trainable_blocks,
    )
    from fer_train.networks.keras_classifier import KerasClassifier

__all__ = [
    "INPUT_SIZES",
    "NETWORKS",
    "NUM_BLOCKS",
    "STUDENT",
    "KerasClassifier",
    "build_network",
    "copy_weights",
    "reestimate_batchnorm",
    "set_trainable_blocks",
]

_HOMES: Final[dict[str, str]] = {
    "reestimate_batchnorm": "fer_train.networks.batchnorm_statistics",
    "INPUT_SIZES": "fer_train.networks.build",
    "NETWORKS": "fer_train.networks.build",
    "NUM_BLOCKS": "fer_train.networks.build",
    "STUDENT": "fer_train.networks.build",
    "build_network": "fer_train.networks.build",
    "copy_weights": "fer_train.networks.build",
    "set_trainable_blocks": "fer_train.networks.build",
    "KerasClassifier": "fer_train.networks.keras_classifier",
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
