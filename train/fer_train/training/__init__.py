"""The stages of a training: float, QAT, temperature scaling; devices and checkpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fer_edge.lazy import lazy_names

if TYPE_CHECKING:
    from fer_train.training.devices import Devices, Hosts, open_devices
    from fer_train.training.float_stage import FloatStage
    from fer_train.training.qat_stage import QatStage
    from fer_train.training.session import train
    from fer_train.training.temperature_scaling import fit_temperatures

__all__ = [
    "Devices",
    "FloatStage",
    "Hosts",
    "QatStage",
    "fit_temperatures",
    "open_devices",
    "train",
]

_HOMES: Final[dict[str, str]] = {
    "Devices": "fer_train.training.devices",
    "Hosts": "fer_train.training.devices",
    "open_devices": "fer_train.training.devices",
    "FloatStage": "fer_train.training.float_stage",
    "QatStage": "fer_train.training.qat_stage",
    "train": "fer_train.training.session",
    "fit_temperatures": "fer_train.training.temperature_scaling",
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
