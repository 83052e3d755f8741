"""Fill ``models/`` from a finished run: ``fer-export release --run runs/NAME --data fer2013.zip``.

The weights are packed in half precision first, and everything else is exported from the packed form, so that anyone's
``fer-export --int8`` on the committed weights makes the network that is committed (the same answers; TensorFlow's
converter does not always write the same bytes). All files are made elsewhere and then written together: a release that
fails leaves the earlier one as it was.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Final

import cv2

from fer_edge.errors import ModelError
from fer_edge.files import write_together
from fer_edge.system import usable_cpus
from fer_edge.verification.golden import GOLDEN_NAME
from fer_export.describe.manifest import MANIFEST_NAME
from fer_export.export import export_models
from fer_export.file_names import FLOAT_TFLITE, INT8_ONNX, INT8_TFLITE
from fer_export.log import LOG
from fer_export.request import ExportRequest, ExportResult, Steps
from fer_train.data.dataset import load_dataset
from fer_train.evaluation.temperature import RECORD
from fer_train.runs.ancestry import RECIPES, ancestry, recipes, whole_history
from fer_train.runs.history import write_metrics
from fer_train.runs.packing import pack
from fer_train.runs.plots import draw_confusion, draw_curves
from fer_train.runs.run_folder import RunFolder
from fer_train.runs.trained import PACKED_FLOAT, PACKED_QAT, load_trained

__all__ = ["CONFUSION", "OPTIONAL", "WEIGHTS_NAME", "draw_overview", "release"]

CONFUSION: Final[str] = "confusion_int8.png"
OPTIONAL: Final[tuple[str, ...]] = (PACKED_QAT, RECORD)
"""Not every run has them; those of an earlier release are removed then."""
WEIGHTS_NAME: Final[str] = "models"
"""What the reports call the weights, which lie in a temporary folder while they are exported."""


class _Announced(Steps):
    """Names every step on standard error."""

    def begin(self, name: str, total: int | None = None) -> None:  # noqa: ARG002
        LOG.info(name)


def release(run: Path, data: Path, split: str, destination: Path) -> None:
    """Write weights, INT8 models, golden vectors, manifest, report and figures of a run, all or none.

    Args:
        run: folder of a finished run.
        data: data set to judge on; ranges are measured on its train split where the run has no QAT network.
        split: the split to judge on.
        destination: folder that is filled; other files in it stay.

    Raises:
        GateFailedError: the exported models are not good enough.
        ModelError: a run that cannot be packed or drawn.
    """
    chain = ancestry(run)  # may begin with what is in the destination
    with tempfile.TemporaryDirectory(prefix="fer-release-") as folder:
        packed, exported, records = (Path(folder) / name for name in ("packed", "exported", "records"))
        pack(load_trained(run), packed)
        _write_records(chain, _export(packed, exported, data, split), records)
        paths = [packed / name for name in ("config.json", PACKED_FLOAT, PACKED_QAT, RECORD)]
        paths += sorted(records.iterdir())
        paths += [exported / name for name in (INT8_TFLITE, INT8_ONNX, GOLDEN_NAME, "report.md", MANIFEST_NAME)]
        files = [(path.name, path.read_bytes()) for path in paths if path.name not in OPTIONAL or path.exists()]
    write_together(destination, files)
    for name in set(OPTIONAL) - dict(files).keys():
        (destination / name).unlink(missing_ok=True)


def _export(packed: Path, out: Path, data: Path, split: str) -> ExportResult:
    dataset = load_dataset(data)
    judged = dataset.split(split)
    request = ExportRequest(
        weights=packed,
        weights_name=WEIGHTS_NAME,
        out=out,
        split=judged,
        representatives=dataset.splits.get("train", judged),
        data=data.name,
        data_fingerprint=dataset.fingerprint,
        threads=min(4, usable_cpus()),
    )
    return export_models(request, _Announced())


def _write_records(chain: list[Path], result: ExportResult, folder: Path) -> None:
    """Figures and records of how the networks came about and how good they are.

    The evaluations are of the packed weights, not of the run: rounding kernels to half precision moves a few decisions.
    """
    folder.mkdir()
    evaluations = {"float": result.evaluations[FLOAT_TFLITE], "int8": result.evaluations[INT8_TFLITE]}
    summary = {name: evaluation.as_dict() for name, evaluation in evaluations.items()}
    history = whole_history(chain)
    (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    (folder / RECIPES).write_text(json.dumps(recipes(chain), indent=2) + "\n", encoding="utf-8")
    write_metrics(folder / RunFolder(chain[-1]).metrics.name, history)
    draw_confusion(evaluations["int8"], folder / CONFUSION, "INT8")
    with tempfile.TemporaryDirectory(prefix="fer-curves-") as curves:
        draw_curves(history, Path(curves))
        accuracy = Path(curves) / "accuracy.png"
        draw_overview(accuracy, folder / CONFUSION, folder / "overview.png")
        (folder / "curves.png").write_bytes((Path(curves) / "curves.png").read_bytes())


def draw_overview(curve: Path, confusion: Path, path: Path) -> None:
    """Accuracy by epoch and the confusion matrix side by side, for the front page.

    Args:
        curve: picture of the accuracy by epoch.
        confusion: picture of the confusion matrix.
        path: of the new picture.

    Raises:
        ModelError: a picture is missing, or the new one cannot be written.
    """
    left, right = cv2.imread(str(curve)), cv2.imread(str(confusion))
    if left is None or right is None:
        raise ModelError(f"{curve} or {confusion} is not a picture; has the run finished?")
    width = round(right.shape[1] * left.shape[0] / right.shape[0])
    right = cv2.resize(right, (width, left.shape[0]), interpolation=cv2.INTER_AREA)
    if not cv2.imwrite(str(path), cv2.hconcat([left, right])):
        raise ModelError(f"{path} cannot be written")
