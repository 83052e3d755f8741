"""The schema of a ``fer-bench`` JSON file, and a reader that rejects a malformed one in one line.

Every number says its unit in its key (``load_ms``, ``peak_rss_mib``) or in the key of the object around it
(``latency_ms.p50``); keys beginning ``n_`` are counts; ``accuracy``, ``agreement``, ``share`` and ``ratio`` keys are
fractions. None (JSON ``null``) means unknown or not measured, never zero.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar, Union

from fer_edge.errors import InputError
from fer_edge.files import write_text

SCHEMA: Final[str] = "fer-bench/1"
N_QUANTILES: Final[int] = 101
"""``latency_quantiles_ms`` holds the 0 %, 1 % ... 100 % quantiles."""

_T = TypeVar("_T")
Interval = list[float]
"""``[low, high]``, a 95 % confidence interval, in the unit of the key that holds it."""


@dataclass(frozen=True)
class Machine:
    """What was measured on. None: could not be read here, as in a virtual machine."""

    cpu_model: str
    cpu_features: list[str]
    """Those that decide how fast 8-bit networks run, for example ``avx512_vnni`` or ``asimddp``."""
    architecture: str
    n_cpus: int
    memory_mib: float | None
    board: str | None
    """As the device tree names it, for example ``Raspberry Pi 5 Model B Rev 1.0``."""
    virtual_machine: bool | None
    operating_system: str
    kernel: str
    python: str
    packages: dict[str, str]
    commit: str | None
    """Git commit of the toolkit, with ``+changes`` when the tracked files differ from it."""


@dataclass(frozen=True)
class Conditions:
    """The state of the machine around the measurement. None: could not be read here."""

    governor: str | None
    temperature_before_c: float | None
    temperature_after_c: float | None
    frequency_before_mhz: float | None
    frequency_after_mhz: float | None
    pi_throttled_before: str | None
    """The firmware's flags as hexadecimal text, for example ``0x50005``; bits 0 to 3 are now, 16 to 19 since boot."""
    pi_throttled_after: str | None
    n_throttle_events: int | None
    """Thermal throttling events that the CPUs counted during the measurement."""
    neighbours_cpus: float | None
    """CPUs that other processes kept busy, on average; 1.0 is one whole CPU."""
    busiest_neighbour: str | None
    stolen_percent: float | None
    """Time that the hypervisor gave to other machines, in percent of all CPU time."""


@dataclass(frozen=True)
class Settings:
    """How it was measured."""

    seconds_per_model: float
    n_processes: int
    """Fresh processes that each model was measured in, one after the other."""
    chunk_ms: float
    """A model runs for this long, then the next one has its turn."""
    n_discarded_runs_per_chunk: int
    threads: int
    interleaved: bool
    seed: int


@dataclass(frozen=True)
class LatencyMs:
    """Time of one inference (copy in, compute, copy out), in ms, over all timed runs."""

    min: float
    p50: float
    p90: float
    p99: float
    max: float


@dataclass(frozen=True)
class LatencyCi95Ms:
    """95 % confidence intervals, in ms, by a bootstrap over processes and rounds."""

    p50: Interval
    p90: Interval
    p99: Interval


@dataclass(frozen=True)
class Result:
    """One model on one runtime."""

    model: str
    """File name."""
    path: str
    sha256: str
    file_bytes: int
    backend: str
    runtime_version: str
    precision: str
    """dtype of the model's input: ``float32``, ``int8`` or ``uint8``."""
    input_size_px: int
    threads: int
    valid: bool
    invalid_reasons: list[str]
    latency_ms: LatencyMs
    latency_ci95_ms: LatencyCi95Ms
    latency_quantiles_ms: list[float]
    round_p50_ms: list[list[float]]
    """Median of each round, a list a process, in the order of time."""
    n_runs: int
    n_warmup_runs: int
    warmup_s: float
    share_of_cpu: float | None
    """CPU time over wall time while timed; below 1 at one thread the process did not always run."""
    throughput_fps: float
    """Inferences a second, one after the other, at ``threads`` threads: timed runs over timed seconds."""
    predict_p50_ms: float
    """Median of ``Classifier.predict`` on one face: conversion to the input, inference, dequantisation."""
    import_ms: float
    """Import of the runtime package."""
    load_ms: float
    """From the file's path to a ready interpreter; the file is in the page cache."""
    first_inference_ms: float
    start_to_first_result_ms: float
    """From starting the process to the first result, Python's own start included."""
    baseline_rss_mib: float | None
    """Resident memory of the process before the runtime is imported (Python, numpy, OpenCV)."""
    steady_rss_mib: float | None
    peak_rss_mib: float | None
    throughput_by_threads_fps: dict[str, float] = field(default_factory=dict)
    """Number of threads, as text, to inferences a second; empty unless it was asked for."""
    ratio_to_float: float | None = None
    """p50 over that of the float reference, round by round of turns; None unless ``ratio_valid``."""
    ratio_to_float_ci95: Interval | None = None
    ratio_valid: bool | None = None
    """Whether the ratio can be trusted; it can where ``valid`` is false for noise or drift alone, which hit both models
    alike. None without a reference, and in files of older versions, where it was as ``valid``."""
    ratio_invalid_reasons: list[str] = field(default_factory=list)
    ratio_to_best: float | None = None
    """p50 over that of the fastest; None unless every result is valid."""
    accuracy: float | None = None
    accuracy_ci95: Interval | None = None
    n_images: int | None = None
    split: str | None = None
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
    n_macs: int | None
    """Multiply-accumulates; 0 for operators that do not multiply matrices, None where they are not known."""
    time_us: float

    @property
    def rate_gmac_per_s(self) -> float | None:
        """Multiply-accumulates a nanosecond; None without any."""
        return self.n_macs / self.time_us / 1000 if self.n_macs and self.time_us else None


