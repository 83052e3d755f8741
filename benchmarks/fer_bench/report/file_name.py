"""The name of a committed result: the conditions that decide whether two of them may be compared."""

from __future__ import annotations

import re

from fer_bench.schema import Report
from fer_edge.inference.backends import backends

__all__ = ["conditions_name"]


def conditions_name(report: Report) -> str:
    """The file name of a report: what decides whether two of them may be compared.

    Args:
        report: the measurement.

    Returns:
        Such as ``raspberry-pi-5-model-b_4cpus_debian-12_python-3.11_litert-2.3_1-thread_2026-11-23.json``.
    """
    machine = report.machine
    place = re.sub(r"\b(rev [\d.]+|processor|\d+-core|@.*|cpu)\b", "", (machine.board or machine.cpu_model).lower())
    virtual = "-vm" if machine.virtual_machine else ""
    system = re.sub(r"gnu/linux|\(.*\)", "", machine.operating_system.lower())
    versions = [
        (spec.name, machine.packages[spec.package])
        for spec in backends().values()
        if spec.is_tflite and spec.package in machine.packages
    ]
    package, version = versions[0] if versions else ("onnx", None)
    threads = report.settings.threads
    kind = ["end-to-end"] if report.end_to_end and not report.results else []
    parts = [
        _plain(place) + virtual,
        f"{machine.n_cpus}cpus",
        _plain(system),
        "python-" + ".".join(machine.python.split(".")[:2]),
        f"{package}-{'.'.join(version.split('.')[:2])}" if version else package,
        f"{threads}-thread{'s' if threads > 1 else ''}",
        *kind,
        report.created_utc[:10],
    ]
    return "_".join(parts) + ".json"


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", text).strip("-")
