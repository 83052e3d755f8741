"""What is measured of several cameras."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field

from fer_bench.schema import Conditions, Machine

__all__ = ["SCHEMA", "CamerasReport", "Run"]

SCHEMA: str = "fer-bench-cameras/1"


@dataclass(frozen=True)
class Run:
    """One way to watch the cameras, over all repeats."""

    name: str
    """``one process``, ``N processes``, or ``one process beside a camera that ...``."""
    results_per_s: list[float]
    """Of each camera: median of the repeats."""
    p99_ms: list[float]
    """Capture to result of each camera, 99th percentile of its latest 2,000 results: median of the repeats."""
    n_dropped: int
    """Frames left out for newer ones, over all cameras and repeats."""
    cpus: float
    """CPU seconds per second, of all processes together: median of the repeats."""
    cpus_each: list[float]
    """Of each repeat."""
    peak_mib: float
    """Highest resident memory, of all processes together, in MiB."""
    n_faces: int
    """Over all cameras and repeats."""


@dataclass(frozen=True)
class CamerasReport:
    """A measurement with several cameras."""

    n_cameras: int
    """How many are watched at once."""
    source: str
    """Name of the video that each of them plays."""
    served_by: str
    """``files`` that are played at their own pace, or ``RTSP`` servers on this machine."""
    seconds: float
    """Of each run, after its warm-up."""
    repeats: int
    """Runs of each kind, taking turns."""
    baseline: str
    """Version of the toolkit in the processes with one camera each."""
    runs: list[Run]
    """One process first."""
    machine: Machine
    """Where."""
    conditions: Conditions
    """State of the machine meanwhile."""
    invalid_reasons: list[str] = field(default_factory=list)
    """Why the figures are not to be relied on; empty where nothing speaks against them."""
    command: list[str] = field(default_factory=list)
    """The command line."""

    @property
    def cpu_ratio(self) -> float | None:
        """CPU time of one process over that of as many processes as cameras; None without the latter."""
        apart = [run for run in self.runs if run.name.endswith(" processes")]
        return self.runs[0].cpus / apart[0].cpus if apart and apart[0].cpus else None

    def as_json(self) -> str:
        """The report as JSON.

        Returns:
            An object with ``schema``, the fields, and ``cpu_ratio``.
        """
        content = {"schema": SCHEMA, **dataclasses.asdict(self), "cpu_ratio": self.cpu_ratio}
        return json.dumps(content, indent=1) + "\n"
