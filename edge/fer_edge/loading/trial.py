"""Model files are checked before a runtime sees them: a damaged one must end in a message, never in a crash.

Runtimes trust their files: a wrong offset, a stride of zero or an impossible shape in a ``.tflite`` or ``.onnx`` file
can kill the process that opens it. So, in this order:

1. A file that the ``manifest.json`` beside it names must have the sha256 written there, and is then trusted.
2. Any other is checked for structure (``tflite_structure.py``, ``onnx_structure.py``), and
3. then opened and run on three synthetic pictures by a short-lived child process (half a second). If that one crashes,
   takes more than :data:`TRIAL_SECONDS` or too much memory, or if the answers are no probabilities, this is a
   :class:`ModelError` here and no more. A float model, which does not say which pixels it takes, is noticed.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fer_edge.errors import FerError, ModelError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from fer_edge.inference.classifier import Classifier

_READY: Final[bytes] = b"the runtime is there"
TRIAL_MEMORY_BYTES: Final[int] = 6 * 2**30
"""Address space, not resident memory: runtimes reserve much more than they use."""


_FAST_S: Final[float] = 0.25
"""For three faces: only where there is time for it, other pixels are tried."""
_DULL, _LIVELY = 0.02, 0.1
"""Largest standard deviation of a probability over different pictures: below, and above which it looks at them."""


def try_model(path: Path, backend: str, on_ready: Callable[[], None] = lambda: None) -> str | None:
    """Open the model on the runtime and run it on three synthetic faces, in this process.

    Args:
        path: the model file.
        backend: name of the backend.
        on_ready: called when the runtime is there, before the model is opened.

    Returns:
        What is worth knowing about a model that works, in one line; None where there is nothing.

    Raises:
        ModelError: it cannot be computed, or its answers are no probabilities.
    """
    import numpy as np

    from fer_edge.dependencies import import_runtime
    from fer_edge.inference.backends import backend_spec, load_backend
    from fer_edge.inference.tensors import check_probabilities

    open_model, runtime = load_backend(backend), backend_spec(backend).runtime_module
    if runtime is not None:  # whose import takes its time, which is not the model's
        with contextlib.suppress(ImportError):  # of which the backend tells better
            import_runtime(runtime)
    on_ready()
    classifier = open_model(path, threads=1)
    try:
        size = classifier.input_size
        ramp = np.linspace(0, 255, size * size).reshape(size, size).astype(np.uint8)
        faces = np.stack([np.full_like(ramp, 128), ramp, ramp.T ^ ((ramp % 2) * np.uint8(127))])
        began = time.monotonic()
        check_probabilities(path, classifier.predict(faces))
        return _other_pixels(path, classifier, faces, fast=time.monotonic() - began < _FAST_S)
    except FerError:
        raise
    except Exception as error:  # each runtime has exceptions of its own
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(f"{path} cannot be computed by {backend}: {reason}") from error
    finally:
        classifier.close()


def _other_pixels(path: Path, classifier: Classifier, faces: npt.NDArray[np.uint8], *, fast: bool) -> str | None:
    """What to say of a float model: its file does not tell which pixels it was trained on, as a quantised one does."""
    import numpy as np

    from fer_edge.inference.input_range import INPUT_RANGES, OURS, PIXELS
    from fer_edge.inference.tensors import to_layout

    if classifier.input_spec.is_quantized:
        return None
    fed = f"{path}: a float model does not say which pixels p it takes; it is fed {OURS.formula}"
    if not fast:
        return fed
    spread = {}
    for range_ in INPUT_RANGES:
        tensors = to_layout(range_.values().astype(np.float32)[faces], classifier.input_spec)
        answers = np.concatenate([classifier.infer(tensor[None]) for tensor in tensors])
        spread[range_] = float(answers.astype(np.float64).std(axis=0).max())
    # Of several that wake it, raw pixels: most often the network scales them itself, and subtracts a mean more rarely.
    awake = [range_ for range_ in spread if spread[range_] >= _LIVELY]
    best = max(awake, key=lambda range_: (range_ == PIXELS, spread[range_]), default=None)
    if spread[OURS] < _DULL and best is not None:
        fitting = f"fed {best.formula} ({best.ends[0]:.3g} to {best.ends[1]:.3g})"
        option = f"export the Keras model with fer-export --input-range {best.name}, or " if best.is_exported else ""
        return (
            f"{fed} and gives nearly the same answer to everything, but not when {fitting}: was it trained on that? "
            f"Then {option}convert it to INT8 TFLite, which says what it takes"
        )
    return fed


def main() -> int:
    """The child: ``python -m fer_edge.loading.trial BACKEND PATH``."""
    backend, path = sys.argv[1:3]
    _limit_memory()
    answer: dict[str, Any] = {"ok": True}
    try:
        answer["notice"] = try_model(Path(path), backend, _tell_ready)
    except FerError as error:
        answer = {"error": type(error).__name__, "message": str(error)}
    except MemoryError:
        answer = {"error": "ModelError", "message": f"{path} needs more memory than is available"}
    sys.stdout.write("\n" + json.dumps(answer) + "\n")
    sys.stdout.flush()
    os._exit(0)  # what a damaged model left behind must not be torn down


def _tell_ready() -> None:
    sys.stdout.write(f"\n{_READY.decode()}\n")
    sys.stdout.flush()


def _limit_memory() -> None:
    if sys.maxsize < 2**32:
        return
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    bound = TRIAL_MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(hard, TRIAL_MEMORY_BYTES)
    resource.setrlimit(resource.RLIMIT_AS, (bound, hard))


if __name__ == "__main__":
    sys.exit(main())
