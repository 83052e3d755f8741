"""The process that runs the whole camera pipeline once and reports on it, one JSON object per line.

Started as ``python -m fer_bench.measure.pipeline_process OPTIONS`` by ``fer_bench.measure.end_to_end``; OPTIONS is a
JSON object. Lines of kind ``sample`` come while it runs, one of kind ``done`` at the end, or one of kind ``error``.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from typing import Any

from fer_bench.measure.machine import read_frequency_mhz, read_temperature_c
from fer_bench.measure.worker_process import peak_mib, resident_mib

__all__ = ["main", "run"]

_KEPT_AGES = 1_000_000


def main() -> int:
    """Run the pipeline that the options describe.

    Returns:
        The exit code.
    """
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # runtimes print to stdout
    from fer_edge.errors import FerError

    def send(kind: str, content: dict[str, Any]) -> None:
        answers.write(json.dumps({"kind": kind, **content}) + "\n")
        answers.flush()

    try:
        send("done", run(json.loads(sys.argv[1]), lambda sample: send("sample", sample)))
    except FerError as error:
        send("error", {"error": type(error).__name__, "message": str(error)})
    return 0


def run(options: dict[str, Any], on_sample: Any) -> dict[str, Any]:
    """One pass over the source, or ``seconds`` of it.

    Args:
        options: ``model``, ``backend``, ``threads``, ``source``, ``detector``, ``detector_model``, ``realtime``,
            ``loop``, ``seconds`` (None: to the end), ``sample_s`` (None: no samples), ``started_ns``.
        on_sample: gets a sample (the keys of :class:`fer_bench.schema.SoakSample`) now and then.

    Returns:
        The figures.

    Raises:
        UsageError: a live source without ``seconds``.
        FerError: the source, the model or the detector cannot be used.
    """
    from fer_edge.capture.frames import CaptureOptions
    from fer_edge.capture.open import open_source
    from fer_edge.errors import UsageError
    from fer_edge.faces.detectors import open_detector
    from fer_edge.loading.open import open_classifier
    from fer_edge.pipeline import FacePipeline

    source = open_source(options["source"], CaptureOptions(realtime=options["realtime"], loop=options["loop"]))
    if options["seconds"] is None and source.live and not options["realtime"]:
        raise UsageError(f"{source.description} never ends; set the duration with --minutes")
    classifier = open_classifier(options["model"], backend=options["backend"], threads=options["threads"])
    detector = open_detector(options["detector"], options["detector_model"])
    pipeline = FacePipeline(source, classifier, detector)
    stats = pipeline.stats
    ages: list[float] = []
    first_ms = math.nan
    last = _state(stats, 0.0)
    for result in pipeline:
        now = time.monotonic()
        if not ages:
            first_ms = (time.monotonic_ns() - options["started_ns"]) / 1e6
            began = now
        if len(ages) < _KEPT_AGES:
            ages.append(result.age_s)
        elapsed = now - began
        if options["sample_s"] is not None and elapsed - last["t_s"] >= options["sample_s"]:
            state = _state(stats, elapsed)
            on_sample(_sample(last, state))
            last = state
        if options["seconds"] is not None and elapsed >= options["seconds"]:
            pipeline.request_stop()
    return {
        "detector_engine": getattr(detector, "engine", None),
        "detector": type(detector).__name__.removesuffix("Detector").lower(),
        "n_frames": stats.frames,
        "n_faces": stats.faces,
        "n_dropped": stats.dropped,
        "elapsed_s": stats.elapsed_s,
        "busy_s": dict(stats.busy_s),
        "ages_s": ages,
        "first_result_ms": None if math.isnan(first_ms) else first_ms,
        "peak_rss_mib": peak_mib(),
    }


def _state(stats: Any, t_s: float) -> dict[str, Any]:
    return {"t_s": t_s, "frames": stats.frames, "busy_s": dict(stats.busy_s)}


def _sample(last: dict[str, Any], state: dict[str, Any]) -> dict[str, Any]:
    frames = max(1, state["frames"] - last["frames"])
    return {
        "t_s": state["t_s"],
        "throughput_fps": frames / (state["t_s"] - last["t_s"]),
        "detect_ms": 1000 * (state["busy_s"]["detect"] - last["busy_s"]["detect"]) / frames,
        "classify_ms": 1000 * (state["busy_s"]["classify"] - last["busy_s"]["classify"]) / frames,
        "rss_mib": resident_mib(),
        "temperature_c": read_temperature_c(),
        "frequency_mhz": read_frequency_mhz(),
    }


if __name__ == "__main__":
    sys.exit(main())
