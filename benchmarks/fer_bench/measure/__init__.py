"""Measure: latency, memory, accuracy, each model in a process of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fer_edge.lazy import lazy_names

if TYPE_CHECKING:
    from fer_bench.measure.accuracy import evaluate_contenders, load_faces
    from fer_bench.measure.choose_models import choose_contenders
    from fer_bench.measure.detector_profile import DetectorNetwork, detector_network, profile_detector
    from fer_bench.measure.end_to_end import Scene, measure_end_to_end
    from fer_bench.measure.latency import Series, time_contenders
    from fer_bench.measure.machine import read_machine
    from fer_bench.measure.measurement import contenders_of, measure_models, verify_contenders
    from fer_bench.measure.operator_profile import profile_model
    from fer_bench.measure.validity import Recorder, machine_reasons
    from fer_bench.measure.worker_client import Contender, Remote

__all__ = [
    "Contender",
    "DetectorNetwork",
    "Recorder",
    "Remote",
    "Scene",
    "Series",
    "choose_contenders",
    "contenders_of",
    "detector_network",
    "evaluate_contenders",
    "load_faces",
    "machine_reasons",
    "measure_end_to_end",
    "measure_models",
    "profile_detector",
    "profile_model",
    "read_machine",
    "time_contenders",
    "verify_contenders",
]

_HOMES: Final[dict[str, str]] = {
    "evaluate_contenders": "fer_bench.measure.accuracy",
    "load_faces": "fer_bench.measure.accuracy",
    "choose_contenders": "fer_bench.measure.choose_models",
    "DetectorNetwork": "fer_bench.measure.detector_profile",
    "detector_network": "fer_bench.measure.detector_profile",
    "profile_detector": "fer_bench.measure.detector_profile",
    "Scene": "fer_bench.measure.end_to_end",
    "measure_end_to_end": "fer_bench.measure.end_to_end",
    "Series": "fer_bench.measure.latency",
    "time_contenders": "fer_bench.measure.latency",
    "read_machine": "fer_bench.measure.machine",
    "contenders_of": "fer_bench.measure.measurement",
    "measure_models": "fer_bench.measure.measurement",
    "verify_contenders": "fer_bench.measure.measurement",
    "profile_model": "fer_bench.measure.operator_profile",
    "Recorder": "fer_bench.measure.validity",
    "machine_reasons": "fer_bench.measure.validity",
    "Contender": "fer_bench.measure.worker_client",
    "Remote": "fer_bench.measure.worker_client",
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
