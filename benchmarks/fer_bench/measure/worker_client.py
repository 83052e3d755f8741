"""The other end of ``fer_bench.measure.worker_process``: start a measuring process, ask it, and notice when it dies."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

import fer_edge
from fer_bench.log import LOG
from fer_bench.progress import OnFraction, silent
from fer_edge import errors
from fer_edge.arrays import FloatArray
from fer_edge.labels import NUM_EMOTIONS

__all__ = ["Contender", "Opened", "Remote", "Turn", "opened_remotes"]


@dataclass(frozen=True)
class Contender:
    """What to measure: a model file on a runtime, with a number of threads, by a Python interpreter."""

    path: Path
    """The model file."""
    backend: str
    """Name of the runtime."""
    threads: int = 1
    """CPU threads of one inference."""
    python: str = sys.executable
    """Another environment's interpreter for a runtime that cannot live in ours, such as tflite-runtime."""

    @property
    def name(self) -> str:
        """``model on backend``."""
        return f"{self.path.name} on {self.backend}"


@dataclass(frozen=True)
class Opened:
    """What a measuring process says of itself once its model has given its first result."""

    backend: str
    """Name of the runtime."""
    runtime_version: str
    """Package and version of the runtime."""
    precision: str
    """dtype of the model's input: ``float32``, ``int8`` or ``uint8``."""
    input_size_px: int
    """Side of the model's square input, in pixels."""
    import_ms: float
    """Import of the runtime package, in ms."""
    load_ms: float
    """From the file's path to a ready interpreter, in ms."""
    first_inference_ms: float
    """In ms."""
    start_to_first_result_ms: float
    """From starting the process to the first result, in ms."""
    baseline_rss_mib: float | None
    """Resident memory before the runtime is imported, in MiB; None where it is not known."""


@dataclass(frozen=True)
class Turn:
    """Timings of one turn of a model."""

    samples_ms: npt.NDArray[np.float64]
    """Time of each run, ``(n,)`` float64, in ms."""
    wall_s: float
    """Of all of them together, in seconds."""
    cpu_s: float
    """CPU time of the same runs, in seconds."""


class Remote:
    """A model open in a process of its own. Also a predictor for ``fer_train.evaluation.evaluate``.

    Args:
        contender: the model on its runtime.

    Raises:
        UsageError: the interpreter cannot be started.
        FerError: the model cannot be used, or the process ended early.
    """

    def __init__(self, contender: Contender) -> None:
        self.contender = contender
        self._folder = tempfile.TemporaryDirectory(prefix="fer-bench-")
        folder = Path(self._folder.name)
        # Links instead of our site-packages on the path: another interpreter must not see our numpy.
        for home in (Path(fer_edge.__file__).parent, Path(__file__).parents[1]):
            (folder / home.name).symlink_to(home, target_is_directory=True)
        self._log = (folder / "stderr").open("w+b")
        command = [
            contender.python,
            "-m",
            "fer_bench.measure.worker_process",
            contender.backend,
            str(contender.path.resolve()),
        ]
        command += [str(contender.threads), str(time.monotonic_ns())]
        # SAFEPATH: a stray queue.py in the current folder must not stand in for the standard library
        LOG.debug("starting %s", " ".join(command))
        environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONSAFEPATH": "1"}
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, env=environment
            )
        except OSError as error:
            self._log.close()
            self._folder.cleanup()
            raise errors.UsageError(f"{contender.python} cannot be started ({error.strerror})") from error
        try:
            self.opened = Opened(**self._receive())
            LOG.debug("process %d: %s", self.pid, self.opened)
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def input_size(self) -> int:
        """Side of the model's square input in pixels."""
        return self.opened.input_size_px

    def time(self, what: str, seconds: float, min_runs: int, discard: int) -> Turn:
        """Run the model for a while and time each run.

        Args:
            what: ``infer`` (the bare network) or ``predict`` (from a face to probabilities).
            seconds: for how long.
            min_runs: fewest runs.
            discard: untimed runs before.

        Returns:
            The timings.

        Raises:
            FerError: the process ended early.
        """
        answer = self._ask({"op": "time", "what": what, "seconds": seconds, "min_runs": min_runs, "discard": discard})
        samples = np.asarray(answer["samples_ns"], np.float64) / 1e6
        return Turn(samples, answer["wall_ns"] / 1e9, answer["cpu_ns"] / 1e9)

    def memory(self) -> tuple[float | None, float | None]:
        """Resident memory now and at its peak.

        Returns:
            Both in MiB; None where they are not known.
        """
        answer = self._ask({"op": "memory"})
        return answer["steady_rss_mib"], answer["peak_rss_mib"]

    def profile(self, seconds: float) -> dict[str, Any]:
        """Time and work of each operator.

        Args:
            seconds: to spend on it.

        Returns:
            As :func:`fer_bench.measure.operator_profile.profile_model`.

        Raises:
            InputError: the backend cannot be profiled.
        """
        return self._ask({"op": "profile", "seconds": seconds})

    def predict(self, faces: npt.NDArray[np.uint8]) -> FloatArray:
        """What the model answers.

        Args:
            faces: ``(N, S, S)`` uint8, grey.

        Returns:
            Probabilities ``(N, 7)`` float32.

        Raises:
            FerError: the process ended early.
        """
        answer = self._ask({"op": "predict", "shape": list(faces.shape)}, np.ascontiguousarray(faces).tobytes())
        return np.asarray(answer["probabilities"], np.float32).reshape(len(faces), NUM_EMOTIONS)

    def close(self) -> None:
        """End the process and wait for it."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream:
                with contextlib.suppress(OSError):  # its end of the pipe is gone already
                    stream.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()
        self._folder.cleanup()

    def __enter__(self) -> Remote:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, request: dict[str, Any], payload: bytes = b"") -> dict[str, Any]:
        stdin = self._process.stdin
        assert stdin is not None
        with contextlib.suppress(BrokenPipeError):  # the missing answer tells why
            stdin.write(json.dumps(request).encode() + b"\n" + payload)
            stdin.flush()
        return self._receive()

    def _receive(self) -> dict[str, Any]:
        stdout = self._process.stdout
        assert stdout is not None
        line = stdout.readline()
        if not line:
            raise errors.FerError(self._death())
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            kind = getattr(errors, answer["error"], errors.FerError)
            raise kind(answer["message"])
        return answer

    def _death(self) -> str:
        code = self._process.wait()
        with contextlib.suppress(ValueError):
            if code < 0:
                return f"the measuring process of {self.contender.path.name} was ended by {signal.Signals(-code).name}"
        self._log.seek(0)
        last = self._log.read().decode(errors="replace").strip().splitlines()[-1:]
        reason = f": {last[0]}" if last else ""
        return f"the measuring process of {self.contender.name} exited early{reason}"


@contextlib.contextmanager
def opened_remotes(contenders: list[Contender], on_progress: OnFraction = silent) -> Iterator[list[Remote]]:
    """Start a process for each contender, one after the other, and end them all afterwards.

    Args:
        contenders: models on their runtimes.
        on_progress: gets the fraction started and what is being started.

    Yields:
        The processes, in the order of ``contenders``.

    Raises:
        FerError: one of them cannot be started.
    """
    with contextlib.ExitStack() as stack:
        remotes = []
        for index, contender in enumerate(contenders):
            on_progress(index / len(contenders), f"starting {contender.name}")
            remotes.append(stack.enter_context(Remote(contender)))
        yield remotes
