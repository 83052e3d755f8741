"""From timings, evaluations and conditions to the typed results, with validity and ratios decided in one place."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Mapping, Sequence

import numpy as np

from fer_bench.intervals import paired_ratio, quantile_intervals, wilson_interval
from fer_bench.measure.latency import Series
from fer_bench.measure.validity import machine_reasons, ratio_reasons, series_reasons
from fer_bench.schema import N_QUANTILES, Conditions, LatencyCi95Ms, LatencyMs, Result
from fer_edge.files import sha256_of
from fer_edge.inference.backends import backends
from fer_train.evaluation.evaluate import Evaluation

__all__ = ["assemble", "reference_index"]

_QUANTILES = (0.5, 0.9, 0.99)


def assemble(
    series: Sequence[Series],
    conditions: Conditions,
    evaluations: Sequence[Evaluation] | None = None,
    throughput_by_threads: Sequence[Mapping[str, float]] | None = None,
) -> list[Result]:
    """From timings, evaluations and conditions to results.

    Args:
        series: what was timed, per model.
        conditions: state of the machine meanwhile.
        evaluations: accuracy, in the order of ``series``; None: not measured.
        throughput_by_threads: ``{threads: inferences per second}``, in the order of ``series``; None: not measured.

    Returns:
        One result for each of ``series``.
    """
    shared = machine_reasons(conditions)
    results = [_speed(item, shared) for item in series]
    reference = reference_index(results)
    for index, result in enumerate(results):
        changes: dict[str, object] = {}
        if throughput_by_threads is not None:
            changes["throughput_by_threads_fps"] = dict(throughput_by_threads[index])
        if reference is not None:
            changes |= {"reference": results[reference].name, **_ratio(result, results[reference])}
        if all(other.valid for other in results):
            changes["ratio_to_best"] = result.latency_ms.p50 / min(other.latency_ms.p50 for other in results)
        if evaluations is not None:
            changes |= _accuracy(evaluations[index], None if reference is None else evaluations[reference])
        results[index] = dataclasses.replace(result, **changes)  # type: ignore[arg-type]
    return results


def reference_index(results: Sequence[Result]) -> int | None:
    """The float model that the others are compared with: on a TFLite runtime if there is one, else the first.

    Args:
        results: of one measurement.

    Returns:
        Its place among the results; None without a float model.
    """
    floats = [index for index, result in enumerate(results) if result.precision == "float32"]
    preferred = [index for index in floats if _is_tflite(results[index].backend)]
    return next(iter(preferred + floats), None)


def _is_tflite(backend: str) -> bool:
    spec = backends().get(backend)
    return spec is not None and spec.is_tflite


def _owns_device(backend: str) -> bool:
    spec = backends().get(backend)
    return spec is not None and spec.owns_device


def _ratio(result: Result, reference: Result) -> dict[str, object]:
    ratio, interval = paired_ratio(result.round_p50_ms, reference.round_p50_ms)
    rounds = [
        [a / b for a, b in zip(own, other, strict=False)]
        for own, other in zip(result.round_p50_ms, reference.round_p50_ms, strict=False)
    ]
    both = [*result.invalid_reasons, *reference.invalid_reasons]
    reasons = ratio_reasons(rounds, ratio=ratio, ratio_ci95=interval, reasons=both)
    fields: dict[str, object] = {"ratio_valid": not reasons, "ratio_invalid_reasons": reasons}
    if not reasons:
        fields |= {"ratio_to_float": ratio, "ratio_to_float_ci95": list(interval)}
    return fields


def _accuracy(evaluation: Evaluation, reference: Evaluation | None) -> dict[str, object]:
    right = int(np.sum(evaluation.decisions == evaluation.labels))
    fields: dict[str, object] = {
        "accuracy": evaluation.accuracy,
        "accuracy_ci95": list(wilson_interval(right, evaluation.n_images)),
        "n_images": evaluation.n_images,
        "split": evaluation.split,
    }
    if reference is not None:
        fields["agreement_with_reference"] = evaluation.agreement(reference)
    return fields


def _speed(item: Series, shared: Sequence[str]) -> Result:
    samples = item.samples_ms
    p50, p90, p99 = (float(value) for value in np.quantile(samples, _QUANTILES))
    quantiles_ci = quantile_intervals(item.rounds_ms, _QUANTILES)
    intervals = [_around(interval, value) for interval, value in zip(quantiles_ci, (p50, p90, p99), strict=True)]
    opened = item.opened[0]
    # An accelerator computes while the CPU waits, so CPU time says nothing about interruptions there.
    share = None if _owns_device(opened.backend) else item.cpu_s / item.wall_s
    own = series_reasons(
        item.round_p50_ms,
        p50_ms=p50,
        p50_ci95_ms=intervals[0],
        n_runs=len(samples),
        timed_s=item.wall_s,
        share_of_cpu=share,
        warmup_settled=item.warmup_settled,
    )
    reasons = [*shared, *own]
    path = item.contender.path
    return Result(
        model=path.name,
        path=str(path),
        sha256=sha256_of(path),
        file_bytes=path.stat().st_size,
        backend=opened.backend,
        runtime_version=opened.runtime_version,
        precision=opened.precision,
        input_size_px=opened.input_size_px,
        threads=item.contender.threads,
        valid=not reasons,
        invalid_reasons=reasons,
        latency_ms=LatencyMs(float(samples.min()), p50, p90, p99, float(samples.max())),
        latency_ci95_ms=LatencyCi95Ms(*(list(interval) for interval in intervals)),
        latency_quantiles_ms=[float(q) for q in np.quantile(samples, np.linspace(0, 1, N_QUANTILES))],
        round_p50_ms=item.round_p50_ms,
        n_runs=len(samples),
        n_warmup_runs=item.n_warmup_runs,
        warmup_s=item.warmup_s,
        share_of_cpu=share,
        throughput_fps=len(samples) / item.wall_s,
        predict_p50_ms=float(np.median(np.concatenate(item.predict_ms))),
        import_ms=statistics.median(process.import_ms for process in item.opened),
        load_ms=statistics.median(process.load_ms for process in item.opened),
        first_inference_ms=statistics.median(process.first_inference_ms for process in item.opened),
        start_to_first_result_ms=statistics.median(process.start_to_first_result_ms for process in item.opened),
        baseline_rss_mib=_largest(process.baseline_rss_mib for process in item.opened),
        steady_rss_mib=_largest(item.steady_mib),
        peak_rss_mib=_largest(item.peak_mib),
    )


def _around(interval: tuple[float, float], value: float) -> tuple[float, float]:
    """The interval, widened to hold the estimate where few resamples miss it."""
    return min(interval[0], value), max(interval[1], value)


def _largest(values: object) -> float | None:
    known = [value for value in values if value is not None]  # type: ignore[attr-defined]
    return max(known, default=None)
