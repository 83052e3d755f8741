"""Writing weight files, whole or not at all, with the space on the disk checked first."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fer_edge.files import atomic_path

__all__ = ["require_space", "save_weights"]


def require_space(path: Path, weights: Iterable[npt.NDArray[Any]]) -> None:
    """Make sure that the disk of ``path`` can take ``weights``.

    Asked before HDF5 writes: its library crashes the process when the disk fills up under it.

    Args:
        path: the file that is to be written.
        weights: all that it will hold.

    Raises:
        OSError: the disk is too full (ENOSPC).
    """
    needed = int(1.1 * sum(np.asarray(value).nbytes for value in weights)) + (1 << 20)
    if shutil.disk_usage(path.parent).free < needed:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def save_weights(network: Any, path: Path) -> None:
    """Write a Keras 3 network's weights whole or not at all.

    Args:
        network: a Keras 3 network.
        path: the file; an older one is replaced.
    """
    require_space(path, network.get_weights())
    with atomic_path(path) as temporary:
        whole = temporary.with_name(temporary.stem + ".weights.h5")  # the ending that Keras demands
        network.save_weights(whole)
        whole.replace(temporary)
