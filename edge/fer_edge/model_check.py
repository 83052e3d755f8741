"""Model files are checked before a runtime sees them: a damaged one must end in a message, never in a crash.

Runtimes trust their files: a wrong offset, a stride of zero or an impossible shape in a ``.tflite`` or ``.onnx`` file
can kill the process that opens it. So, in this order:

1. A file that the ``manifest.json`` beside it names must have the sha256 written there, and is then trusted.
2. Any other is checked for structure (``tflite_structure.py``, ``onnx_structure.py``), and
3. then opened and run once by a short-lived child process (half a second). If that one crashes, hangs or takes too much
   memory, this is a :class:`ModelError` here and no more.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from fer_edge import errors
from fer_edge.errors import FerError, ModelError
from fer_edge.files import sha256_of
from fer_edge.models import read_manifest

TRIAL_SECONDS: Final[float] = 60.0
"""A Raspberry Pi with a slow card needs some seconds to import a runtime."""
TRIAL_MEMORY_BYTES: Final[int] = 6 * 2**30
"""Address space, not resident memory: runtimes reserve much more than they use."""
MAX_MODEL_BYTES: Final[int] = 1 << 30


def check_model(path: Path, backend: str) -> None:
    """Raise :class:`ModelError` for a model file that is damaged or that the runtime ``backend`` cannot stand."""
    if is_named_by_manifest(path):
        return
    check_structure(path)
    if backend != "coral":  # which tries the accelerator in a child process itself, and owns it alone
        _try_in_child(path, backend)


def is_named_by_manifest(path: Path) -> bool:
    """Whether ``manifest.json`` beside the file holds its sha256.

    Raises :class:`ModelError` when it holds another one.
    """
    entry = read_manifest(path)
    expected = None if entry is None else entry.get("sha256")
    if expected is None:
        return False
    found = sha256_of(path)
    if found != expected:
        raise ModelError(
            f"{path} is not the file that {path.parent / 'manifest.json'} describes (sha256 {found[:12]}..., expected "
            f"{str(expected)[:12]}...): damaged, or replaced; copy both files again, or take the manifest away"
        )
    return True


def check_structure(path: Path) -> None:
    """Raise :class:`ModelError` for a file whose offsets, indices, shapes or sizes cannot be right."""
    if path.stat().st_size > MAX_MODEL_BYTES:
        raise ModelError(f"{path} has {path.stat().st_size} bytes; expected an emotion model below {MAX_MODEL_BYTES}")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from error
    try:
        if path.suffix == ".tflite":
            from fer_edge.tflite_structure import check_tflite

            check_tflite(content)
        elif path.suffix == ".onnx":
            from fer_edge.onnx_structure import check_onnx

            check_onnx(content)
    except ModelError as error:
        raise ModelError(f"{path} is damaged or no such model: {error}") from error


def _try_in_child(path: Path, backend: str) -> None:
    """Open the model and run it once in a process that may die."""
    if not sys.executable:  # embedded in another program
        return
    home = str(Path(__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([home, *_python_path()])}
    command = [sys.executable, "-m", "fer_edge.model_check", backend, str(path.resolve())]
    try:
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=TRIAL_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"{path}: the runtime {backend} did not finish with it in {TRIAL_SECONDS:.0f} s") from error
    except OSError:
        return  # no other process can be started here; the runtime itself will tell
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        raise ModelError(f"{path} makes the runtime {backend} crash ({name}); it is damaged or not meant for it")
    answer = _answer(done.stdout)
    if answer is None:
        last = (done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"])[-1]
        raise ModelError(f"{path} cannot be run by {backend}: {last}")
    if "error" in answer:
        kind = getattr(errors, str(answer["error"]), FerError)
        raise kind(str(answer["message"]))


def _python_path() -> list[str]:
    given = os.environ.get("PYTHONPATH")
    return [given] if given else []


def _answer(output: bytes) -> dict[str, Any] | None:
    """The JSON object on the last line; runtimes print, too."""
    for line in reversed(output.decode(errors="replace").splitlines()):
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict) and ("error" in found or "ok" in found):
            return found
    return None


def try_model(path: Path, backend: str) -> None:
    """Open the model on the runtime and run it once on zeros, in this process."""
    import numpy as np

    from fer_edge.backends import load_backend

    classifier = load_backend(backend)(path, threads=1)
    try:
        spec = classifier.input_spec
        classifier.infer(np.zeros(spec.shape, spec.dtype))
    except FerError:
        raise
    except Exception as error:  # each runtime has exceptions of its own
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(f"{path} cannot be computed by {backend}: {reason}") from error
    finally:
        classifier.close()


def main() -> int:
    """The child: ``python -m fer_edge.model_check BACKEND PATH``."""
    backend, path = sys.argv[1:3]
    _limit_memory()
    answer: dict[str, Any] = {"ok": True}
    try:
        try_model(Path(path), backend)
    except FerError as error:
        answer = {"error": type(error).__name__, "message": str(error)}
    except MemoryError:
        answer = {"error": "ModelError", "message": f"{path} needs more memory than there is for a model"}
    sys.stdout.write("\n" + json.dumps(answer) + "\n")
    sys.stdout.flush()
    os._exit(0)  # what a damaged model left behind must not be torn down


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
