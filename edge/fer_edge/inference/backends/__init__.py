"""The runtimes that can compute a model: one module each, with its ``BACKEND`` record.

A new device is one new file here, for example ``toy.py``::

    from fer_edge.inference.backend import BackendSpec


    def open_model(model_path, *, threads=1):
        from fer_edge.inference.classifier import FunctionClassifier  # late: --help reads this file, too

        ...
        return FunctionClassifier("toy", model_path, input_spec, output_spec, "toy 1.0", compute)


    BACKEND = BackendSpec(name="toy", open=open_model, runtime_module="toy", suffixes=(".toy",))

Everything else reads that record: ``open_classifier``, the check of model files, ``--verify``, ``--help`` and
``fer-bench``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fer_edge.errors import MissingDependencyError, ModelError, UsageError
from fer_edge.inference.backend import BackendSpec
from fer_edge.registry import find_records

__all__ = [
    "backend_for",
    "backend_spec",
    "backends",
    "backends_for",
    "listed_suffixes",
    "load_backend",
    "model_suffixes",
    "offered_backends",
    "tflite_backend",
]


@functools.cache
def backends() -> dict[str, BackendSpec]:
    """All backends by name, those that are preferred first; imports none of their runtimes.

    Returns:
        ``{name: specification}``.

    Raises:
        FerError: a module of this package holds no specification, or two have one name.
    """
    return find_records(__name__, "BACKEND", BackendSpec)


def offered_backends() -> list[str]:
    """Names of the backends for users.

    Returns:
        The names, those that are preferred first.
    """
    return [spec.name for spec in backends().values() if spec.offered]


def backend_spec(name: str) -> BackendSpec:
    """The record of the backend ``name``. ``tflite`` is the TFLite runtime that is installed.

    Args:
        name: of the backend.

    Returns:
        Its specification.

    Raises:
        UsageError: there is none of this name; the message lists what exists and the nearest match.
        MissingDependencyError: ``name`` is ``tflite`` and no such runtime is installed.
    """
    if name == "tflite":
        return tflite_backend()
    spec = backends().get(name)
    if spec is None:
        known = offered_backends()
        from fer_edge.command import did_you_mean  # late: with argparse and difflib behind it

        hint = did_you_mean(name, known)
        raise UsageError(f"unknown backend {name!r}{hint}{' Known' if hint else '; known'}: {', '.join(known)}")
    return spec


def load_backend(name: str) -> Callable[..., Any]:
    """What opens a model on the backend ``name``: ``(model_path, *, threads)`` to a classifier.

    Args:
        name: of the backend.

    Returns:
        The function.

    Raises:
        UsageError: there is none of this name.
    """
    return backend_spec(name).open


def tflite_backend() -> BackendSpec:
    """The installed TFLite runtime for the CPU; LiteRT where there are several.

    Returns:
        Its specification.

    Raises:
        MissingDependencyError: there is none.
    """
    return _installed([spec for spec in backends().values() if spec.is_tflite and not spec.owns_device], "TFLite")


def backends_for(model_path: Path) -> list[BackendSpec]:
    """The backends for a file of this name, installed or not, those that are preferred first.

    Args:
        model_path: the model file; only its name counts.

    Returns:
        At least one specification.

    Raises:
        ModelError: there is none for such names.
    """
    fitting = {
        ending: [spec for spec in backends().values() if spec.offered and ending in spec.suffixes]
        for ending in model_suffixes(special=True)
        if model_path.name.endswith(ending)
    }
    if not fitting:
        raise ModelError(f"{model_path}: expected a model file ending in {listed_suffixes(model_suffixes())}")
    return fitting[max(fitting, key=len)]


def backend_for(model_path: Path) -> str:
    """The backend that runs a file of this name when the user does not choose one.

    Args:
        model_path: the model file; only its name counts.

    Returns:
        Name of the backend.

    Raises:
        ModelError: there is none for such names.
        MissingDependencyError: there are several, and none is installed.
    """
    fitting = backends_for(model_path)
    if len(fitting) == 1:  # of which its runtime itself tells best what is missing
        return fitting[0].name
    return _installed(fitting, "TFLite" if fitting[0].is_tflite else fitting[0].suffixes[0]).name


def listed_suffixes(suffixes: Sequence[str]) -> str:
    """Endings as a message gives them.

    Args:
        suffixes: at least one.

    Returns:
        ``.a, .b or .c``.
    """
    return " or ".join(filter(None, (", ".join(suffixes[:-1]), suffixes[-1])))


def model_suffixes(*, special: bool = False) -> tuple[str, ...]:
    """Endings of model files' names; with ``special`` also those that end in another one (``_edgetpu.tflite``).

    Args:
        special: whether to list endings that end in another one, too.

    Returns:
        The endings, each with its dot.
    """
    endings = dict.fromkeys(ending for spec in backends().values() if spec.offered for ending in spec.suffixes)
    return tuple(
        ending
        for ending in endings
        if special or not any(ending != other and ending.endswith(other) for other in endings)
    )


def _installed(specs: list[BackendSpec], kind: str) -> BackendSpec:
    first = next((spec for spec in specs if spec.is_installed()), None)
    if first is None:
        advice = specs[0].install_hint or specs[0].package or specs[0].name
        raise MissingDependencyError(f"no {kind} runtime is installed; install one with: pip install {advice}")
    return first
