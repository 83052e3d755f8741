"""``fer-bench demo``: the last step of ``make demo``, one page that shows what was made.

It reads what ``fer-export`` and ``fer-bench`` left in a folder, and has the INT8 model answer for a few faces.
"""

from __future__ import annotations

import base64
import contextlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from fer_bench.measure.accuracy import load_faces
from fer_bench.report.trust import plain_sentence
from fer_bench.report_file import read_report
from fer_bench.schema import Report, Result
from fer_edge.arrays import FloatArray, Image
from fer_edge.errors import InputError
from fer_edge.files import write_text
from fer_edge.html import render
from fer_edge.labels import EMOTIONS
from fer_edge.native import quiet_native_libraries
from fer_train.data.dataset import Split
from fer_train.synthetic.faces import SYNTHETIC_SPLIT
from fer_train.wording import megabytes

__all__ = ["ANSWERS_SHOWN", "FACES_PER_CLASS", "MODEL", "answered", "demo_main", "demo_page"]

FACES_PER_CLASS: Final[int] = 2
ANSWERS_SHOWN: Final[int] = 3
"""How many emotions are shown per face, the most probable first."""
MODEL: Final[str] = "fer_int8.tflite"
"""File of the model that answers."""
_ENLARGED: Final[int] = 144


def demo_main(folder: Path, data: Path | None = None, split: str = "validation") -> int:
    """Write the page ``demo.html`` into a folder and print its path.

    Args:
        folder: as for :func:`demo_page`.
        data: labelled faces, anything that :func:`fer_bench.measure.accuracy.load_faces` reads; None: synthetic ones.
        split: of the data.

    Returns:
        The exit code.

    Raises:
        InputError: a file is missing or is not what it should be.
        MissingDependencyError: Jinja2 is not installed.
    """
    page = folder / "demo.html"
    with quiet_native_libraries():
        text = demo_page(folder, load_faces(data, split))
    write_text(page, text)
    sys.stdout.write(f"Open this page in a browser: {page.resolve()}\n")
    return 0


def demo_page(folder: Path, faces: Split) -> str:
    """The page as text.

    Args:
        folder: holds ``manifest.json`` and the models of ``fer-export``, and ``bench.json`` of ``fer-bench``.
        faces: labelled faces to show; a few of each class are taken.

    Returns:
        One HTML file without outside resources.

    Raises:
        InputError: a file is missing or is not what it should be.
    """
    report = read_report(folder / "bench.json")
    manifest = _manifest(folder / "manifest.json")
    synthetic = faces.name == SYNTHETIC_SPLIT
    shown = answered(folder / MODEL, faces)
    text = render(
        __package__ or "",
        "demo_page.html",
        title="fer-edge-toolkit: the demo",
        synthetic=synthetic,
        faces=shown,
        right=f"{sum(face['right'] for face in shown)} of {len(shown)}",
        models=_models(report, manifest),
        measured_on=_measured_on(report, synthetic),
        bars=_bars(report.results),
        place=report.machine.board or report.machine.cpu_model,
        trust=plain_sentence([(result.model, result.invalid_reasons) for result in report.results]),
    )
    return str(text)


def answered(model: Path, faces: Split) -> list[dict[str, Any]]:
    """A few faces of each class in turn, with the picture, its label and the model's most probable answers.

    Args:
        model: path of a model file.
        faces: labelled faces; the first of each class are taken.

    Returns:
        For each: ``url`` (the picture), ``label``, ``right``, and ``answers`` as ``(emotion, probability, percent)``.

    Raises:
        ModelError: the file cannot be used.
    """
    from fer_edge.loading.open import open_classifier
    from fer_edge.preprocess import preprocess_face

    chosen = [
        int(index)
        for k in range(FACES_PER_CLASS)
        for emotion in range(len(EMOTIONS))
        for index in np.flatnonzero(faces.labels == emotion)[k : k + 1]
    ]
    with contextlib.closing(open_classifier(model)) as classifier:
        batch = np.stack([preprocess_face(faces.images[index], classifier.input_size) for index in chosen])
        probabilities = classifier.predict(batch)
    return [
        _answer(faces.images[index], int(faces.labels[index]), row)
        for index, row in zip(chosen, probabilities, strict=True)
    ]


def _answer(image: Image, label: int, probabilities: FloatArray) -> dict[str, Any]:
    order = np.argsort(-probabilities)[:ANSWERS_SHOWN]
    return {
        "url": _data_url(image),
        "label": EMOTIONS[label],
        "right": bool(order[0] == label),
        "answers": [(EMOTIONS[i], float(probabilities[i]), f"{probabilities[i]:.0%}") for i in order],
    }


def _data_url(image: Image) -> str:
    large = cv2.resize(image, (_ENLARGED, _ENLARGED), interpolation=cv2.INTER_CUBIC)
    content = cv2.imencode(".jpg", large, [cv2.IMWRITE_JPEG_QUALITY, 88])[1]
    return "data:image/jpeg;base64," + base64.b64encode(content.tobytes()).decode()


def _manifest(path: Path) -> dict[str, Any]:
    try:
        models = json.loads(path.read_text(encoding="utf-8"))["models"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} cannot be read: expected the manifest that fer-export writes; run make demo"
        ) from error
    return dict(models)


def _models(report: Report, manifest: dict[str, Any]) -> list[tuple[str, str, str, str, str]]:
    """Name, size, accuracy, agreement and median time of each model; a dash for what was not measured."""
    rows = []
    for result in report.results:
        entry = manifest.get(result.model, {})
        accuracy, agreement = result.accuracy, entry.get("top1_agreement_with_float")
        rows.append(
            (
                result.model,
                megabytes(result.file_bytes),
                "–" if accuracy is None else f"{accuracy:.1%}",
                "–" if agreement is None else f"{agreement:.1%}",
                f"{result.latency_ms.p50:.2f} ms",
            )
        )
    return rows


def _measured_on(report: Report, synthetic: bool) -> str:
    known = next((result for result in report.results if result.n_images), None)
    if known is None:
        return ""
    what = "synthetic faces" if synthetic else f"images of split {known.split}"
    return f"{known.n_images:,} {what}"


def _bars(results: Sequence[Result]) -> list[tuple[str, float, str]]:
    slowest = max((result.latency_ms.p50 for result in results), default=1.0)
    return [
        (result.model, result.latency_ms.p50 / slowest, f"{1000 / result.latency_ms.p50:,.0f} faces/s")
        for result in results
    ]
