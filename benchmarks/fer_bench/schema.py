"""The schema of a ``fer-bench`` JSON file, and a reader that rejects a malformed one in one line.

Every number says its unit in its key (``load_ms``, ``peak_rss_mib``) or in the key of the object around it
(``latency_ms.p50``); keys beginning ``n_`` are counts; ``accuracy``, ``agreement``, ``share`` and ``ratio`` keys are
fractions. None (JSON ``null``) means unknown or not measured, never zero.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Final

__all__ = [
    "N_QUANTILES",
    "SCHEMA",
    "AgeMs",
    "Bounds",
    "Conditions",
    "EndToEnd",
    "LatencyCi95Ms",
    "LatencyMs",
    "Machine",
    "OperatorProfile",
    "Profile",
    "Report",
    "Result",
    "Settings",
    "SoakSample",
]

SCHEMA: Final[str] = "fer-bench/1"
N_QUANTILES: Final[int] = 101
"""``latency_quantiles_ms`` holds the 0 %, 1 % ... 100 % quantiles."""

Bounds = list[float]
"""``[low, high]``, a 95 % confidence interval, in the unit of the key that holds it."""


@dataclass(frozen=True)
class Machine:
    """What was measured on. None: could not be read here, as in a virtual machine."""

    cpu_model: str
    """As the system names it."""
    cpu_features: list[str]
    """Those that decide how fast 8-bit networks run, for example ``avx512_vnni`` or ``asimddp``."""
    architecture: str
    """Such as ``x86_64`` or ``aarch64``."""
    n_cpus: int
    """CPUs that this process may use."""
    memory_mib: float | None
    """Installed memory, in MiB."""
    board: str | None
    """As the device tree names it, for example ``Raspberry Pi 5 Model B Rev 1.0``."""
    virtual_machine: bool | None
    """Whether a hypervisor shows itself."""
    operating_system: str
    """Name and version."""
    kernel: str
    """Its release."""
    python: str
    """Version of Python."""
    packages: dict[str, str]
    """``{package: version}`` of what takes part."""
    commit: str | None
    """Git commit of the toolkit, with ``+changes`` when the tracked files differ from it."""


@dataclass(frozen=True)
class Conditions:
    """The state of the machine around the measurement. None: could not be read here."""

    governor: str | None
    """CPU frequency governor, several joined by ``+``."""
    temperature_before_c: float | None
    """Highest temperature of the CPU at the beginning, in degrees Celsius."""
    temperature_after_c: float | None
    """The same at the end."""
    frequency_before_mhz: float | None
    """Highest frequency of any CPU at the beginning, in MHz."""
    frequency_after_mhz: float | None
    """The same at the end."""
    pi_throttled_before: str | None
    """The firmware's flags as hexadecimal text, for example ``0x50005``; bits 0 to 3 are now, 16 to 19 since boot."""
    pi_throttled_after: str | None
    """The same at the end."""
    n_throttle_events: int | None
    """Thermal throttling events that the CPUs counted during the measurement."""
    neighbours_cpus: float | None
    """CPUs that other processes kept busy, on average; 1.0 is one whole CPU."""
    busiest_neighbour: str | None
    """Name and load of the process that used most CPU time; None when none used 0.05 CPUs."""
    stolen_percent: float | None
    """Time that the hypervisor gave to other machines, in percent of all CPU time."""


@dataclass(frozen=True)
class Settings:
    """How it was measured."""

    seconds_per_model: float
    """Timed seconds per model, over all processes."""
    n_processes: int
    """Fresh processes that each model was measured in, one after the other."""
    chunk_ms: float
    """A model runs for this long, then the next one has its turn."""
    n_discarded_runs_per_chunk: int
    """Untimed runs at the beginning of each turn."""
    threads: int
    """CPU threads of one inference."""
    interleaved: bool
    """Whether the models took turns."""
    seed: int
    """Of the order of turns."""


@dataclass(frozen=True)
class LatencyMs:
    """Time of one inference (copy in, compute, copy out), in ms, over all timed runs."""

    min: float
    """The fastest run."""
    p50: float
    """The median."""
    p90: float
    """Nine of ten runs were as fast."""
    p99: float
    """Ninety-nine of a hundred runs were as fast."""
    max: float
    """The slowest run."""


