"""Packed weights: a compressed file of arrays, read without running code."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fer_edge.errors import ModelError
from fer_edge.files import atomic_path

__all__ = ["read_packed", "write_packed"]


def write_packed(path: Path, weights: list[npt.NDArray[Any]]) -> None:
    """Arrays in order; those of two axes or more as float16, since range and offset arrays need their precision.

    Args:
        path: of the file; written atomically.
        weights: the arrays, float32.
    """
    arrays: dict[str, Any] = {
        f"{i:04d}": value.astype(np.float16) if value.ndim >= 2 else np.asarray(value)
        for i, value in enumerate(weights)
    }
    with atomic_path(path) as temporary, temporary.open("wb") as handle:
        np.savez_compressed(handle, **arrays)


def read_packed(path: Path) -> list[npt.NDArray[Any]]:
    """What :func:`write_packed` wrote, half precision widened to float32.

    Args:
        path: of the file.

    Returns:
        The arrays, in their order.

    Raises:
        ModelError: the file cannot be read.
    """
    try:
        with path.open("rb") as handle, np.load(handle, allow_pickle=False) as file:
            arrays = [file[name] for name in sorted(file.files)]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path} cannot be read, truncated or damaged? {error}") from error
    return [array.astype(np.float32) if array.dtype == np.float16 else array for array in arrays]
