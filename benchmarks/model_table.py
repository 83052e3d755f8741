"""A table of models to choose from: ``python benchmarks/model_table.py --json F --markdown F --png F``.

MobileNetV2 at several input sizes and widths: bytes of the INT8 file, latency of one face against the released model
(by turns, as in ``interleaved_ratios.py``), and the tensor arena that TensorFlow Lite Micro needs. Released models are
their own files, with their accuracy on clean and on disturbed faces from what was released with them. All others are
untrained: the architecture alone, random weights, BatchNorm of a few synthetic faces, quantised after training; such
rows have no accuracy.

The arena is the smallest with which TensorFlow Lite Micro opens the file, to 1 KiB, on this processor; one of 32 bits
needs a little less. It needs the package tflite-micro, here or in the environment of ``--tflm-python``.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from fer_bench.measure.validity import Recorder
from fer_bench.report.charts import COLOURS, new_figure
from fer_edge.command import CommandParser, run_command
from fer_edge.errors import ModelError
from fer_edge.files import atomic_path, sha256_of, write_bytes, write_text
from fer_edge.inference.classifier import Classifier
from fer_edge.loading.open import open_classifier
from fer_edge.option_types import number, whole
from fer_edge.preprocess import resize_gray, to_float_input
from fer_export.describe.figures import Released, read_released
from fer_train.runs.recipe import Recipe
from fer_train.synthetic import synthetic_split
from interleaved_ratios import frame, time_rounds, with_interval

PROG: Final[str] = "model_table.py"
SIZES: Final[tuple[int, ...]] = (64, 96, 128)
WIDTHS: Final[tuple[float, ...]] = (0.35, 0.5, 1.0)
RELEASED: Final[tuple[str, ...]] = ("models", "models/small")
"""Folders of released models below ``--checkout``, the first one the standard of latency."""
_ARENA: Final[str] = (
    "import sys; from tflite_micro import runtime; "
    "runtime.Interpreter.from_file(sys.argv[1], arena_size=int(sys.argv[2]))"
)
_LARGEST_ARENA: Final[int] = 8 << 20


def parser() -> CommandParser:
    """The command line."""
    p = CommandParser(prog=PROG, description="Size, latency and memory of MobileNetV2 at several sizes and widths.")
    p.add_argument("--sizes", nargs="+", type=whole(32), default=list(SIZES), metavar="N", help="(64 96 128)")
    p.add_argument("--widths", nargs="+", type=number(0.1), default=list(WIDTHS), metavar="W", help="(0.35 0.5 1)")
    p.add_argument("--rounds", type=whole(1), default=300, metavar="N", help="turns of ten calls each (300)")
    p.add_argument("--checkout", type=Path, default=Path(__file__).parents[1], metavar="DIR", help="(this one)")
    p.add_argument("--keep", type=Path, metavar="DIR", help="keep untrained files here, and take those that are there")
    p.add_argument("--tflm-python", default=sys.executable, metavar="PYTHON", help="an interpreter with tflite-micro")
    p.add_argument("--json", type=Path, metavar="F", help="write the result as JSON")
    p.add_argument("--markdown", type=Path, metavar="F", help="write the table as Markdown")
    p.add_argument("--png", type=Path, metavar="F", help="draw the picture")
    return p


def main() -> int:
    """Build, measure, write."""
    return run_command(PROG, lambda: body(sys.argv[1:]))


def body(arguments: Sequence[str]) -> int:
    """What ``main`` does, errors not yet caught."""
    options = parser().parse_args(arguments)
    there = [options.checkout / name for name in RELEASED if (options.checkout / name / "summary.json").is_file()]
    released = [read_released(folder) for folder in there]
    with tempfile.TemporaryDirectory(prefix="fer-table-") as folder:
        files = {row["name"]: (options.checkout / "models" / row["name"], row) for row in map(_trained_row, released)}
        taken = {(row["width"], row["input_size"]) for _, row in files.values()}
        for size in options.sizes:
            for width in options.widths:
                if (width, size) in taken:
                    continue
                path = (options.keep or Path(folder)) / f"untrained_{width:g}_{size}.tflite"
                if not path.is_file():
                    write_bytes(path, untrained(width, size))
                files[path.stem] = (path, _untrained_row(path.stem, width, size))
        classifiers = {name: open_classifier(path, threads=1, trusted=True) for name, (path, _) in files.items()}
        recorder, rng = Recorder(), np.random.default_rng(0)
        rounds = time_rounds(classifiers, options.rounds, rng)
        head = frame(recorder, options.rounds)
        first = next(iter(files))
        models = []
        for name, (path, row) in files.items():
            ratio = with_interval(np.array(rounds[name]) / np.array(rounds[first]), rng)
            least = min(rounds[name]) / min(rounds[first])
            measured = _measured(path, classifiers[name], options.tflm_python)
            models.append(row | measured | {"latency_ratio": ratio, "latency_ratio_of_least": least})
    report = {**head, "latency_ratio_to": first, "models": sorted(models, key=lambda m: (m["input_size"], m["width"]))}
    text = markdown(report)
    sys.stdout.write(text)
    if options.json:
        write_text(options.json, json.dumps(report, indent=1) + "\n")
    if options.markdown:
        write_text(options.markdown, text)
    if options.png:
        draw(report, options.png)
    return 0


def untrained(width: float, size: int) -> bytes:
    """An INT8 file of the architecture: random weights, ranges as if they had been trained."""
    from fer_train.quantization.tflite import ptq_to_tflite
    from fer_train.runs.keras_file import import_tf_keras
    from fer_train.runs.network_of import network_of

    keras = import_tf_keras()
    keras.utils.set_random_seed(0)
    network = network_of(Recipe(width=width, input_size=size, bn_momentum=0.0), keras)
    faces = np.stack([resize_gray(image, size) for image in synthetic_split(3, 0).images])
    network(to_float_input(faces), training=True)  # each BatchNorm takes what it sees, so that no channel is dead
    return ptq_to_tflite(network, faces)


def _trained_row(released: Released) -> dict[str, Any]:
    recipe, int8 = released.manifest["recipe"], released.int8
    robustness = released.robustness["models"][0] if released.robustness else None
    return {
        "name": released.int8_name,
        "trained": True,
        "width": float(recipe.get("width", 1.0)),
        "input_size": int(recipe["input_size"]),
        "last_channels": int(recipe.get("last_channels", 1280)),
        "accuracy": int8["accuracy"],
        "n_images": int8["n_images"],
        "split": int8["split"],
        "accuracy_disturbed": robustness["mean"]["accuracy"] if robustness else None,
    }


def _untrained_row(name: str, width: float, size: int) -> dict[str, Any]:
    accuracies = dict.fromkeys(("accuracy", "n_images", "split", "accuracy_disturbed"))
    channels = Recipe().last_channels
    return {"name": name, "trained": False, "width": width, "input_size": size, "last_channels": channels, **accuracies}


def _measured(path: Path, classifier: Classifier, python: str) -> dict[str, Any]:
    arena = smallest_arena(path, python)
    classifier.close()
    return {"bytes": path.stat().st_size, "sha256": sha256_of(path), "arena_bytes": arena}


def smallest_arena(path: Path, python: str) -> int | None:
    """Bytes of the smallest arena that TensorFlow Lite Micro opens a file with, to 1 KiB; None without the package.

    One too small brings the process down, so each try has one of its own. Raises :class:`ModelError` where it does not
    open with 8 MiB.
    """
    if subprocess.run([python, "-c", "import tflite_micro"], capture_output=True, check=False).returncode:
        return None

    def opens(size: int) -> bool:
        done = subprocess.run([python, "-c", _ARENA, str(path), str(size)], capture_output=True, check=False)
        return done.returncode == 0

    low, high = 0, _LARGEST_ARENA
    if not opens(high):
        raise ModelError(f"TensorFlow Lite Micro does not open {path.name} with an arena of {high} bytes")
    while high - low > 1024:
        middle = (low + high) // 2048 * 1024
        low, high = (low, middle) if opens(middle) else (middle, high)
    return high


def markdown(report: dict[str, Any]) -> str:
    """The table, with what is not trained marked as such."""
    lines = [
        "| model | input | width | clean | disturbed | INT8 file | latency | tensor arena |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for model in report["models"]:
        name = f"**`{model['name']}`**" if model["trained"] else "*architecture only, untrained*"
        ratio = f"{model['latency_ratio']['median']:.2f}"
        if not report["valid"]:
            ratio = f"{model['latency_ratio_of_least']:.2f} \\*"
        arena = "-" if model["arena_bytes"] is None else f"{model['arena_bytes'] / 1024:.0f} KiB"
        cells = [
            name,
            f"{model['input_size']} px",
            f"{model['width']:g}",
            _percent(model["accuracy"]),
            _percent(model["accuracy_disturbed"]),
            f"{model['bytes'] / 1e6:.2f} MB",
            ratio,
            arena,
        ]
        lines.append("| " + " | ".join(cells) + " |")
    n = next((model["n_images"] for model in report["models"] if model["n_images"]), None)
    notes = [
        f"Latency: median ratio to `{report['latency_ratio_to']}`, one thread, {report['n_rounds']} rounds by turns on "
        f"{report['machine']['cpu_model']}."
    ]
    notes += [f"Accuracy on PublicTest, n = {n:,}."] if n else []
    if not report["valid"]:
        reasons = "; ".join(report["invalid_reasons"])
        notes.append(f"\\* **Not valid**, and of the least times instead, which other work disturbs least: {reasons}.")
    return "\n".join(lines) + "\n\n" + "\n".join(notes) + "\n"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def draw(report: dict[str, Any], path: Path) -> None:
    """Arena against bytes of the file, one point a model: filled and with its accuracy where it is trained."""
    figure, axes = new_figure(8.2, 4.4)
    sizes = sorted({model["input_size"] for model in report["models"]})
    for model in report["models"]:
        if model["arena_bytes"] is None:
            continue
        x, y = model["bytes"] / 1e6, model["arena_bytes"] / 1024
        colour = COLOURS[sizes.index(model["input_size"]) % len(COLOURS)]
        axes.plot(x, y, "o", color=colour, markersize=9, markerfacecolor=colour if model["trained"] else "white")
        label = f"{model['width']:g} at {model['input_size']} px"
        if model["trained"]:
            label += f"\n{_percent(model['accuracy'])} clean, {_percent(model['accuracy_disturbed'])} disturbed"
        # Beside a released model stand two lines, so that the names of others stand below them.
        place, side = ((8, -4), "left") if model["trained"] else ((0, -17), "center")
        axes.annotate(label, (x, y), xytext=place, textcoords="offset points", ha=side, fontsize=9)
    axes.set_xlabel("INT8 file, MB (filled: trained and released; hollow: architecture only)")
    axes.set_ylabel("tensor arena, KiB")
    axes.margins(0.18)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120, bbox_inches="tight")


if __name__ == "__main__":
    sys.exit(main())
