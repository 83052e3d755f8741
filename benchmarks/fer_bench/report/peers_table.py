"""The table of other packages beside ours, from the JSON that ``benchmarks/peers/run_peers.py`` writes."""

from __future__ import annotations

from typing import Any

__all__ = ["markdown", "markdown_row", "package_of"]


def markdown(report: dict[str, Any]) -> str:
    """The table for the README, with machine and date."""
    machine = report["machine"]
    place = machine["board"] or machine["cpu_model"]
    lines = [
        "| package | frames/s | time per frame against the first row | faces found | first result | peak memory | "
        f"accuracy ({report['split']}) |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        *(markdown_row(one) for one in report["results"]),
    ]
    where = f"{place}, {machine['n_cpus']} CPUs, Python {machine['python']}, {report['created_utc'][:10]}"
    how = f"medians of {report['n_rounds']} interleaved passes and {report['n_starts']} starts"
    lines += ["", f"{where}; video {report['video']}; {how}." if report["n_rounds"] else f"{where}; accuracy only."]
    if report["n_rounds"]:
        lines += [f"**Invalid speeds**: {reason}." for reason in report["invalid_reasons"]]
    return "\n".join(lines)


def markdown_row(one: dict[str, Any]) -> str:
    """A line of the table; what was not measured is a dash, what does not work here says why."""
    if one["failed"]:
        return f"| {package_of(one['name'])} | does not work here: {one['failed']} | | | | | |"
    cells = ["–"] * 5
    if "throughput_fps" in one:
        low, high = one["ratio_of_time_to_first_ci95"]
        cells = [
            f"{one['throughput_fps']:.0f}" if one["throughput_fps"] >= 10 else f"{one['throughput_fps']:.1f}",
            f"{one['ratio_of_time_to_first']:.2f} ({low:.2f} to {high:.2f})",
            f"{one['n_faces']} in {one['n_frames']} frames",
            f"{one['first_result_ms'] / 1000:.1f} s",
            f"{one['peak_rss_mib']:.0f} MiB",
        ]
    accuracy = "–"
    if "accuracy" in one:
        half = 100 * (one["accuracy_ci95"][1] - one["accuracy_ci95"][0]) / 2
        accuracy = f"{100 * one['accuracy']:.1f} ± {half:.1f} % (n = {one['n_images']:,})"
    return "| " + " | ".join([one["name"], *cells, accuracy]) + " |"


def package_of(title: str) -> str:
    """Name and version, without the face detector, which takes no part in the accuracy."""
    return title.partition(", faces by")[0].replace(" {version}", "")