@dataclass(frozen=True)
class LatencyCi95Ms:
    """95 % confidence intervals, in ms, by a bootstrap over processes and rounds."""

    p50: Bounds
    """Of the median."""
    p90: Bounds
    """Of the 90 % quantile."""
    p99: Bounds
    """Of the 99 % quantile."""


@dataclass(frozen=True)
class Result:
    """One model on one runtime."""

    model: str
    """File name."""
    path: str
    """Where the file was."""
    sha256: str
    """Of the file."""
    file_bytes: int
    """Size of the file."""
    backend: str
    """Name of the runtime."""
    runtime_version: str
    """Package and version of the runtime."""
    precision: str
    """dtype of the model's input: ``float32``, ``int8`` or ``uint8``."""
    input_size_px: int
    """Side of the model's square input."""
    threads: int
    """CPU threads of one inference."""
    valid: bool
    """Whether the times can be relied on."""
    invalid_reasons: list[str]
    """Why not; empty when ``valid``."""
    latency_ms: LatencyMs
    """Time of one inference."""
    latency_ci95_ms: LatencyCi95Ms
    """How sure its quantiles are."""
    latency_quantiles_ms: list[float]
    """The 0 %, 1 % ... 100 % quantiles."""
    round_p50_ms: list[list[float]]
    """Median of each round, a list per process, in the order of time."""
    n_runs: int
    """Timed runs."""
    n_warmup_runs: int
    """Runs before the timing."""
    warmup_s: float
    """Seconds that they took."""
    share_of_cpu: float | None
    """CPU time over wall time while timed; below 1 at one thread the process did not always run."""
    throughput_fps: float
    """Inferences per second, one after the other, at ``threads`` threads: timed runs over timed seconds."""
    predict_p50_ms: float
    """Median of ``Classifier.predict`` on one face: conversion to the input, inference, dequantisation."""
    import_ms: float
    """Import of the runtime package."""
    load_ms: float
    """From the file's path to a ready interpreter; the file is in the page cache."""
    first_inference_ms: float
    """The first inference, in which runtimes lay out memory."""
    start_to_first_result_ms: float
    """From starting the process to the first result, Python's own start included."""
    baseline_rss_mib: float | None
    """Resident memory of the process before the runtime is imported (Python, numpy, OpenCV)."""
    steady_rss_mib: float | None
    """Resident memory at the end."""
    peak_rss_mib: float | None
    """Highest resident memory."""
    throughput_by_threads_fps: dict[str, float] = field(default_factory=dict)
    """Number of threads, as text, to inferences per second; empty unless it was asked for."""
    ratio_to_float: float | None = None
    """p50 over that of the float reference, round by round of turns; None unless ``ratio_valid``."""
    ratio_to_float_ci95: Bounds | None = None
    """95 % interval of ``ratio_to_float``."""
    ratio_valid: bool | None = None
    """Whether the ratio can be trusted; it can where ``valid`` is false for noise or drift alone, which hit both models
    alike. None without a reference, and in files of older versions, where it was as ``valid``."""
    ratio_invalid_reasons: list[str] = field(default_factory=list)
    """Why the ratio cannot be trusted; empty when ``ratio_valid``."""
    ratio_to_best: float | None = None
    """p50 over that of the fastest; None unless every result is valid."""
    accuracy: float | None = None
    """Fraction of ``n_images`` decided as labelled; None where it was not measured."""
    accuracy_ci95: Bounds | None = None
    """95 % interval of ``accuracy`` (Wilson)."""
    n_images: int | None = None
    """How many images ``accuracy`` is of."""
    split: str | None = None
    """Which split they are; ``synthetic`` for synthetic faces."""
    agreement_with_reference: float | None = None
    """Fraction of the split's images on which the model decides as the float reference does."""
    reference: str | None = None
    """Which result ratios and agreement refer to, as ``model on backend``."""

    @property
    def name(self) -> str:
        """``model on backend``, with the threads when there are several."""
        threads = f", {self.threads} threads" if self.threads != 1 else ""
        return f"{self.model} on {self.backend}{threads}"


@dataclass(frozen=True)
class OperatorProfile:
    """One operator of a model, in the order of computation."""

    operator: str
    """As the runtime calls it, after its own fusions."""
    output_shape: list[int]
    """Of the first output, batch axis included."""
    n_macs: int | None
    """Multiply-accumulates; 0 for operators that do not multiply matrices, None where they are not known."""
    time_us: float
    """Time of one run."""

    @property
    def rate_gmac_per_s(self) -> float | None:
        """Multiply-accumulates per nanosecond; None without any."""
        return self.n_macs / self.time_us / 1000 if self.n_macs and self.time_us else None


