"""``report.md`` and ``report.html``: what was exported, how good it is, and where quantisation costs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from fer_edge.html import render
from fer_edge.labels import EMOTIONS
from fer_export.check.arithmetic import Arithmetic
from fer_export.check.gate import Comparison, Verdict
from fer_export.check.layer_error import LayerError
from fer_export.file_names import FLOAT_TFLITE, INT8_TFLITE, MODEL_FILES
from fer_export.tflite_file import TFLiteModel
from fer_train.wording import counted, megabytes

__all__ = ["WORST_LAYERS", "ReportData", "drop_text", "markdown", "model_rows", "page"]

WORST_LAYERS: Final[int] = 12
_TARGETS_NOTE: Final[str] = (
    "The INT8 network as the makers' own tools converted it, compared with the INT8 TFLite file by XNNPACK. Times are "
    "estimates of those tools, not measurements on a device; the manifest names tool, clock and memory of each. "
    "Rounding tells which golden vectors the device must repeat: single as XNNPACK, double as TFLite's reference "
    "kernels, or its own. The same integers rounded otherwise give other last bits, which add up: a device that rounds "
    "twice is right, though it does not give what this computer gives."
)


@dataclass(frozen=True)
class ReportData:
    """All that the two reports show."""

    title: str
    """Heading of the report."""
    facts: dict[str, str]
    """Source of weights, data, method, versions: shown as a list."""
    labelled: bool
    """Whether the faces have true labels."""
    sizes: dict[str, int]
    """Bytes by model file."""
    comparisons: dict[str, Comparison]
    """By model file, each against ``fer_float.tflite``."""
    onnx_twin: Comparison
    """INT8 ONNX against INT8 TFLite."""
    arithmetic: Arithmetic | str
    """INT8 TFLite on the reference kernels; a reason where they do not compute it."""
    verdict: Verdict
    """Of the gate."""
    layers: Sequence[LayerError]
    """Precision of each layer; empty where it could not be computed."""
    networks: dict[str, TFLiteModel]
    """Parsed TFLite files, by name."""
    onnx_operators: dict[str, int]
    """Operators of the INT8 ONNX file after ONNX Runtime's optimisation."""
    coral: Sequence[Sequence[str]] | None = None
    """Rows of the Edge TPU table, header first; None when it was not asked for."""
    coral_summary: str = ""
    """One line on the Edge TPU; empty when it was not asked for."""
    targets: Sequence[Sequence[str]] | None = None
    """Rows of the table of targets, header first; None when none was asked for."""


@dataclass(frozen=True)
class _Table:
    heading: str
    note: str
    rows: list[list[str]]
    """Header first."""


def markdown(data: ReportData) -> str:
    """The report as Markdown.

    Args:
        data: what it shows.

    Returns:
        The text.
    """
    lines = [f"# {data.title}", ""]
    lines += [f"- {name}: {value}" for name, value in data.facts.items()]
    lines += ["", f"Gate: {'passed' if data.verdict.passed else 'FAILED'}."]
    lines += [f"- {line}" for line in (*data.verdict.failures, *data.verdict.remarks)]
    for table in _tables(data):
        lines += ["", f"## {table.heading}", ""]
        if table.note:
            lines += [table.note, ""]
        head, *rows = table.rows
        lines += [_row(head), _row(["---"] * len(head)), *[_row(row) for row in rows]]
    if data.labelled:
        for name in (FLOAT_TFLITE, INT8_TFLITE):
            lines += ["", f"## Confusion matrix, {name}", "", "Rows are labels, columns decisions, in images.", ""]
            matrix = data.comparisons[name].other.confusion
            lines += [_row(["", *EMOTIONS]), _row(["---"] * (len(EMOTIONS) + 1))]
            lines += [_row([emotion, *map(str, matrix[i])]) for i, emotion in enumerate(EMOTIONS)]
    return "\n".join(lines) + "\n"


