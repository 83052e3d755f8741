"""Model files are checked before a runtime sees them: a damaged one must end in a message, never in a crash.

Runtimes trust their files: a wrong offset, a stride of zero or an impossible shape in a ``.tflite`` or ``.onnx`` file
can kill the process that opens it. So, in this order:

1. A file that the ``manifest.json`` beside it names must have the sha256 written there, and is then trusted.
2. Any other is checked for structure (``tflite_structure.py``, ``onnx_structure.py``), and
3. then opened and run once by a short-lived child process (half a second). If that one crashes, takes more than
   :data:`TRIAL_SECONDS` or too much memory, this is a :class:`ModelError` here and no more.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Final

from fer_edge import errors
from fer_edge.errors import FerError, ModelError
from fer_edge.files import sha256_of
from fer_edge.models import read_manifest

START_SECONDS: Final[float] = 60.0
"""A Raspberry Pi with a slow card needs some seconds to import a runtime."""
TRIAL_SECONDS: Final[float] = 5.0
"""From then on, for opening the model and running it once. Time in which other work had the processor is not counted.
"""
_READY: Final[bytes] = b"the runtime is there"
_RUNTIMES: Final[dict[str, str]] = {
    "litert": "ai_edge_litert.interpreter",
    "tflite-runtime": "tflite_runtime.interpreter",
    "onnx": "onnxruntime",
}
"""What takes its time to import; the backends import it when they open a model."""
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
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as said:
        try:
            child = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=said)
        except OSError:
            return  # no other process can be started here; the runtime itself will tell
        with child:
            try:
                _wait(child, output)
            except TimeoutError as error:
                raise ModelError(f"{path}: the runtime {backend} {error}; it is damaged or not meant for it") from None
            finally:
                child.kill()
        printed, complaints = _content(output), _content(said)
    if child.returncode < 0:
        name = signal.Signals(-child.returncode).name
        raise ModelError(f"{path} makes the runtime {backend} crash ({name}); it is damaged or not meant for it")
    answer = _answer(printed)
    if answer is None:
        last = (complaints.decode(errors="replace").strip().splitlines() or ["no reason given"])[-1]
        raise ModelError(f"{path} cannot be run by {backend}: {last}")
    if "error" in answer:
        kind = getattr(errors, str(answer["error"]), FerError)
        raise kind(str(answer["message"]))


def _wait(child: subprocess.Popen[bytes], output: IO[bytes]) -> None:
    """Until the child ends. Raises TimeoutError, with what it did not do, when that takes too long."""
    began = time.monotonic()
    ready_at: float | None = None
    starved_before = 0.0
    pause = 0.002
    while child.poll() is None:
        time.sleep(pause)
        pause = min(0.02, 2.0 * pause)
        now = time.monotonic()
        if ready_at is None:
            if _READY in _content(output):
                ready_at, starved_before = now, _starved_s(child.pid)
            elif now - began > START_SECONDS:
                raise TimeoutError(f"did not start in {START_SECONDS:.0f} s")
        elif now - ready_at > TRIAL_SECONDS:
            starved = _starved_s(child.pid) - starved_before
            if now - ready_at > min(TRIAL_SECONDS + starved, START_SECONDS):
                raise TimeoutError(f"did not finish with it in {TRIAL_SECONDS:.0f} s")


def _starved_s(process: int) -> float:
    """How long a process has waited for a processor so far (Linux; elsewhere 0)."""
    try:
        return int(Path(f"/proc/{process}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


def _content(file: IO[bytes]) -> bytes:
    # Not by read(): the child writes where the position is that both share.
    return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0)


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


def try_model(path: Path, backend: str, on_ready: Callable[[], None] = lambda: None) -> None:
    """Open the model on the runtime and run it once on zeros, in this process; ``on_ready`` is called before."""
    import numpy as np

    from fer_edge.backends import load_backend
    from fer_edge.dependencies import import_runtime

    classifier_class = load_backend(backend)
    with contextlib.suppress(ImportError):  # of which the class tells better
        import_runtime(_RUNTIMES.get(backend, "json"))
    on_ready()
    classifier = classifier_class(path, threads=1)
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
        try_model(Path(path), backend, _tell_ready)
    except FerError as error:
        answer = {"error": type(error).__name__, "message": str(error)}
    except MemoryError:
        answer = {"error": "ModelError", "message": f"{path} needs more memory than there is for a model"}
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