@dataclass(frozen=True)
class Profile:
    """Where the time of one model goes."""

    model: str
    """File name, or the name of a face detector."""
    backend: str
    """Name of the runtime."""
    threads: int
    """CPU threads of one inference."""
    method: str
    """How the operators were timed, in words."""
    whole_us: float
    """Time of the whole model in the same run; the operators' sum differs by what the method adds or leaves out."""
    operators: list[OperatorProfile]
    """In the order of computation."""
    valid: bool
    """Whether the times can be relied on."""
    invalid_reasons: list[str]
    """Why not; empty when ``valid``."""


@dataclass(frozen=True)
class AgeMs:
    """Time from capture to result, in ms."""

    p50: float
    """The median."""
    p90: float
    """Nine of ten frames were as young."""
    p99: float
    """Ninety-nine of a hundred frames were as young."""


@dataclass(frozen=True)
class SoakSample:
    """The pipeline over a moment of a soak; times are means per frame."""

    t_s: float
    """Seconds since the first result."""
    throughput_fps: float
    """Frames per second since the sample before."""
    detect_ms: float
    """Face detection."""
    classify_ms: float
    """Classification of all faces of the frame."""
    rss_mib: float | None
    """Resident memory; None where it cannot be read."""
    temperature_c: float | None
    """Highest temperature of the CPU, in degrees Celsius; None where it cannot be read."""
    frequency_mhz: float | None
    """Highest frequency of any CPU; None where it cannot be read."""


@dataclass(frozen=True)
class EndToEnd:
    """The whole pipeline (capture, detect, classify, track) with one model on one source."""

    model: str
    """File name of the classifier."""
    backend: str
    """Name of its runtime."""
    threads: int
    """CPU threads of one inference."""
    source: str
    """Name of the video, image, folder or camera."""
    detector: str
    """Name of the face detector."""
    n_frames: int
    """Frames over all repeats."""
    n_faces: int
    """Faces found in them."""
    throughput_fps: float
    """As fast as it goes, median of the repeats."""
    throughput_each_fps: list[float]
    """Of each repeat."""
    stage_ms: dict[str, float]
    """Mean time per frame of each stage, waiting left out; the stages run side by side."""
    age_ms: AgeMs | None
    """At the source's own pace, as from a camera; None for a source without one."""
    n_dropped: int | None
    """Frames left out at the source's own pace, over all repeats."""
    first_result_ms: float
    """From starting the process to the first result."""
    peak_rss_mib: float | None
    """Highest resident memory of any repeat."""
    valid: bool
    """Whether the times can be relied on."""
    invalid_reasons: list[str]
    """Why not; empty when ``valid``."""
    samples: list[SoakSample] = field(default_factory=list)
    """Of a soak; empty otherwise."""
    sha256: str | None = None
    """Of the model file; None in files of older versions."""
    detector_engine: str | None = None
    """What computed the face detector, such as ``litert`` or ``opencv``; None for one without a choice (Haar), and in
    files of older versions."""

    @property
    def faces_by(self) -> str:
        """The detector and its engine, in words."""
        return f"{self.detector} ({self.detector_engine})" if self.detector_engine else self.detector


@dataclass(frozen=True)
class Report:
    """A whole JSON file."""

    schema: str
    """Name and version of the format: :data:`SCHEMA`."""
    created_utc: str
    """When the measurement began, ISO 8601."""
    command: list[str]
    """The command line, one string; empty where it was no command."""
    machine: Machine
    """What was measured on."""
    conditions: Conditions
    """The state it was in."""
    settings: Settings
    """How it was measured."""
    results: list[Result]
    """One per model on a runtime; empty for the whole pipeline."""
    profiles: list[Profile] = field(default_factory=list)
    """Where the time of each model goes, where that was asked for."""
    end_to_end: list[EndToEnd] = field(default_factory=list)
    """The whole pipeline, where that was asked for."""

    def as_json(self) -> str:
        """The file's text.

        Returns:
            JSON, indented, with a newline at the end.
        """
        return json.dumps(dataclasses.asdict(self), indent=1, allow_nan=False) + "\n"
