"""Open a model on the backend that fits it."""

from __future__ import annotations

import os
from pathlib import Path

from fer_edge.defaults import DEFAULT_BACKEND, DEFAULT_THREADS
from fer_edge.errors import UsageError
from fer_edge.inference.classifier import Classifier

__all__ = ["open_classifier"]


def open_classifier(
    model: str | os.PathLike[str] | None = None,
    *,
    backend: str = DEFAULT_BACKEND,
    threads: int = DEFAULT_THREADS,
    trusted: bool = False,
) -> Classifier:
    """Open a model file on a runtime.

    A file that no ``manifest.json`` beside it vouches for is first checked (``check.py``) and tried in a process of its
    own (``trial.py``).

    Args:
        model: a model file, or a bare name looked up by :func:`fer_edge.loading.model_files.find_model`; None means the
            INT8 model that comes with the package.
        backend: ``auto`` (by the file's suffix) or a name from :func:`fer_edge.inference.backends.backends`.
        threads: number of CPU threads of one inference.
        trusted: neither check nor try the file: for one that this process wrote itself.

    Returns:
        The classifier; close it after use.

    Raises:
        ModelError: a bad file.
        MissingDependencyError: the runtime is not installed.
        UsageError: an unknown backend.
    """
    from fer_edge.inference.backends import backend_for, backend_spec, load_backend
    from fer_edge.loading.check import check_file
    from fer_edge.loading.model_files import find_model

    chosen = None if backend == "auto" else backend_spec(backend)  # a wrong name is told before a missing model
    if chosen is not None and not chosen.needs_model:
        path = Path(chosen.name)
    else:
        path = find_model(model)
        chosen = chosen or backend_spec(backend_for(path))
        if not chosen.takes(path.name):
            raise UsageError(f"--backend {chosen.name} does not run {path.name}; leave --backend out")
        if not trusted:
            check_file(path, chosen.name)
    opened: Classifier = load_backend(chosen.name)(path, threads=threads)
    return opened
