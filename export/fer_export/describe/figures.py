"""Figures of a released model, from the files beside it, as the documents give them.

A document holds each figure between two marks, ``<!-- figures: NAME of models -->`` and ``<!-- /figures -->``, in a
paragraph of its own or within a line. ``fer-export release`` rewrites what is between them, and a test fails where
it is out of date.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fer_edge.errors import ModelError
from fer_edge.files import write_text
from fer_edge.labels import EMOTIONS
from fer_export.describe.manifest import MANIFEST_NAME

__all__ = ["DOCUMENTS", "FIGURES", "ROBUSTNESS", "Released", "read_released", "update_documents", "updated"]

DOCUMENTS: Final[tuple[str, ...]] = ("README.md", "models/README.md", "models/small/README.md", "export/README.md")
"""Below the root of the checkout: what holds figures of released models."""
ROBUSTNESS: Final[str] = "robustness"
"""Of ``fer-bench robustness``: ``.json``, ``.md`` and ``.png`` beside the weights."""
_MARKED: Final = re.compile(
    r"(<!-- figures: (?P<name>[\w-]+) of (?P<folder>[\w/]+) -->)(?P<text>.*?)(<!-- /figures -->)", re.DOTALL
)
_NOT_MEASURED: Final[str] = "Not measured for this release; `fer-export release --figures-only` does it."
_WIDTH: Final[int] = 120
"""Of a line of text."""


@dataclass(frozen=True)
class Released:
    """What the files of a release say of it."""

    folder: Path
    """Of weights, summary and robustness."""
    manifest: dict[str, Any]
    """Of its model files."""
    summary: dict[str, Any]
    """Evaluations of the float and the INT8 model."""
    temperature: dict[str, Any] | None
    """None where none was fitted."""
    robustness: dict[str, Any] | None
    """Of ``fer-bench robustness`` for this INT8 file; None where it has not been measured."""

    @property
    def int8_name(self) -> str:
        """Name of the INT8 TFLite file."""
        names: list[str] = list(self.manifest["models"])
        return next(name for name in names if name.endswith("_int8.tflite"))

    @property
    def int8(self) -> dict[str, Any]:
        """The manifest's entry of the INT8 TFLite file."""
        entry: dict[str, Any] = self.manifest["models"][self.int8_name]
        return entry


def read_released(folder: Path) -> Released:
    """Read what a release left.

    Args:
        folder: ``models``, or a folder below it such as ``models/small``, whose device files lie in ``models``.

    Returns:
        All of it.

    Raises:
        ModelError: a file is missing or damaged, or the robustness is of another model.
    """
    manifest_path = folder / MANIFEST_NAME
    if not manifest_path.is_file():
        manifest_path = folder.parent / f"fer_{folder.name}_{MANIFEST_NAME}"
    manifest, summary = _json(manifest_path), _json(folder / "summary.json")
    temperature = _json(folder / "temperature.json") if (folder / "temperature.json").is_file() else None
    robustness = _json(folder / f"{ROBUSTNESS}.json") if (folder / f"{ROBUSTNESS}.json").is_file() else None
    released = Released(folder, manifest, summary, temperature, robustness)
    if robustness is not None and robustness["models"][0]["sha256"] != released.int8["sha256"]:
        raise ModelError(
            f"{folder / ROBUSTNESS}.json was measured on another file than {released.int8_name}; "
            "fer-export release --run ... measures it again"
        )
    return released


def update_documents(root: Path) -> list[Path]:
    """Rewrite the figures in the documents of a checkout.

    Args:
        root: of the checkout.

    Returns:
        Documents that changed.

    Raises:
        ModelError: a file of a release is missing, or a mark names an unknown figure.
    """
    changed = []
    for name in DOCUMENTS:
        path = root / name
        if not path.is_file():
            continue
        before = path.read_text(encoding="utf-8")
        after = updated(before, root)
        if after != before:
            write_text(path, after)
            changed.append(path)
    return changed


def updated(text: str, root: Path) -> str:
    """A document with its figures as the released files have them.

    Args:
        text: of the document.
        root: of the checkout.

    Returns:
        The new text.

    Raises:
        ModelError: as in :func:`update_documents`.
    """

    def fill(match: re.Match[str]) -> str:
        name = match["name"]
        if name not in FIGURES:
            raise ModelError(f"unknown figure {name!r} in a document; there are {', '.join(FIGURES)}")
        content = FIGURES[name](read_released(root / match["folder"]))
        if content is None:
            return match[0]
        alone = "\n" in match["text"]
        return f"{match[1]}\n\n{content.rstrip()}\n\n{match[5]}" if alone else f"{match[1]}{content}{match[5]}"

    return _MARKED.sub(fill, text)


def _json(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path} cannot be read: {error}") from error
    return content


def _percent(value: float, digits: int = 1) -> str:
    return f"{100 * value:.{digits}f} %"


def _wrapped(text: str) -> str:
    lines, line = [], ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > _WIDTH:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}".strip()
    return "\n".join([*lines, line])


def _size(released: Released) -> str:
    return f"{released.int8['bytes'] / 1e6:.2f} MB"


def _accuracy(released: Released) -> str:
    return _percent(released.int8["accuracy"])


def _float_accuracy(released: Released) -> str:
    return _percent(released.summary["float"]["accuracy"])


def _clean(released: Released) -> str:
    accuracy, n = released.int8["accuracy"], released.int8["n_images"]
    return f"{100 * accuracy:.1f} ± {196 * (accuracy * (1 - accuracy) / n) ** 0.5:.1f} %"