def page(data: ReportData) -> str:
    """The report as one HTML file without outside resources.

    Args:
        data: what it shows.

    Returns:
        The text.

    Raises:
        MissingDependencyError: Jinja2 is not installed.
    """
    text = render(
        __package__ or "",
        "report.html",
        title=data.title,
        facts=data.facts,
        passed=data.verdict.passed,
        notes=(*data.verdict.failures, *data.verdict.remarks),
        tables=_tables(data),
        matrices=[_confusion(name, data.comparisons[name]) for name in (FLOAT_TFLITE, INT8_TFLITE)]
        if data.labelled
        else [],
    )
    return str(text)


def model_rows(data: ReportData, *, compact: bool = False) -> list[list[str]]:
    """The table of the models: size, accuracy with n, drop with its interval, agreement.

    Args:
        data: what the report shows.
        compact: half the width of the interval instead of its ends, so that the table fits a terminal.

    Returns:
        Header and one row per model file.
    """
    interval = "+-95 %" if compact else "(95 % interval)"
    rows = [["model", "size", "accuracy", "images", f"drop {interval}", "agreement with float"]]
    if compact:
        rows[0][-1] = "agreement"
    for name in MODEL_FILES:
        comparison = data.comparisons[name]
        accuracy = f"{comparison.other.accuracy:.2%}" if data.labelled else "-"
        drop = "-" if name == FLOAT_TFLITE or not data.labelled else drop_text(comparison, compact=compact)
        agreement = f"{comparison.agreement:.2%}"
        rows.append([name, megabytes(data.sizes[name]), accuracy, str(comparison.other.n_images), drop, agreement])
    return rows


def drop_text(comparison: Comparison, *, compact: bool = False) -> str:
    """Points lost; negative is a gain.

    Args:
        comparison: with the float model.
        compact: half the width of the interval instead of its ends.

    Returns:
        ``+0.53 (-0.10 to +1.16)`` or, compact, ``+0.53 +-0.63``.
    """
    drop = comparison.drop
    if compact:
        return f"{drop.value:+.2f} +-{drop.half_width:.2f}"
    return f"{drop.value:+.2f} ({drop.low:+.2f} to {drop.high:+.2f})"


def _tables(data: ReportData) -> list[_Table]:
    n = data.onnx_twin.other.n_images
    twin = (
        f"INT8 ONNX against INT8 TFLite, the same network on two runtimes: {data.onnx_twin.agreement:.2%} of {n} "
        f"images decided alike, probabilities differ by {data.onnx_twin.mean_probability_difference:.5f} on average."
    )
    unlabelled = (
        "" if data.labelled else "Synthetic faces have no true label: only agreement with the float model counts. "
    )
    tables = [_Table("Models", unlabelled + twin, model_rows(data))]
    if not isinstance(data.arithmetic, str):
        tables.append(_arithmetic_table(data.arithmetic, labelled=data.labelled))
    if data.labelled:
        tables.append(_Table("Recall", "Percent of each class found; loss in points.", _recall_rows(data)))
    tables.append(_layer_table(data))
    tables.append(_Table("Sizes", "", _size_rows(data)))
    tables.append(_Table("Operators", "TFLite operators with versions.", _operator_rows(data)))
    rows = [["operator", "count"], *[[k, str(v)] for k, v in sorted(data.onnx_operators.items())]]
    tables.append(_Table("INT8 ONNX as ONNX Runtime executes it", "After graph optimisation on this machine.", rows))
    if data.coral is not None:
        tables.append(_Table("Edge TPU", data.coral_summary, [list(row) for row in data.coral]))
    if data.targets is not None:
        tables.append(_Table("Targets", _TARGETS_NOTE, [list(row) for row in data.targets]))
    return tables


