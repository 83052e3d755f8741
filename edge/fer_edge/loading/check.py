"""Refuse a model file that is damaged or dangerous before a runtime opens it in this process."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from fer_edge import errors
from fer_edge.errors import FerError, ModelError
from fer_edge.files import sha256_of
from fer_edge.inference.backends import backend_spec
from fer_edge.loading.model_files import read_manifest
from fer_edge.loading.trial import _READY
from fer_edge.logs import LOG

if TYPE_CHECKING:
    import subprocess

__all__ = ["MAX_MODEL_BYTES", "START_SECONDS", "TRIAL_SECONDS", "check_file", "check_structure", "is_named_by_manifest"]

START_SECONDS: Final[float] = 60.0
"""A Raspberry Pi with a slow card needs some seconds to import a runtime."""
TRIAL_SECONDS: Final[float] = 5.0
"""From then on, for opening the model and running it once. Time in which other work had the processor is not counted.
"""
MAX_MODEL_BYTES: Final[int] = 1 << 30


def check_file(path: Path, backend: str) -> None:
    """Refuse a model file that is damaged or that a runtime cannot stand.

    Args:
        path: the model file.
        backend: name of the backend that is to run it.

    Raises:
        ModelError: it is refused.
    """
    if is_named_by_manifest(path):
        return
    check_structure(path)
    if not backend_spec(backend).owns_device:  # the backend tries an accelerator in a child process itself
        _try_in_child(path, backend)


def is_named_by_manifest(path: Path) -> bool:
    """Whether ``manifest.json`` beside the file holds its sha256.

    Args:
        path: the model file.

    Returns:
        False where there is no manifest, or it does not name the file.

    Raises:
        ModelError: the manifest holds another sha256 for it.
    """
    entry = read_manifest(path)
    expected = None if entry is None else entry.get("sha256")
    if expected is None:
        return False
    digest = sha256_of(path)
    if digest != expected:
        raise ModelError(
            f"{path} is not the file that {path.parent / 'manifest.json'} describes (sha256 {digest[:12]}..., expected "
            f"{str(expected)[:12]}...): damaged, or replaced; copy both files again, or take the manifest away"
        )
    return True


def check_structure(path: Path) -> None:
    """Refuse a file whose offsets, indices, shapes or sizes cannot be right.

    Args:
        path: the model file, ``.tflite`` or ``.onnx``; others are not looked into.

    Raises:
        ModelError: it is damaged, too large, or cannot be read.
    """
    if path.stat().st_size > MAX_MODEL_BYTES:
        raise ModelError(f"{path} has {path.stat().st_size} bytes; expected an emotion model below {MAX_MODEL_BYTES}")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from error
    try:
        if path.suffix == ".tflite":
            from fer_edge.loading.tflite_structure import check_tflite

            check_tflite(content)
        elif path.suffix == ".onnx":
            from fer_edge.loading.onnx_structure import check_onnx

            check_onnx(content)
    except ModelError as error:
        raise ModelError(f"{path} is damaged or no such model: {error}") from error


def _try_in_child(path: Path, backend: str) -> None:
    """Open the model and run it once in a process that may die."""
    if not sys.executable:  # embedded in another program
        return
    import subprocess  # late: files of the toolkit's own are not tried
    import tempfile

    home = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([home, *_python_path()])}
    command = [sys.executable, "-m", "fer_edge.loading.trial", backend, str(path.resolve())]
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as messages:
        try:
            child = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=messages)
        except OSError:
            return  # no other process can be started here; the runtime itself will tell
        with child:
            try:
                _wait(child, output)
            except TimeoutError as error:
                raise ModelError(f"{path}: the runtime {backend} {error}; it is damaged or not meant for it") from None
            finally:
                child.kill()
        printed, complaints = _content(output), _content(messages)
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
    if answer.get("notice"):
        LOG.warning(str(answer["notice"]))


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
            answer = json.loads(line)
        except ValueError:
            continue
        if isinstance(answer, dict) and ("error" in answer or "ok" in answer):
            return answer
    return None