def _disturbed(released: Released) -> str:
    if released.robustness is None:
        return "not measured"
    return _percent(released.robustness["models"][0]["mean"]["accuracy"])


def _files(released: Released) -> str:
    lines = ["| file | MB | PublicTest accuracy | drop from float | agreement with float |", "| --- " * 5 + "|"]
    for name, entry in released.manifest["models"].items():
        lines.append(
            f"| `{name}` | {entry['bytes'] / 1e6:.2f} | {_percent(entry['accuracy'], 2)} | "
            f"{entry['drop_points']:+.2f} points | {_percent(entry['top1_agreement_with_float'])} |"
        )
    return "\n".join(lines)


def _interval(released: Released) -> str:
    low, high = released.int8["drop_interval_points"]
    twin = released.manifest["int8_onnx_against_int8_tflite"]
    text = (
        f"n = {released.int8['n_images']:,}; the 95 % interval of the INT8 drop, paired, is {low:+.2f} to {high:+.2f} "
        f"points. The INT8 ONNX file decides {_percent(twin['agreement'])} of the images as the INT8 TFLite file does."
    )
    error = released.int8["expected_calibration_error"]
    text += f" Expected calibration error of the INT8 probabilities (15 bins): {error:.3f}"
    qat = (released.temperature or {}).get("qat")
    if qat:
        before = qat["expected_calibration_error_before"]
        text += f"; before temperature scaling it was {before:.3f} (T = {qat['temperature']:.2f}, folded into the last "
        text += "layer, fitted on PublicTest)"
        if qat.get("biases"):
            biases = ", ".join(f"{name} {value:+.2f}" for name, value in qat["biases"].items())
            least = _percent(qat["least_recall"], 0)
            text += f". Added to logits so that every class is found in at least {least} of its images: "
            text += biases
    return _wrapped(text + ".")


def _arithmetic(released: Released) -> str | None:
    record = released.manifest.get("int8_tflite_on_reference_kernels")
    if record is None:
        return None
    if isinstance(record, str):
        return _wrapped(f"TFLite's reference kernels do not compute this network ({record}).")
    own, other = _percent(released.int8["accuracy"], 2), _percent(record["accuracy"], 2)
    return _wrapped(
        f"`{released.int8_name}`, on {record['n_images']:,} images of PublicTest: {own} on XNNPACK, {other} on the "
        f"reference kernels, {_percent(record['against_xnnpack']['agreement'])} decided alike, "
        f"{_percent(record['identical_outputs'])} with identical outputs, single probabilities up to "
        f"{record['largest_probability_difference']:.2f} apart."
    )


def _recall(released: Released) -> str:
    confusion = released.summary["int8"]["confusion"]
    by_recall = sorted(released.int8["recall"].items(), key=lambda item: -item[1])
    parts = []
    for emotion, recall in by_recall:
        n = sum(confusion[EMOTIONS.index(emotion)])
        parts.append(f"{emotion} {100 * recall:.0f} %" + (f" ({n} images)" if n < 100 else ""))
    return _wrapped(f"Recall of the INT8 model: {', '.join(parts)}.")


def _confused(released: Released) -> str:
    confusion = released.summary["int8"]["confusion"]
    shares = [
        (confusion[i][j] / max(sum(confusion[i]), 1), one, other)
        for i, one in enumerate(EMOTIONS)
        for j, other in enumerate(EMOTIONS)
        if i != j and sum(confusion[i]) >= 100
    ]
    worst = sorted(shares, reverse=True)[:3]
    return "Most confused: " + ", ".join(f"{one} with {other} ({100 * share:.0f} %)" for share, one, other in worst)


def _table(released: Released) -> str:
    if released.robustness is None:
        return _NOT_MEASURED
    picture = f"![Example faces of each disturbance, and accuracy]({ROBUSTNESS}.png)"
    return (released.folder / f"{ROBUSTNESS}.md").read_text(encoding="utf-8") + f"\n{picture}"


def _means(released: Released) -> str:
    report = released.robustness
    if report is None:
        return _NOT_MEASURED
    model = report["models"][0]
    mean, worst = model["mean"], model["worst"]
    kind = next(kind for kind in report["kinds"] if kind["name"] == worst["kind"])
    amount = f"{kind['amounts'][worst['strength'] - 1]:g} {kind['unit']}"
    clean = model["clean"]["expected_calibration_error"]
    return _wrapped(
        f"On average that is {100 * mean['relative_to_clean']:.0f} % of the accuracy on clean faces. Expected "
        f"calibration error: {clean:.3f} clean, {mean['expected_calibration_error']:.3f} on average over the "
        f"{len(model['answers'])} disturbances. Worst: {kind['title']} ({amount}), {_percent(worst['accuracy'])}, "
        f"calibration error {worst['expected_calibration_error']:.2f}."
    )


FIGURES: Final[dict[str, Callable[[Released], str | None]]] = {
    "size": _size,
    "accuracy": _accuracy,
    "float-accuracy": _float_accuracy,
    "clean": _clean,
    "disturbed": _disturbed,
    "files": _files,
    "interval": _interval,
    "arithmetic": _arithmetic,
    "recall": _recall,
    "confused": _confused,
    "disturbed-table": _table,
    "disturbed-means": _means,
}
"""What a mark may name, and how it is written; None where an older release did not measure it: the text stays."""
