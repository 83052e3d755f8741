"""Accuracy against latency of several models: ``python benchmarks/pareto.py 96=a.tflite 160=b.tflite``.

For models that were trained alike but for one thing, such as the input size. Accuracy is on the whole split, with its
95 % interval. Latency is that of one face on one thread, the models by turns within milliseconds as in
``interleaved_ratios.py``, so that the ratios hold on a machine whose speed drifts. Writes a picture (``--png``) and
JSON (``--json``).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fer_bench.intervals import wilson_interval
from fer_bench.measure.accuracy import load_faces
from fer_bench.measure.validity import Recorder
from fer_bench.report.charts import COLOURS, new_figure
from fer_edge.command import CommandParser, run_command
from fer_edge.errors import UsageError
from fer_edge.files import atomic_path, sha256_of, write_text
from fer_edge.loading.open import open_classifier
from fer_edge.option_types import whole
from fer_train.evaluation.evaluate import evaluate_classifier
from interleaved_ratios import frame, time_rounds, with_interval

PROG = "pareto.py"


def parser() -> CommandParser:
    """The command line."""
    p = CommandParser(prog=PROG, description="Accuracy against latency of several models.")
    p.add_argument("model", nargs="+", metavar="NAME=FILE", help="what to call it in the picture, and where it is")
    p.add_argument("--data", type=Path, help="labelled faces: folder, zip or fer2013.csv (default: synthetic faces)")
    p.add_argument("--split", default="validation", help="(validation)")
    p.add_argument("--rounds", type=whole(1), default=300, metavar="N", help="turns of ten calls each (300)")
    p.add_argument("--note", default="", help="a line under the picture: how the models were made")
    p.add_argument("--png", type=Path, metavar="F", help="draw the picture")
    p.add_argument("--json", type=Path, metavar="F", help="write the result as JSON")
    return p


def main() -> int:
    """Measure, draw, print the table."""
    return run_command(PROG, lambda: body(sys.argv[1:]))


def body(arguments: Sequence[str]) -> int:
    """What ``main`` does, errors not yet caught."""
    options = parser().parse_args(arguments)
    files = dict(_named(text) for text in options.model)
    classifiers = {name: open_classifier(path, threads=1) for name, path in files.items()}
    faces = load_faces(options.data, options.split)
    rng = np.random.default_rng(0)
    recorder = Recorder()
    rounds = time_rounds(classifiers, options.rounds, rng)
    head = frame(recorder, options.rounds)  # before accuracy is measured, which is no condition of the timing
    first = next(iter(files))
    models = []
    for name, path in files.items():
        evaluation = evaluate_classifier(classifiers[name], faces.images, faces.labels, faces.name)
        right = int((evaluation.decisions == faces.labels).sum())
        models.append(
            {
                "name": name,
                "sha256": sha256_of(path),
                "size_bytes": path.stat().st_size,
                "input_size": classifiers[name].input_size,
                "p50_ms": float(np.median(rounds[name])),
                f"latency_ratio_to_{first}": with_interval(np.array(rounds[name]) / np.array(rounds[first]), rng),
                "accuracy": evaluation.accuracy,
                "accuracy_ci95": list(wilson_interval(right, evaluation.n_images)),
            }
        )
    report: dict[str, Any] = {
        **head,
        "split": faces.name,
        "n_images": len(faces.labels),
        "note": options.note,
        "models": models,
    }
    sys.stdout.write(table(report, first) + "\n")
    if options.json:
        write_text(options.json, json.dumps(report, indent=1) + "\n")
    if options.png:
        draw(report, options.png)
    return 0


def table(report: dict[str, Any], first: str) -> str:
    """A Markdown table of the report."""
    lines = [f"| | accuracy, n = {report['n_images']} | latency | against {first} |", "| --- | ---: | ---: | ---: |"]
    for model in report["models"]:
        low, high = (100 * value for value in model["accuracy_ci95"])
        ratio = model[f"latency_ratio_to_{first}"]
        lines.append(
            f"| {model['name']} | {100 * model['accuracy']:.1f} % ({low:.1f} to {high:.1f}) | {model['p50_ms']:.2f} ms "
            f"| {ratio['median']:.2f} ({ratio['ci95'][0]:.2f} to {ratio['ci95'][1]:.2f}) |"
        )
    return "\n".join(lines + [f"invalid timing: {reason}" for reason in report["invalid_reasons"]])


def draw(report: dict[str, Any], path: Path) -> None:
    """The picture: one point a model, with the interval of its accuracy; hollow where the timing is invalid."""
    figure, axes = new_figure(7.2, 4.2)
    for index, model in enumerate(report["models"]):
        accuracy = 100 * model["accuracy"]
        low, high = (100 * value for value in model["accuracy_ci95"])
        colour = COLOURS[index % len(COLOURS)]
        axes.errorbar(
            model["p50_ms"],
            accuracy,
            yerr=[[accuracy - low], [high - accuracy]],
            fmt="o",
            markersize=9,
            color=colour,
            elinewidth=1,
            markerfacecolor=colour if report["valid"] else "white",
        )
        axes.annotate(
            f"{model['name']}\n{accuracy:.1f} %", (model["p50_ms"], accuracy), xytext=(9, 0), textcoords="offset points"
        )
    axes.set_xlim(0, 1.2 * max(model["p50_ms"] for model in report["models"]))
    axes.set_xlabel("median latency of one face on one thread, ms (left is better)")
    axes.set_ylabel(f"accuracy on {report['split']}, % (n = {report['n_images']})")
    if report["note"]:
        figure.text(0.5, -0.03, report["note"], ha="center", fontsize=9, color="#444444")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120, bbox_inches="tight")


def _named(text: str) -> tuple[str, Path]:
    name, sign, path = text.partition("=")
    if not sign or not name or not path:
        raise UsageError(f"{text!r}: expected NAME=FILE, such as 96=out/fer_int8.tflite")
    return name, Path(path)


if __name__ == "__main__":
    sys.exit(main())
