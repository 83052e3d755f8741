"""Two measurements of the whole pipeline (``fer-bench --end-to-end``): is the second slower, and surely so?"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from fer_bench.compare.time_difference import TimeDifference
from fer_bench.schema import Bounds, EndToEnd, Report
from fer_edge.errors import InputError

__all__ = ["MIN_REPEATS", "PipelineComparison", "compare_pipelines"]

MIN_REPEATS: Final[int] = 3
"""On either side; if both are equally fast, all three of one side are slower than all of the other 1 time in 20."""


@dataclass(frozen=True)
class PipelineComparison(TimeDifference):
    """One model, source and detector in two measurements."""

    model: str
    """File name."""
    backend: str
    """Name of the classifier's runtime."""
    threads: int
    """CPU threads of one inference."""
    source: str
    """Name of the video, image, folder or camera."""
    detector: str
    """Name of the face detector."""
    before_engine: str | None
    """What computed the detector in the reference; None where the file does not say."""
    after_engine: str | None
    """The same in the new measurement."""
    before_fps: float
    """Median frames per second of the reference's repeats."""
    after_fps: float
    """The same of the new measurement."""
    ratio: float
    """Time per frame, after over before; above 1 is slower."""
    ratio_range: Bounds
    """From the best repeat after over the worst before, to the worst over the best."""
    before_faces_per_frame: float
    """Mean number of faces found in a frame of the reference."""
    after_faces_per_frame: float
    """The same in the new measurement."""
    before_peak_rss_mib: float | None
    """Highest resident memory in the reference, in MiB; None where it was not measured."""
    after_peak_rss_mib: float | None
    """The same in the new measurement."""

    @property
    def range_of_ratio(self) -> Bounds:
        """Every repeat against every one before."""
        return self.ratio_range


def compare_pipelines(before: Report, after: Report, models: Sequence[str] = ()) -> list[PipelineComparison]:
    """End-to-end results that are in both reports, matched by model, runtime, threads, source and detector.

    The engine that computes the detector may differ: two engines are then what is compared.

    Args:
        before: the reference.
        after: the new measurement.
        models: file names; empty compares all.

    Returns:
        A comparison for each that is in both; empty when there are none.

    Raises:
        InputError: one of those compared is invalid or was not repeated often enough.
    """
    earlier = {_key(result): result for result in before.end_to_end}
    pairs = [
        (earlier[_key(result)], result)
        for result in after.end_to_end
        if _key(result) in earlier and (not models or result.model in models)
    ]
    for pair in pairs:
        for place, result in zip(("first", "second"), pair, strict=True):
            name = f"{result.model} on {result.source}, end to end, in the {place} file"
            if not result.valid:
                raise InputError(f"refused: {name} is an invalid measurement ({result.invalid_reasons[0]})")
            if len(result.throughput_each_fps) < MIN_REPEATS or not min(result.throughput_each_fps) > 0:
                raise InputError(
                    f"refused: {name} has {len(result.throughput_each_fps)} repeats; at least {MIN_REPEATS} are needed "
                    "(--processes)"
                )
    return [_compare(a, b) for a, b in pairs]


def _key(result: EndToEnd) -> tuple[str, str, int, str, str]:
    return result.model, result.backend, result.threads, result.source, result.detector


def _compare(before: EndToEnd, after: EndToEnd) -> PipelineComparison:
    old, new = before.throughput_each_fps, after.throughput_each_fps
    return PipelineComparison(
        model=after.model,
        backend=after.backend,
        threads=after.threads,
        source=after.source,
        detector=after.detector,
        before_engine=before.detector_engine,
        after_engine=after.detector_engine,
        before_fps=statistics.median(old),
        after_fps=statistics.median(new),
        ratio=statistics.median(old) / statistics.median(new),
        ratio_range=[min(old) / max(new), max(old) / min(new)],
        before_faces_per_frame=before.n_faces / max(1, before.n_frames),
        after_faces_per_frame=after.n_faces / max(1, after.n_frames),
        before_peak_rss_mib=before.peak_rss_mib,
        after_peak_rss_mib=after.peak_rss_mib,
    )