def _arithmetic_table(arithmetic: Arithmetic, *, labelled: bool) -> _Table:
    twin = arithmetic.against_xnnpack
    note = (
        "The same file where hardware rounds otherwise: TFLite's reference kernels compute as microcontrollers and "
        f"many NPUs do. Outputs are identical on {arithmetic.identical_outputs:.1%} of {twin.other.n_images} images; "
        f"single probabilities differ by up to {arithmetic.largest_difference:.3f}."
    )
    rows = [["kernels", "accuracy", "images", "drop (95 % interval)", "agreement with float", "agreement with XNNPACK"]]
    xnnpack = Comparison(arithmetic.against_float.reference, twin.reference)
    for name, comparison, agreement in (
        ("XNNPACK", xnnpack, 1.0),
        ("reference", arithmetic.against_float, twin.agreement),
    ):
        accuracy = f"{comparison.other.accuracy:.2%}" if labelled else "-"
        drop = drop_text(comparison) if labelled else "-"
        images = str(comparison.other.n_images)
        rows.append([name, accuracy, images, drop, f"{comparison.agreement:.2%}", f"{agreement:.2%}"])
    return _Table("INT8 TFLite on other arithmetic", note, rows)


def _recall_rows(data: ReportData) -> list[list[str]]:
    comparison = data.comparisons[INT8_TFLITE]
    totals = comparison.reference.confusion.sum(axis=1)
    rows = [["class", "images", "float", "INT8", "loss (95 % interval)"]]
    for i, emotion in enumerate(EMOTIONS):
        if emotion not in comparison.recall_loss:
            rows.append([emotion, "0", "-", "-", "-"])
            continue
        loss = comparison.recall_loss[emotion]
        rows.append(
            [
                emotion,
                str(totals[i]),
                f"{comparison.reference.recall[emotion]:.1%}",
                f"{comparison.other.recall[emotion]:.1%}",
                f"{loss.value:+.1f} ({loss.low:+.1f} to {loss.high:+.1f})",
            ]
        )
    return rows


def _layer_table(data: ReportData) -> _Table:
    worst = sorted(data.layers, key=lambda layer: layer.snr_shadow_db)
    note = (
        f"Signal to noise in dB, {counted(len(data.layers), 'layer')}, the worst first; 6 dB is one bit. Rounding: "
        "against the same 8-bit weights with real-valued activations. Float: against the float model, so with all that "
        "QAT has changed."
    )
    rows = [["layer", "operator", "shape", "rounding dB", "float dB", "saturated"]]
    for layer in worst[:WORST_LAYERS]:
        shape = "x".join(str(n) for n in layer.shape[1:])
        rows.append(
            [
                str(layer.index),
                layer.operator,
                shape,
                _decibel(layer.snr_shadow_db),
                _decibel(layer.snr_float_db),
                f"{layer.saturated:.2%}",
            ]
        )
    return _Table("Quantisation error by layer", note, rows)


def _size_rows(data: ReportData) -> list[list[str]]:
    rows = [["model", "file bytes", "of these parameters"]]
    for name in MODEL_FILES:
        network = data.networks.get(name)
        rows.append([name, f"{data.sizes[name]:,}", f"{network.parameter_bytes:,}" if network else "-"])
    return rows


def _operator_rows(data: ReportData) -> list[list[str]]:
    counts = {name: network.operator_counts for name, network in data.networks.items()}
    operators = dict.fromkeys(name for table in counts.values() for name, _ in table)
    rows = [["operator", *counts]]
    for operator in operators:
        row = [operator]
        for table in counts.values():
            row.append(
                ", ".join(f"{n} (v{version})" for (name, version), n in table.items() if name == operator) or "-"
            )
        rows.append(row)
    return rows


def _decibel(value: float | None) -> str:
    if value is None:
        return "-"
    return "exact" if math.isinf(value) else f"{value:.1f}"


def _row(cells: Sequence[Any]) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"


def _confusion(name: str, comparison: Comparison) -> dict[str, Any]:
    matrix = comparison.other.confusion
    totals = matrix.sum(axis=1)
    rows = []
    for i, emotion in enumerate(EMOTIONS):
        cells = []
        for j, decided in enumerate(EMOTIONS):
            share = matrix[i, j] / totals[i] if totals[i] else 0.0
            tip = f"{matrix[i, j]} of {totals[i]} {emotion} images decided {decided}"
            cells.append((f"{100 * share:.0f}", share, tip, i == j))
        rows.append((emotion, cells, ""))
    caption = f"{name}: {comparison.other.accuracy:.2%} of {comparison.other.n_images} images"
    return {"head": ("", *EMOTIONS), "rows": rows, "caption": caption}
