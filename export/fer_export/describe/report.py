"""``report.md`` and ``report.html``: what was exported, how good it is, and where quantisation costs."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from fer_edge.labels import EMOTIONS
from fer_export.check.gate import Comparison, Verdict
from fer_export.check.layer_error import LayerError
from fer_export.file_names import FLOAT_TFLITE, INT8_TFLITE, MODEL_FILES
from fer_export.tflite_file import TFLiteModel

WORST_LAYERS: Final[int] = 12


@dataclass(frozen=True)
class ReportData:
    """All that the two reports show."""

    title: str
    facts: dict[str, str]
    """Source of weights, data, method, versions: shown as a list."""
    labelled: bool
    sizes: dict[str, int]
    """Bytes by model file."""
    comparisons: dict[str, Comparison]
    """By model file, each against ``fer_float.tflite``."""
    onnx_twin: Comparison
    """INT8 ONNX against INT8 TFLite."""
    verdict: Verdict
    layers: Sequence[LayerError]
    networks: dict[str, TFLiteModel]
    onnx_operators: dict[str, int]
    """Operators of the INT8 ONNX file after ONNX Runtime's optimisation."""
    coral: Sequence[Sequence[str]] | None = None
    """Rows of the Edge TPU table, header first; None when it was not asked for."""
    coral_summary: str = ""


@dataclass(frozen=True)
class _Table:
    heading: str
    note: str
    rows: list[list[str]]
    """Header first."""


def markdown(data: ReportData) -> str:
    """The report as Markdown."""
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
    """The report as one HTML file without outside resources."""
    body = [f"<h1>{_esc(data.title)}</h1>", '<dl class="facts">']
    body += [f"<dt>{_esc(name)}</dt><dd>{_esc(value)}</dd>" for name, value in data.facts.items()]
    body.append("</dl>")
    word = "passed" if data.verdict.passed else "failed"
    body.append(f'<p class="gate {word}">Gate {word}</p>')
    notes = (*data.verdict.failures, *data.verdict.remarks)
    if notes:
        body.append("<ul>" + "".join(f"<li>{_esc(line)}</li>" for line in notes) + "</ul>")
    tables = _tables(data)
    body.append(_html_table(tables[0]))
    if data.labelled:
        matrices = "".join(_confusion(name, data.comparisons[name]) for name in (FLOAT_TFLITE, INT8_TFLITE))
        body.append(
            "<h2>Confusion matrices</h2><p>Rows are labels, columns decisions, in per cent of the row; "
            f'hover for images.</p><div class="pair">{matrices}</div>'
        )
    body += [_html_table(table) for table in tables[1:]]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_esc(data.title)}</title><style>{_STYLE}</style></head><body><main>{''.join(body)}</main></body></html>\n"
    )


def model_rows(data: ReportData, *, compact: bool = False) -> list[list[str]]:
    """Header and one row a model file: size, accuracy with n, drop with its interval, agreement.

    ``compact`` gives half the width of the interval instead of its ends, so that a table fits a terminal.
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
        size = f"{data.sizes[name] / 2**20:.2f} MiB"
        rows.append([name, size, accuracy, str(comparison.other.n_images), drop, agreement])
    return rows


def drop_text(comparison: Comparison, *, compact: bool = False) -> str:
    """``+0.53 (-0.10 to +1.16)`` or, compact, ``+0.53 +-0.63``: points lost; negative is a gain."""
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
    unlabelled = "" if data.labelled else "Drawn faces have no true label: only agreement with the float model counts. "
    tables = [_Table("Models", unlabelled + twin, model_rows(data))]
    if data.labelled:
        tables.append(_Table("Recall", "Per cent of each class found; loss in points.", _recall_rows(data)))
    tables.append(_layer_table(data))
    tables.append(_Table("Sizes", "", _size_rows(data)))
    tables.append(_Table("Operators", "TFLite operators with versions.", _operator_rows(data)))
    rows = [["operator", "count"], *[[k, str(v)] for k, v in sorted(data.onnx_operators.items())]]
    tables.append(_Table("INT8 ONNX as ONNX Runtime executes it", "After graph optimisation on this machine.", rows))
    if data.coral is not None:
        tables.append(_Table("Edge TPU", data.coral_summary, [list(row) for row in data.coral]))
    return tables


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
        f"Signal to noise in dB, worst of {len(data.layers)} layers first; 6 dB is one bit. Rounding: against the same "
        "8-bit weights with real-valued activations. Float: against the float model, so with all that QAT has changed."
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


def _esc(text: str) -> str:
    return html.escape(text)


def _html_table(table: _Table) -> str:
    head, *rows = table.rows
    cells = "".join(f"<th>{_esc(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{_esc(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    note = f"<p>{_esc(table.note)}</p>" if table.note else ""
    return (
        f'<h2>{_esc(table.heading)}</h2>{note}<div class="scroll"><table><thead><tr>{cells}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _confusion(name: str, comparison: Comparison) -> str:
    matrix = comparison.other.confusion
    totals = matrix.sum(axis=1)
    rows = []
    for i, emotion in enumerate(EMOTIONS):
        cells = []
        for j in range(len(EMOTIONS)):
            share = matrix[i, j] / totals[i] if totals[i] else 0.0
            # One hue, darker with the share; white text where the ground is dark.
            colour = f"hsl({150 if i == j else 18} 60% {97 - 57 * share:.0f}%)"
            ink = "#fff" if share > 0.6 else "#111"
            tip = f"{matrix[i, j]} of {totals[i]} {emotion} images decided {EMOTIONS[j]}"
            cells.append(f'<td style="background:{colour};color:{ink}" title="{_esc(tip)}">{100 * share:.0f}</td>')
        rows.append(f"<tr><th>{_esc(emotion)}</th>{''.join(cells)}</tr>")
    head = "".join(f"<th>{_esc(emotion)}</th>" for emotion in EMOTIONS)
    caption = f"{name}: {comparison.other.accuracy:.2%} of {comparison.other.n_images} images"
    return (
        f'<table class="confusion"><caption>{_esc(caption)}</caption><thead><tr><th></th>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


_STYLE: Final[str] = """
:root{color-scheme:light;font:15px/1.5 system-ui,sans-serif;color:#1a1d21;background:#fff}
body{margin:0}main{max-width:68rem;margin:0 auto;padding:1.5rem}
h1{font-size:1.6rem;margin:0 0 .8rem}h2{font-size:1.15rem;margin:2rem 0 .4rem}p{margin:.3rem 0 .7rem;color:#444}
.facts{display:grid;grid-template-columns:max-content 1fr;gap:.1rem 1rem;margin:0}
.facts dt{color:#666}.facts dd{margin:0}
.gate{display:inline-block;margin:1rem 0 0;padding:.15rem .7rem;border-radius:.3rem;font-weight:600}
.passed{background:#dff3e4;color:#17572b}.failed{background:#fbe0dc;color:#8c1d10}
.scroll,.pair{overflow-x:auto}table{border-collapse:collapse}
.scroll td,.scroll th{padding:.25rem .8rem .25rem 0;border-bottom:1px solid #e3e5e8;text-align:left;white-space:nowrap}
.scroll td:not(:first-child){font-variant-numeric:tabular-nums}
.pair{display:flex;flex-wrap:wrap;gap:1.5rem}.confusion caption{font-weight:600;text-align:left;padding-bottom:.4rem}
.confusion td{width:3.4rem;height:2.2rem;text-align:center;font-variant-numeric:tabular-nums}
.confusion th{font-weight:400;font-size:.85rem;padding:.1rem .4rem;text-align:right;color:#444}
.confusion thead th{text-align:center}
"""
