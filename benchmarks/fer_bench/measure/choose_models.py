"""Which model files on which runtimes a command line means."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from fer_bench.log import LOG
from fer_bench.measure.runtimes import OLD_RUNTIME_PYTHON, REFERENCE, load_runtime, runtime_spec
from fer_bench.measure.worker_client import Contender
from fer_edge.errors import FerError, ModelError
from fer_edge.inference.backend import BackendSpec
from fer_edge.inference.backends import backend_for, backends_for
from fer_edge.loading.model_files import DEFAULT_MODEL, find_model

__all__ = ["KNOWN_MODELS", "choose_contenders"]

KNOWN_MODELS: Final[tuple[str, ...]] = (
    "fer_float.tflite",
    "fer_int8.tflite",
    "fer_float.onnx",
    "fer_int8.onnx",
    "fer_int8_edgetpu.tflite",
    "fer_small_int8.tflite",
)


def choose_contenders(
    models: Sequence[str] | None,
    backend: str,
    threads: int,
    *,
    everything: bool = False,
    pythons: Mapping[str, str] | None = None,
) -> list[tuple[str, Contender]]:
    """Pairs of what was asked for and the contender that it means.

    Args:
        models: names or ``name@backend``; none means the default model, unless ``everything`` is asked for.
        backend: runtime of models that name none; ``auto`` goes by the suffix.
        threads: CPU threads of one inference.
        everything: adds each known model file that is found, on each runtime that can be used here.
        pythons: the interpreter of a backend that lives in another environment.

    Returns:
        ``(what was asked for, contender)``, without duplicates.

    Raises:
        ModelError: a file that is not there, or none is found with ``everything``.
        UsageError: an unknown backend.
    """
    pythons = dict(pythons or {})
    if OLD_RUNTIME_PYTHON.exists():
        pythons.setdefault("tflite-runtime", str(OLD_RUNTIME_PYTHON))
    for name in pythons:
        load_runtime(name)  # an unknown one is an error with the known names
    pairs = [_one(text, backend) for text in models or ([] if everything else [DEFAULT_MODEL])]
    if everything:
        pairs += _all_pairs(pythons)
    if not pairs:
        raise ModelError(f"--all found none of {', '.join(KNOWN_MODELS)} here, in out/ or in models/; run fer-export")
    return [
        (text, Contender(path, name, threads, pythons.get(name, sys.executable)))
        for text, path, name in dict.fromkeys(pairs)
    ]


def _one(text: str, default_backend: str) -> tuple[str, Path, str]:
    model, at, backend = text.rpartition("@")
    if at and not Path(text).exists():
        load_runtime(backend)  # an unknown one is an error with the known names
    if not at or Path(text).exists():  # a file name may hold an @
        model, backend = text, default_backend
    if backend != "auto" and not runtime_spec(backend).needs_model:
        return text, Path(__file__), backend
    path = find_model(None if model == DEFAULT_MODEL and not _bare_found(model) else model)
    return text, path, runtime_spec(backend_for(path) if backend == "auto" else backend).name


def _bare_found(model: str) -> bool:
    try:
        find_model(model)
    except ModelError:
        return False
    return True


def _all_pairs(pythons: Mapping[str, str]) -> list[tuple[str, Path, str]]:
    pairs = []
    for model in KNOWN_MODELS:
        try:
            path = find_model(model)
        except ModelError:
            continue
        for name in _usable_backends(path, pythons):
            pairs.append((model, path, name))
    return pairs


def _usable_backends(path: Path, pythons: Mapping[str, str]) -> list[str]:
    candidates = backends_for(path)
    if path.suffix == ".onnx" and "float" in path.stem and importlib.util.find_spec("onnx"):
        candidates.append(REFERENCE)
    return [
        spec.name
        for spec in candidates
        if (_device_answers(spec, path) if spec.owns_device else spec.name in pythons or spec.is_installed())
    ]


def _device_answers(spec: BackendSpec, path: Path) -> bool:
    try:
        spec.open(path, threads=1).close()
    except (FerError, OSError, ValueError) as error:
        LOG.debug("%s is left out: %s", spec.name, error)
        return False
    return True
