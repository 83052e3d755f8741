"""The measuring process: one model on one runtime, alone, so that its memory is its own.

Started as ``python -m fer_bench.measure.worker_process BACKEND MODEL THREADS STARTED_NS`` by
``fer_bench.measure.worker_client`` and, through ``PYTHONPATH``, also by the interpreter of another
environment (tflite-runtime needs one of its own), so it imports ``fer_edge`` and numpy only.

It takes one JSON object per line on stdin and answers one per line on stdout; images follow as raw bytes.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Final

__all__ = ["N_FACES", "Session", "main", "peak_mib", "resident_mib"]

N_FACES: Final[int] = 8
"""Different inputs, taken in turn; a network's time should not depend on them, but one image in cache could flatter."""


def resident_mib() -> float | None:
    """Resident memory of this process now.

    Returns:
        In MiB; None where it cannot be read.
    """
    return _status_mib("VmRSS")


def peak_mib() -> float | None:
    """Highest resident memory of this process so far.

    From ``/proc/self/status``: on Linux ``getrusage`` also counts what the parent had before ``exec``.

    Returns:
        In MiB; None where it cannot be read.
    """
    peak_mib = _status_mib("VmHWM")
    if peak_mib is None and sys.platform == "darwin":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return peak_mib


def _status_mib(key: str) -> float | None:
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(key + ":")), None)


class Session:
    """An open model and the operations on it, by the name in the request.

    Args:
        backend: name of the runtime.
        model: path of the model file.
        threads: CPU threads of one inference.
        started_ns: ``time.monotonic_ns()`` when the process was started.

    Raises:
        FerError: the model cannot be used.
    """

    def __init__(self, backend: str, model: str, threads: int, started_ns: int) -> None:
        import numpy as np

        from fer_bench.measure.runtimes import load_runtime, runtime_spec
        from fer_edge.dependencies import import_runtime
        from fer_edge.inference.tensors import check_probabilities, dequantize, to_model_input

        self.threads = threads
        baseline = resident_mib()
        spec = runtime_spec(backend)
        before = time.perf_counter_ns()
        if spec.runtime_module is not None:
            with contextlib.suppress(ImportError):  # the backend says it better
                import_runtime(spec.runtime_module)
        imported = time.perf_counter_ns()
        self.classifier = load_runtime(spec.name)(Path(model), threads=threads)
        loaded = time.perf_counter_ns()
        size = self.classifier.input_size
        # Smooth, face-like brightness rather than white noise, and never denormal numbers
        coarse = np.random.default_rng(0).integers(0, 256, (N_FACES, 8, 8), dtype=np.uint8)
        steps = (np.arange(size) * 8) // size
        self.faces = np.ascontiguousarray(coarse[:, steps][:, :, steps])
        self.tensors = [to_model_input(self.faces[i : i + 1], self.classifier.input_spec) for i in range(N_FACES)]
        prepared = time.perf_counter_ns()
        answer = self.classifier.infer(self.tensors[0])
        first = time.perf_counter_ns()
        check_probabilities(Path(model), dequantize(answer, self.classifier.output_spec))
        self.opened = {
            "backend": self.classifier.backend,
            "runtime_version": self.classifier.runtime_version,
            "precision": str(self.classifier.input_spec.dtype),
            "input_size_px": size,
            "import_ms": (imported - before) / 1e6,
            "load_ms": (loaded - imported) / 1e6,
            "first_inference_ms": (first - prepared) / 1e6,
            "start_to_first_result_ms": (time.monotonic_ns() - started_ns) / 1e6,
            "baseline_rss_mib": baseline,
        }

    def answer(self, request: dict[str, Any], stdin: BinaryIO) -> dict[str, Any]:
        """The answer to one request.

        Args:
            request: ``op`` is ``time``, ``predict``, ``profile`` or ``memory``; the rest are its arguments.
            stdin: where images follow.

        Returns:
            What is sent back as JSON.
        """
        if request["op"] == "time":
            return self.timed(request["what"], request["seconds"], request["min_runs"], request["discard"])
        if request["op"] == "predict":
            return self.predict(request["shape"], stdin)
        if request["op"] == "profile":
            from fer_bench.measure.operator_profile import profile_model

            path, backend = self.classifier.model_path, self.classifier.backend
            return profile_model(path, backend, self.threads, request["seconds"])
        if request["op"] == "memory":
            return {"steady_rss_mib": resident_mib(), "peak_rss_mib": peak_mib()}
        raise ValueError(f"unknown operation {request['op']}")

    def timed(self, what: str, seconds: float, min_runs: int, discard: int) -> dict[str, Any]:
        """Run for a while and time each run.

        The untimed runs bring the model back into the caches after another had its turn.

        Args:
            what: ``infer`` or ``predict``.
            seconds: for how long.
            min_runs: fewest runs.
            discard: untimed runs before.

        Returns:
            ``samples_ns`` (a list), ``wall_ns`` and ``cpu_ns``.
        """
        call: Callable[[Any], Any] = self.classifier.infer if what == "infer" else self.classifier.predict
        inputs = self.tensors if what == "infer" else [self.faces[i : i + 1] for i in range(N_FACES)]
        samples: list[int] = []
        clock = time.perf_counter_ns
        gc.collect()
        gc.disable()
        try:
            for i in range(discard):
                call(inputs[i % N_FACES])
            cpu_before, begin = time.process_time_ns(), clock()
            deadline = begin + int(seconds * 1e9)
            i = 0
            while True:
                tensor = inputs[i % N_FACES]
                before = clock()
                call(tensor)
                after = clock()
                samples.append(after - before)
                i += 1
                if after >= deadline and i >= min_runs:
                    break
            wall, cpu = clock() - begin, time.process_time_ns() - cpu_before
        finally:
            gc.enable()
        return {"samples_ns": samples, "wall_ns": wall, "cpu_ns": cpu}

    def predict(self, shape: list[int], stdin: BinaryIO) -> dict[str, Any]:
        """Probabilities of the faces that follow on ``stdin``.

        Args:
            shape: of the faces, ``[N, S, S]``.
            stdin: where their bytes (uint8) follow.

        Returns:
            ``probabilities``, N lists of seven.
        """
        import numpy as np

        size = shape[0] * shape[1] * shape[2]
        faces = np.frombuffer(stdin.read(size), np.uint8).reshape(shape)
        return {"probabilities": self.classifier.predict(faces).tolist()}


def main() -> int:
    """Serve requests until stdin closes.

    Returns:
        The exit code.
    """
    # Runtimes print to stdout ("INFO: Created TensorFlow Lite XNNPACK delegate"); keep it for our answers alone.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    stdin = sys.stdin.buffer
    backend, model, threads, started_ns = sys.argv[1:5]

    def send(answer: dict[str, Any]) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    from fer_edge.errors import FerError

    try:
        session = Session(backend, model, int(threads), int(started_ns))
        send(session.opened)
        while line := stdin.readline():
            send(session.answer(json.loads(line), stdin))
    except FerError as error:
        send({"error": type(error).__name__, "message": str(error)})
    return 0


if __name__ == "__main__":
    sys.exit(main())
