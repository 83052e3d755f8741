"""Reports for tests, as a measurement would make them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from fer_bench.schema import SCHEMA, Conditions, LatencyCi95Ms, LatencyMs, Machine, Report, Result, Settings

MACHINE = Machine(
    cpu_model="Cortex-A76",
    cpu_features=["asimd", "asimddp"],
    architecture="aarch64",
    n_cpus=4,
    memory_mib=8062.0,
    board="Raspberry Pi 5 Model B Rev 1.0",
    virtual_machine=None,
    operating_system="Debian GNU/Linux 12 (bookworm)",
    kernel="6.6.31",
    python="3.11.2",
    packages={"ai-edge-litert": "2.3.0"},
    commit="0123456789abcdef",
)
CONDITIONS = Conditions(
    governor="performance",
    temperature_before_c=45.0,
    temperature_after_c=52.0,
    frequency_before_mhz=2400.0,
    frequency_after_mhz=2400.0,
    pi_throttled_before="0x0",
    pi_throttled_after="0x0",
    n_throttle_events=None,
    neighbours_cpus=0.03,
    busiest_neighbour=None,
    stolen_percent=0.0,
)
SETTINGS = Settings(
    seconds_per_model=3.0,
    n_processes=3,
    chunk_ms=40.0,
    n_discarded_runs_per_chunk=2,
    threads=1,
    interleaved=True,
    seed=0,
)


def a_result(p50_ms: float = 2.0, noise: float = 0.01, seed: int = 0, **changes: Any) -> Result:
    """A valid result around ``p50_ms`` with relative ``noise`` between rounds; ``changes`` replace fields."""
    rng = np.random.default_rng(seed)
    rounds = [(p50_ms * (1 + noise * rng.standard_normal(25))).tolist() for _ in range(3)]
    times = np.linspace(0.9 * p50_ms, 1.5 * p50_ms, 101).tolist()
    result = Result(
        model="fer_int8.tflite",
        path="models/fer_int8.tflite",
        sha256="ab" * 32,
        file_bytes=2_600_000,
        backend="litert",
        runtime_version="ai-edge-litert 2.3.0",
        precision="int8",
        input_size_px=96,
        threads=1,
        valid=True,
        invalid_reasons=[],
        latency_ms=LatencyMs(0.9 * p50_ms, p50_ms, 1.2 * p50_ms, 1.4 * p50_ms, 1.5 * p50_ms),
        latency_ci95_ms=LatencyCi95Ms(
            [0.99 * p50_ms, 1.01 * p50_ms], [1.19 * p50_ms, 1.21 * p50_ms], [1.35 * p50_ms, 1.45 * p50_ms]
        ),
        latency_quantiles_ms=times,
        round_p50_ms=rounds,
        n_runs=1500,
        n_warmup_runs=60,
        warmup_s=0.4,
        share_of_cpu=0.999,
        throughput_fps=1000 / p50_ms,
        predict_p50_ms=1.03 * p50_ms,
        import_ms=150.0,
        load_ms=30.0,
        first_inference_ms=1.5 * p50_ms,
        start_to_first_result_ms=400.0,
        baseline_rss_mib=40.0,
        steady_rss_mib=80.0,
        peak_rss_mib=82.0,
        throughput_by_threads_fps={"1": 1000 / p50_ms, "2": 1600 / p50_ms},
        accuracy=0.68,
        accuracy_ci95=[0.665, 0.695],
        n_images=3589,
        split="validation",
    )
    return dataclasses.replace(result, **changes)


def a_report(results: list[Result], **changes: Any) -> Report:
    """A report of ``results`` on a Raspberry Pi 5."""
    report = Report(SCHEMA, "2026-11-23T12:00:00+00:00", ["fer-bench --all"], MACHINE, CONDITIONS, SETTINGS, results)
    return dataclasses.replace(report, **changes)