@dataclass(frozen=True)
class Profile:
    """Where the time of one model goes."""

    model: str
    backend: str
    threads: int
    method: str
    whole_us: float
    """Time of the whole model in the same run; the operators' sum differs by what the method adds or leaves out."""
    operators: list[OperatorProfile]
    valid: bool
    invalid_reasons: list[str]


@dataclass(frozen=True)
class AgeMs:
    """Time from capture to result, in ms."""

    p50: float
    p90: float
    p99: float


@dataclass(frozen=True)
class SoakSample:
    """The pipeline over a moment of a soak; times are means a frame."""

    t_s: float
    throughput_fps: float
    detect_ms: float
    classify_ms: float
    rss_mib: float | None
    temperature_c: float | None
    frequency_mhz: float | None


@dataclass(frozen=True)
class EndToEnd:
    """The whole pipeline (capture, detect, classify, track) with one model on one source."""

    model: str
    backend: str
    threads: int
    source: str
    detector: str
    n_frames: int
    n_faces: int
    throughput_fps: float
    """As fast as it goes, median of the repeats."""
    throughput_each_fps: list[float]
    stage_ms: dict[str, float]
    """Mean time a frame of each stage, waiting left out; the stages run side by side."""
    age_ms: AgeMs | None
    """At the source's own pace, as from a camera; None for a source without one."""
    n_dropped: int | None
    """Frames left out at the source's own pace, over all repeats."""
    first_result_ms: float
    """From starting the process to the first result."""
    peak_rss_mib: float | None
    valid: bool
    invalid_reasons: list[str]
    samples: list[SoakSample] = field(default_factory=list)
    """Of a soak; empty otherwise."""
    sha256: str | None = None
    """Of the model file; None in files of older versions."""


@dataclass(frozen=True)
class Report:
    """A whole JSON file."""

    schema: str
    created_utc: str
    command: list[str]
    machine: Machine
    conditions: Conditions
    settings: Settings
    results: list[Result]
    profiles: list[Profile] = field(default_factory=list)
    end_to_end: list[EndToEnd] = field(default_factory=list)

    def as_json(self) -> str:
        """The file's text."""
        return json.dumps(dataclasses.asdict(self), indent=1, allow_nan=False) + "\n"


def write_report(report: Report, path: str | os.PathLike[str]) -> None:
    """Check ``report`` as the reader will, then write it atomically."""
    text = report.as_json()
    parse_report(text, str(path))
    write_text(path, text)


