"""State of a training stage in one file, written whole or not at all: network, optimizer, random state, position."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fer_edge.errors import ModelError
from fer_edge.files import atomic_path

Arrays = list[npt.NDArray[Any]]


@dataclass(frozen=True)
class Checkpoint:
    """Arrays of the network and of the optimizer in their own order, and a JSON record (epoch, best, history)."""

    network: Arrays
    optimizer: Arrays
    record: dict[str, Any]


def save_checkpoint(path: Path, network: Arrays, optimizer: Arrays, record: dict[str, Any]) -> None:
    """Write a checkpoint atomically: after a kill there is the new one or the one before, never half of one."""
    arrays: dict[str, Any] = {f"network_{i:04d}": np.asarray(value) for i, value in enumerate(network)}
    arrays |= {f"optimizer_{i:04d}": np.asarray(value) for i, value in enumerate(optimizer)}
    text = np.frombuffer(json.dumps(record).encode(), np.uint8)
    with atomic_path(path) as temporary, temporary.open("wb") as handle:
        np.savez(handle, record=text, **arrays)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint. Raises :class:`ModelError` when it is damaged."""
    try:
        with path.open("rb") as handle, np.load(handle, allow_pickle=False) as file:
            record = json.loads(bytes(file["record"]))
            names = sorted(file.files)
            network = [file[name] for name in names if name.startswith("network_")]
            optimizer = [file[name] for name in names if name.startswith("optimizer_")]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ModelError(f"checkpoint {path} cannot be read ({error}); start again in another --run folder") from error
    return Checkpoint(network, optimizer, record)


def assign_all(variables: Sequence[Any], values: Sequence[npt.NDArray[Any]], what: str) -> None:
    """Give ``values`` to Keras variables one by one. Raises :class:`ModelError` when they do not correspond."""
    if [tuple(v.shape) for v in variables] != [tuple(np.shape(value)) for value in values]:
        raise ModelError(
            f"the checkpoint's {what} does not fit this recipe; resume with the options it was started with"
        )
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
