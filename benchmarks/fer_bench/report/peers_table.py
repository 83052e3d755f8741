"""The table of other packages beside ours, from the JSON that ``benchmarks/peers/run_peers.py`` writes."""

from __future__ import annotations

from typing import Any

__all__ = ["markdown", "markdown_row", "package_of"]


def markdown(report: dict[str, Any]) -> str:
    """The table for the README, with machine and date.

    Args:
        report: content of the JSON file of ``benchmarks/peers/run_peers.py``.

    Returns:
        Markdown, several lines.
    """
    machine = report["machine"]
    place = machine["board"] or machine["cpu_model"]
    lines = [
        "| package | frames/s | time per frame against the first row | faces found | first result | peak memory | "
        f"accuracy ({report['split']}) |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        *(markdown_row(peer) for peer in report["results"]),
    ]
    where = f"{place}, {machine['n_cpus']} CPUs, Python {machine['python']}, {report['created_utc'][:10]}"
    how = f"medians of {report['n_rounds']} interleaved passes and {report['n_starts']} starts"
    lines += ["", f"{where}; video {report['video']}; {how}." if report["n_rounds"] else f"{where}; accuracy only."]
    if report["n_rounds"]:
        lines += [f"**Invalid speeds**: {reason}." for reason in report["invalid_reasons"]]
    return "\n".join(lines)


def markdown_row(peer: dict[str, Any]) -> str:
    """A line of the table; what was not measured is a dash, what does not work here says why.

    Args:
        peer: an entry of the file's ``results``.

    Returns:
        Markdown, one line.
    """
    if peer["failed"]:
        return f"| {package_of(peer['name'])} | does not work here: {peer['failed']} | | | | | |"
    cells = ["–"] * 5
    if "throughput_fps" in peer:
        low, high = peer["ratio_of_time_to_first_ci95"]
        cells = [
            f"{peer['throughput_fps']:.0f}" if peer["throughput_fps"] >= 10 else f"{peer['throughput_fps']:.1f}",
            f"{peer['ratio_of_time_to_first']:.2f} ({low:.2f} to {high:.2f})",
            f"{peer['n_faces']} in {peer['n_frames']} frames",
            f"{peer['first_result_ms'] / 1000:.1f} s",
            f"{peer['peak_rss_mib']:.0f} MiB",
        ]
    accuracy = "–"
    if "accuracy" in peer:
        half = 100 * (peer["accuracy_ci95"][1] - peer["accuracy_ci95"][0]) / 2
        accuracy = f"{100 * peer['accuracy']:.1f} ± {half:.1f} % (n = {peer['n_images']:,})"
    return "| " + " | ".join([peer["name"], *cells, accuracy]) + " |"


def package_of(title: str) -> str:
    """Name and version, without the face detector, which takes no part in the accuracy.

    Args:
        title: such as ``fer 25.10, faces by mtcnn``.

    Returns:
        The first part.
    """
    return title.partition(", faces by")[0].replace(" {version}", "")