def read_report(path: str | os.PathLike[str]) -> Report:
    """Read and check a JSON file.

    Raises :class:`InputError` in one line for a file that is missing, is not JSON, is of another schema, lacks a key,
    has a value of another type or one that cannot be (a negative time, p50 above p90, valid with reasons).
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise InputError(f"{path}: cannot be read: {reason}; expected a file written by fer-bench --json") from error
    return parse_report(text, str(path))


def parse_report(text: str, where: str) -> Report:
    """Check the text of a JSON file; ``where`` is how errors call it. Raises as :func:`read_report`."""
    try:
        content = json.loads(text, parse_constant=lambda name: name)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} is not JSON ({error}); expected a file written by fer-bench --json") from error
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        found = content.get("schema") if isinstance(content, dict) else type(content).__name__
        raise InputError(f'{where}: expected "schema": "{SCHEMA}", found {found!r}; written by fer-bench --json?')
    report = _read(Report, content, where, f"{where}: ")
    for index, result in enumerate(report.results):
        _check(result, f"{where}: results[{index}]")
    return report


def _read(kind: type[_T], value: Any, where: str, prefix: str) -> _T:
    """``value`` as the dataclass ``kind``. Keys that this version does not know are ignored: more is welcome.

    Errors call the value ``where``, and its keys ``prefix`` and their name.
    """
    if not isinstance(value, dict):
        raise InputError(f"{where}: expected an object, found {_brief(value)}")
    hints = typing.get_type_hints(kind)
    read: dict[str, Any] = {}
    for item in dataclasses.fields(kind):  # type: ignore[arg-type]
        at = prefix + item.name
        if item.name in value:
            read[item.name] = _value(hints[item.name], value[item.name], at)
        elif item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING:
            raise InputError(f"{at} is missing")
    return kind(**read)


def _value(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        inner = [argument for argument in arguments if argument is not type(None)]
        return None if value is None else _value(inner[0], value, where)
    if origin is list:
        if not isinstance(value, list):
            raise InputError(f"{where}: expected a list, found {_brief(value)}")
        return [_value(arguments[0], item, f"{where}[{index}]") for index, item in enumerate(value)]
    if origin is dict:
        if not isinstance(value, dict):
            raise InputError(f"{where}: expected an object, found {_brief(value)}")
        return {key: _value(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    if dataclasses.is_dataclass(hint):
        return _read(typing.cast("type[Any]", hint), value, where, f"{where}.")
    return _scalar(hint, value, where)


def _scalar(hint: type, value: Any, where: str) -> Any:
    # bool is an int to Python, not to us
    accepted = {float: (int, float), int: (int,), str: (str,), bool: (bool,)}[hint]
    if not isinstance(value, accepted) or (isinstance(value, bool) and hint is not bool):
        raise InputError(f"{where}: expected {hint.__name__}, found {_brief(value)}")
    if isinstance(value, (bool, str)):
        return value
    if not math.isfinite(value):
        raise InputError(f"{where}: expected a finite number, found {value}")
    if value < 0 and not where.endswith("_c"):  # only a temperature may be
        raise InputError(f"{where}: expected no negative number, found {value}")
    return hint(value)


def _brief(value: Any) -> str:
    text = json.dumps(value) if not isinstance(value, (dict, list)) else type(value).__name__
    return text if len(text) <= 60 else text[:57] + "..."


def _check(result: Result, where: str) -> None:
    """What types cannot say."""
    times = result.latency_ms
    if not 0 < times.min <= times.p50 <= times.p90 <= times.p99 <= times.max:
        raise InputError(f"{where}.latency_ms: expected 0 < min <= p50 <= p90 <= p99 <= max, found {times}")
    if result.valid == bool(result.invalid_reasons):
        raise InputError(f"{where}: valid is {result.valid}, but invalid_reasons is {result.invalid_reasons}")
    if len(result.latency_quantiles_ms) != N_QUANTILES or sorted(result.latency_quantiles_ms) != list(
        result.latency_quantiles_ms
    ):
        raise InputError(f"{where}.latency_quantiles_ms: expected {N_QUANTILES} rising numbers")
    if not result.round_p50_ms or not all(result.round_p50_ms):
        raise InputError(f"{where}.round_p50_ms: expected at least one round in each process")
    for key in ("accuracy", "agreement_with_reference"):
        fraction = getattr(result, key)
        if fraction is not None and fraction > 1:
            raise InputError(f"{where}.{key}: expected a fraction in [0, 1], found {fraction}")
    if result.accuracy is not None and (not result.n_images or not result.split):
        raise InputError(f"{where}: an accuracy needs n_images and split")
    intervals = (result.accuracy_ci95, result.ratio_to_float_ci95, *dataclasses.astuple(result.latency_ci95_ms))
    for interval in intervals:
        if interval is not None and (len(interval) != 2 or interval[0] > interval[1]):
            raise InputError(f"{where}: expected confidence intervals as [low, high], found {interval}")
    trusted = result.valid if result.ratio_valid is None else result.ratio_valid
    if (not trusted and result.ratio_to_float is not None) or (not result.valid and result.ratio_to_best is not None):
        raise InputError(f"{where}: an invalid measurement has no ratio")
    if result.ratio_valid is not None and result.ratio_valid == bool(result.ratio_invalid_reasons):
        raise InputError(
            f"{where}: ratio_valid is {result.ratio_valid}, but ratio_invalid_reasons is {result.ratio_invalid_reasons}"
        )
