"""Packages of others, and the habits that some have to be asked to leave.

Some packages write files into the home folder, or send figures to their makers, without being asked.
:func:`set_defaults` turns that off, or leads it into the toolkit's one cache folder, by environment variables; those
that the user has set stay as they are.
"""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any, Final

from fer_edge.errors import FerError, MissingDependencyError

__all__ = ["ENVIRONMENT", "import_onnxruntime", "import_runtime", "set_defaults", "set_folders"]

ENVIRONMENT: Final[dict[str, str]] = {
    # onnxruntime 1.32 writes a device identifier and a database below ~/.cache/Microsoft at the first session, and
    # later looks a host for telemetry up.
    "ORT_DISABLE_TELEMETRY": "1",
    # Keras imports huggingface_hub where that is installed.
    "HF_HUB_DISABLE_TELEMETRY": "1",
}


def set_defaults() -> None:
    """Set :data:`ENVIRONMENT` where the user has not; child processes inherit it."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def set_folders() -> None:
    """Lead what Keras and Matplotlib keep into the toolkit's cache folder, unless they have a folder already.

    Keras would make ``~/.keras`` (settings, downloaded weights), Matplotlib ``~/.config/matplotlib`` and
    ``~/.cache/matplotlib`` (a list of fonts). Those of a user who has them stay in use. To be called before either is
    imported; nothing is written here.
    """
    from fer_edge.system import can_write, temporary_folder, usual_cache_folder

    own = usual_cache_folder()
    for variable, name, theirs in (
        ("KERAS_HOME", "keras", ("~/.keras",)),
        ("MPLCONFIGDIR", "matplotlib", ("~/.config/matplotlib", "~/.cache/matplotlib", "~/.matplotlib")),
    ):
        if os.environ.get(variable) or any(_is_usable(folder) for folder in theirs):
            continue
        if own is not None and can_write(own):
            os.environ[variable] = str(own / name)
            continue
        try:
            os.environ[variable] = str(temporary_folder() / name)
        except FerError:
            return  # no place at all: both packages say so themselves, if they ever need one


def _is_usable(folder: str) -> bool:
    try:
        path = Path(folder).expanduser()
    except RuntimeError:  # a user without a home folder
        return False
    return path.is_dir() and os.access(path, os.W_OK | os.X_OK)


def import_onnxruntime() -> Any:
    """The module ``onnxruntime``, its telemetry turned off. The only place that imports it.

    Returns:
        The module.

    Raises:
        MissingDependencyError: it is not installed, or does not load.
    """
    set_defaults()
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingDependencyError(
            f"onnxruntime cannot be imported ({error}); install it with: pip install onnxruntime"
        ) from error
    return onnxruntime


def import_runtime(module: str) -> Any:
    """Import the runtime ``module`` by its dotted name, as :func:`import_onnxruntime` does; raises ``ImportError``.

    Args:
        module: dotted name.

    Returns:
        The module.

    Raises:
        ImportError: it is not installed, or does not load.
    """
    set_defaults()
    return importlib.import_module(module)
