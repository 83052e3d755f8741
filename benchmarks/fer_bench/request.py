"""What to measure or to compare, and how: the options of ``fer-bench`` as typed values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["BenchRequest", "CompareRequest", "Destinations", "RobustnessRequest"]


@dataclass(frozen=True)
class BenchRequest:
    """What to measure, and how; the defaults are those of the command."""

    models: tuple[str, ...] = ()
    """Model files or bare names, each with ``@BACKEND`` or without; empty: the INT8 model of the package."""
    everything: bool = False
    """Also every known model file that is found, on every runtime that can be used here."""
    backend: str = "auto"
    """Runtime of models without ``@BACKEND``; ``auto`` goes by the suffix."""
    pythons: Mapping[str, str] = field(default_factory=dict)
    """``{backend: path of a Python interpreter}`` for runtimes that live in another environment."""
    threads: int = 1
    """CPU threads of one inference."""
    scaling: bool = False
    """Also the throughput at 1, 2, 4 ... threads."""
    seconds: float = 3.0
    """Timed seconds per model, over all processes."""
    processes: int = 3
    """Fresh processes per model."""
    seed: int = 0
    """For the order of turns and for synthetic faces."""
    accuracy: bool = True
    """Whether accuracy is measured, too."""
    data: Path | None = None
    """Data set for the accuracy: folder, zip or CSV; None: synthetic faces."""
    split: str = "validation"
    """Split of ``data``: ``train``, ``validation`` or ``test``."""
    limit: int | None = None
    """At most this many images, evenly spaced over the split; None: all."""
    profile: bool = False
    """Also the time of every operator of each model whose runtime allows it."""
    profile_detector: bool = False
    """Also the time of every operator of the face detector."""
    end_to_end: bool = False
    """Measure the whole camera pipeline on ``source`` instead of the models alone."""
    source: str | None = None
    """Video, image, folder or camera, as ``fer-camera --source`` takes it."""
    detector: str = "auto"
    """Face detector: a key of :func:`fer_edge.faces.detectors.detectors`, or ``auto``."""
    detector_model: str | None = None
    """The detector's file, where it has one."""
    cameras: int | None = None
    """Play the source as this many cameras at once, in one process and in as many; None: one pipeline."""
    rtsp: bool = False
    """Serve the cameras by RTSP on this machine instead of playing files."""
    motion: bool = True
    """Whether the motion test is on in the process with several cameras."""
    disturbances: tuple[str, ...] = ()
    """Ways in which one more camera misbehaves: keys of :data:`fer_bench.cameras.disturb.DISTURBANCES`."""
    baseline_python: str | None = None
    """Interpreter of the installation that runs a process for each camera; None: this one."""
    minutes: float | None = None
    """Run the pipeline for this long, and sample it (a soak); None: repeat the source in ``processes`` processes."""


@dataclass(frozen=True)
class Destinations:
    """Where a finished measurement goes, besides the terminal."""

    json: Path | None = None
    """File to write; in a folder it is named by the conditions. None: no file."""
    html: Path | None = None
    """Page to write. None: no page."""


@dataclass(frozen=True)
class CompareRequest:
    """Which two measurements to compare, and which differences are failures."""

    before: Path
    """JSON file of the reference."""
    after: Path
    """JSON file of the new measurement."""
    models: tuple[str, ...] = ()
    """Only models of these file names; empty: all."""
    by_ratio: bool = False
    """Compare times against the float model of the same file instead of milliseconds."""
    other_machine: bool = False
    """Whether the two may come from different machines."""
    fail_if_slower: float | None = None
    """Percent that a model may be slower by; None: no limit."""
    fail_if_less_accurate: float | None = None
    """Percentage points of accuracy that a model may lose; None: no limit."""
    json: Path | None = None
    """File to write the comparison to. None: no file."""


@dataclass(frozen=True)
class RobustnessRequest:
    """Which models to evaluate on which disturbed faces; the defaults are those of the command."""

    models: tuple[str, ...] = ()
    """Model files or bare names, each with ``@BACKEND`` or without; empty: the INT8 model of the package."""
    backend: str = "auto"
    """Runtime of models without ``@BACKEND``; ``auto`` goes by the suffix."""
    data: Path | None = None
    """Data set: folder, zip or CSV; None: synthetic faces."""
    split: str = "validation"
    """Split of ``data``: ``train``, ``validation`` or ``test``."""
    limit: int | None = None
    """At most this many images, evenly spaced over the split; None: all."""
    kinds: tuple[str, ...] = ()
    """Names of kinds; empty: all."""
    seed: int = 0
    """Of the disturbances, and of synthetic faces."""
    json: Path | None = None
    """Where the report goes as JSON."""
    markdown: Path | None = None
    """Where the table goes as Markdown."""
    picture: Path | None = None
    """Where the picture goes, as PNG."""
