"""How the running pipeline fares, in plain numbers: for the web page, MQTT, Prometheus and the service manager."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from fer_edge.redact import redact_address

if TYPE_CHECKING:
    from fer_edge.capture.frames import Source
    from fer_edge.outputs.base import OutputRunner
    from fer_edge.results import PipelineStats

__all__ = ["STALE_S", "THERMAL_ZONE", "GroupBoard", "Reported", "Status", "StatusBoard", "recent_rate", "together"]

THERMAL_ZONE: Final[Path] = Path("/sys/class/thermal/thermal_zone0/temp")
STALE_S: Final[float] = 10.0
"""A source that says it runs, but has given nothing for longer than this, is not healthy."""


@dataclass(frozen=True)
class Status:
    """A moment's state. All durations in seconds, but for the ages in milliseconds."""

    source: str
    """Description of the source, without passwords."""
    state: str
    """``starting``, ``running``, ``ended``, or what a lost source waits for."""
    frames: int
    """Results so far."""
    faces: int
    """Faces in all results so far."""
    dropped: int
    """Frames that were not looked at, because newer ones had come."""
    fps: float
    """Results per second, recent average."""
    age_p50_ms: float | None
    """Median age of the latest results, capture to result; None before the first."""
    age_p99_ms: float | None
    """99th percentile of the same."""
    since_last_s: float | None
    """Since the last result; None before the first."""
    uptime_s: float
    """Since the board was made."""
    temperature_c: float | None
    """Of the processor, where the system tells."""
    busy_s: dict[str, float]
    """Seconds that each stage worked, see :attr:`fer_edge.results.PipelineStats.busy_s`."""
    outputs_dropped: dict[str, int]
    """``{output: results that it was too slow for}``."""
    outputs_failed: tuple[str, ...] = ()
    """Outputs that have stopped, for example because the disk is full."""

    @property
    def healthy(self) -> bool:
        """Whether results come, and came lately."""
        return self.state == "running" and self.since_last_s is not None and self.since_last_s < STALE_S

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values, rounded to what is meant.

        Returns:
            The fields by name; times in milliseconds (``_ms``) or seconds (``_s``).
        """
        return {
            "source": self.source,
            "state": self.state,
            "healthy": self.healthy,
            "frames": self.frames,
            "faces": self.faces,
            "dropped": self.dropped,
            "fps": round(self.fps, 2),
            "age_p50_ms": _rounded(self.age_p50_ms),
            "age_p99_ms": _rounded(self.age_p99_ms),
            "since_last_s": _rounded(self.since_last_s),
            "uptime_s": round(self.uptime_s, 1),
            "temperature_c": _rounded(self.temperature_c),
            "outputs_failed": list(self.outputs_failed),
        }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


class Reported(Protocol):
    """What is reported on: a :class:`fer_edge.pipeline.FacePipeline`, or a camera of several."""

    source: Source
    """What it reads."""
    stats: PipelineStats
    """Its counts and times so far."""

    @property
    def alive(self) -> bool:
        """Whether it runs.

        Returns:
            False before the start and after the end.
        """
        ...


class StatusBoard:
    """Asks a pipeline, or a camera of several, how it fares, from any thread.

    Args:
        pipeline: the pipeline to report on.
        thermal_zone: file with the processor's temperature in thousandths of a degree Celsius.
    """

    def __init__(self, pipeline: Reported, thermal_zone: Path = THERMAL_ZONE) -> None:
        self._pipeline = pipeline
        self._thermal_zone = thermal_zone
        self._began = time.monotonic()
        self.runners: Sequence[OutputRunner] = ()
        """The outputs whose losses are reported; set once they are open."""

    def watch(self, pipeline: Reported) -> None:
        """Tell of this pipeline from now on: the next one of several videos.

        Args:
            pipeline: the pipeline to report on.
        """
        self._pipeline = pipeline

    @property
    def alive(self) -> bool:
        """See :attr:`fer_edge.pipeline.FacePipeline.alive`."""
        return self._pipeline.alive

    def now(self) -> Status:
        """The present state.

        Returns:
            A copy that does not change.
        """
        stats, source = self._pipeline.stats, self._pipeline.source
        moments = list(stats.done_at)
        now = time.monotonic()
        state = source.state
        if stats.ended_at:
            state = "ended"
        elif state == "running" and not moments:
            state = "starting"
        ages = stats.age_percentiles_ms(50, 99) if moments else [None, None]
        return Status(
            source=redact_address(source.description),
            state=state,
            frames=stats.frames,
            faces=stats.faces,
            dropped=stats.dropped,
            fps=recent_rate(moments, now),
            age_p50_ms=ages[0],
            age_p99_ms=ages[1],
            since_last_s=now - moments[-1] if moments else None,
            uptime_s=now - self._began,
            temperature_c=self._temperature(),
            busy_s=dict(stats.busy_s),
            outputs_dropped={runner.output.name: runner.dropped for runner in self.runners},
            outputs_failed=tuple(runner.output.name for runner in self.runners if runner.failed),
        )

    def _temperature(self) -> float | None:
        try:
            return int(self._thermal_zone.read_text()) / 1000.0  # the kernel counts in thousandths of a degree
        except (OSError, ValueError):
            return None


class GroupBoard(StatusBoard):
    """Says how all cameras fare together.

    Args:
        status: of all of them.
    """

    def __init__(self, status: Callable[[], Status]) -> None:
        self._status = status
        self.runners = ()

    @property
    def alive(self) -> bool:
        """Whether any camera is running."""
        return self._status().healthy

    def now(self) -> Status:
        """See :meth:`StatusBoard.now`."""
        return self._status()


def together(statuses: Sequence[Status]) -> Status:
    """Several cameras as one: running as long as one of them runs, sums of what is counted.

    Args:
        statuses: of each camera, at least one.

    Returns:
        Their state; ages are those of the slowest.
    """
    running = [status for status in statuses if status.healthy] or list(statuses)
    lasts = [status.since_last_s for status in statuses if status.since_last_s is not None]
    medians = [status.age_p50_ms for status in statuses if status.age_p50_ms is not None]
    slowest = [status.age_p99_ms for status in statuses if status.age_p99_ms is not None]
    return replace(
        running[0],
        source=f"{len(statuses)} cameras",
        frames=sum(status.frames for status in statuses),
        faces=sum(status.faces for status in statuses),
        dropped=sum(status.dropped for status in statuses),
        fps=sum(status.fps for status in statuses),
        age_p50_ms=max(medians, default=None),
        age_p99_ms=max(slowest, default=None),
        since_last_s=min(lasts, default=None),
        uptime_s=max(status.uptime_s for status in statuses),
    )


def recent_rate(moments: Sequence[float], now: float, window_s: float = 5.0) -> float:
    """Events per second in the last ``window_s`` seconds; ``moments`` are the latest ones, in order.

    Args:
        moments: ``time.monotonic()`` of the latest events, in order.
        now: the present moment, on the same clock.
        window_s: how far back to look, in seconds.

    Returns:
        Events per second.
    """
    recent = [moment for moment in moments if now - moment <= window_s]
    if len(recent) < 2:
        return 0.0
    return (len(recent) - 1) / max(now - recent[0], 1e-6)
