"""Open a model on the backend that fits it."""

from __future__ import annotations

import os
from pathlib import Path

from fer_edge.inference.classifier import Classifier


def open_classifier(
    model: str | os.PathLike[str] | None = None, *, backend: str = "auto", threads: int = 1
) -> Classifier:
    """Open a model file on a runtime.

    ``model`` is a ``.tflite`` or ``.onnx`` file, or a bare name looked up by :func:`fer_edge.loading.model_files.find_model`;
    None means the INT8 model that comes with the package. ``backend`` is ``auto`` (by the file's suffix) or a name
    from :data:`fer_edge.inference.backends.BACKENDS`. ``threads`` is the number of CPU threads of one inference. A file that no
    ``manifest.json`` beside it vouches for is first checked and tried in a process of its own (``model_check.py``).

    Raises :class:`ModelError` for a bad file, :class:`MissingDependencyError` when the runtime is not installed,
    :class:`UsageError` for an unknown backend.
    """
    from fer_edge.inference.backends import backend_for, load_backend
    from fer_edge.loading.check import check_model
    from fer_edge.loading.model_files import find_model

    chosen = None if backend == "auto" else load_backend(backend)  # a wrong name is told before a missing model
    path = Path("fake") if backend == "fake" else find_model(model)
    name = backend_for(path) if backend == "auto" else backend
    if name != "fake":
        check_model(path, name)
    opened: Classifier = (chosen or load_backend(name))(path, threads=threads)
    return opened
