"""Where model files are looked for, and the manifest that lies beside them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final

from fer_edge.errors import ModelError
from fer_edge.inference.backends import listed_suffixes, model_suffixes
from fer_edge.labels import EMOTIONS

__all__ = [
    "DEFAULT_MODEL",
    "PACKAGED_MODELS",
    "RELEASED_MODELS",
    "companion",
    "find_model",
    "read_manifest",
    "search_path",
]

DEFAULT_MODEL: Final[str] = "fer_int8.tflite"
RELEASED_MODELS: Final[dict[str, str]] = {"small": "fer_small_int8.tflite"}
"""Other models that come with the package, by the word that stands for them wherever a model is chosen."""
PACKAGED_MODELS: Final[Path] = Path(__file__).parents[1] / "models"
_CHECKOUT_MODELS: Final[Path] = Path(__file__).parents[3] / "models"  # an editable install or a git checkout


def search_path() -> list[Path]:
    """Folders in which a bare file name is looked up, in order: here, ``out/``, ``models/``, the installed package.

    Returns:
        The folders, whether or not they exist.
    """
    return [Path(), Path("out"), Path("models"), PACKAGED_MODELS, _CHECKOUT_MODELS]


def companion(model_path: Path, name: str) -> Path:
    """Where a file of a model lies that is called ``name`` beside most models, such as ``manifest.json``.

    Args:
        model_path: the model file, such as ``fer_small_int8.tflite``.
        name: of the file.

    Returns:
        ``fer_small_manifest.json`` where such a file is beside the model, else ``manifest.json``; it may not exist.
    """
    family, separator, _ = model_path.name.rpartition("_int8")
    own = model_path.parent / f"{family}_{name}"
    return own if separator and own.is_file() else model_path.parent / name


def find_model(model: str | os.PathLike[str] | None = None) -> Path:
    """The file that ``model`` means; None is the INT8 model that comes with the package.

    Args:
        model: a path, a bare name that is looked up in :func:`search_path`, or a word of :data:`RELEASED_MODELS`.

    Returns:
        Path of a file that is there and not empty.

    Raises:
        ModelError: there is none, it is empty, or it is not a file of a known kind.
    """
    suffixes = model_suffixes()
    path = Path(model if model is not None else DEFAULT_MODEL)
    released = DEFAULT_MODEL if model is None else RELEASED_MODELS.get(str(model))
    if released is not None:
        candidates = [PACKAGED_MODELS / released, _CHECKOUT_MODELS / released, Path(released)]
    elif path.name == str(model):
        candidates = [folder / path for folder in search_path()]
    else:
        candidates = [path]
    file = next((candidate for candidate in candidates if candidate.exists()), None)
    if file is None:
        places = ", ".join(dict.fromkeys(str(candidate.parent) for candidate in candidates))
        raise ModelError(f"no model file {released or model} in {places}")
    if not file.is_file():
        raise ModelError(f"{file} is not a file; expected a model file ({', '.join(suffixes)})")
    if not file.name.endswith(suffixes):
        raise ModelError(f"{file}: expected a model file ending in {listed_suffixes(suffixes)}")
    if file.stat().st_size == 0:
        raise ModelError(f"{file} is empty; expected a model file")
    return file


def read_manifest(model_path: Path) -> dict[str, Any] | None:
    """What the manifest beside ``model_path`` says of it (sha256, labels, accuracy), or None without one.

    Args:
        model_path: the model file.

    Returns:
        The model's entry, None where there is no manifest or no entry.

    Raises:
        ModelError: the manifest cannot be read, or its labels are not ours in our order.
    """
    manifest_path = companion(model_path, "manifest.json")
    if not manifest_path.is_file():
        return None
    try:
        entry = json.loads(manifest_path.read_text(encoding="utf-8"))["models"].get(model_path.name)
    except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise ModelError(f"{manifest_path} is not a model manifest: {error}") from error
    if entry is None:
        return None
    if not isinstance(entry, dict):
        raise ModelError(f"{manifest_path}: the entry of {model_path.name} is not an object")
    labels = entry.get("labels")
    if labels is not None and labels != list(EMOTIONS):
        raise ModelError(f"{manifest_path}: {model_path.name} has labels {labels}; expected {list(EMOTIONS)}")
    return entry
