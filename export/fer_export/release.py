"""Fill ``models/`` from a finished run: ``fer-export release --run runs/NAME --data fer2013.zip``.

After the files, accuracy on disturbed faces is measured (``fer-bench robustness``), and the figures in the documents
are rewritten. A second model has a name of its own, such as ``small``: its device files lie beside those of the
first as ``fer_small_int8.tflite`` and so on, all others in ``models/small/``.

The weights are packed in half precision first, and everything else is exported from the packed form, so that anyone's
``fer-export --int8`` on the committed weights makes the network that is committed: every weight, scale and bias of it.
All files are made elsewhere and then written together: a release that fails leaves the earlier one as it was.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import cv2

from fer_edge.errors import CheckFailedError, ModelError
from fer_edge.files import write_together
from fer_edge.system import usable_cpus
from fer_edge.verification.golden import GOLDEN_NAME
from fer_export.describe.family import family_name, rename_family
from fer_export.describe.figures import ROBUSTNESS
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

__all__ = ["CONFUSION", "OPTIONAL", "WEIGHTS_NAME", "draw_overview", "measure_robustness", "release"]

CONFUSION: Final[str] = "confusion_int8.png"
OPTIONAL: Final[tuple[str, ...]] = (PACKED_QAT, RECORD)
"""Not every run has them; those of an earlier release are removed then."""
WEIGHTS_NAME: Final[str] = "models"
"""What the reports call the weights, which lie in a temporary folder while they are exported."""
_ROBUSTNESS_FILES: Final[dict[str, str]] = {"--json": "json", "--markdown": "md", "--picture": "png"}


class _Announced(Steps):
    """Names every step on standard error."""

    def begin(self, name: str, total: int | None = None) -> None:  # noqa: ARG002
        LOG.info(name)


def release(run: Path, data: Path, split: str, destination: Path, name: str | None = None) -> Path:
    """Write weights, INT8 models, golden vectors, manifest, report and figures of a run, all or none.

    Args:
        run: folder of a finished run.
        data: data set to judge on; ranges are measured on its train split where the run has no QAT network.
        split: the split to judge on.
        destination: folder that is filled; other files in it stay.
        name: of a second model beside the first, such as ``small``; None is the first.

    Returns:
        The folder of the weights: ``destination``, or for a second model the one of its name below it.

    Raises:
        GateFailedError: the exported models are not good enough.
        ModelError: a run that cannot be packed or drawn.
    """
    chain = ancestry(run)  # may begin with what is in the destination
    home = destination / name if name else destination
    with tempfile.TemporaryDirectory(prefix="fer-release-") as folder:
        packed, exported, records = (Path(folder) / part for part in ("packed", "exported", "records"))
        pack(load_trained(run), packed)
        _write_records(chain, _export(packed, exported, data, split, name), records)
        if name:
            rename_family(exported, name)
        weights = [packed / part for part in ("config.json", PACKED_FLOAT, PACKED_QAT, RECORD)]
        weights += [*sorted(records.iterdir()), exported / "report.md"]
        device = [exported / family_name(part, name) for part in (INT8_TFLITE, INT8_ONNX, GOLDEN_NAME, MANIFEST_NAME)]
        # The manifest is the last of all: whoever finds it finds what it names.
        groups = [(home, weights), (destination, device)] if name else [(home, [*weights, *device])]
        contents = [
            (place, [(path.name, path.read_bytes()) for path in paths if _is_there(path)]) for place, paths in groups
        ]
    for place, files in contents:
        write_together(place, files)
    for optional in set(OPTIONAL) - dict(contents[0][1]).keys():
        (home / optional).unlink(missing_ok=True)
    for suffix in ("json", "md", "png"):  # of an earlier model
        (home / f"{ROBUSTNESS}.{suffix}").unlink(missing_ok=True)
    return home


def measure_robustness(model: Path, data: Path, split: str, home: Path) -> None:
    """Accuracy of a released model on disturbed faces: JSON, table and picture beside its weights.

    Args:
        model: the INT8 TFLite file.
        data: data set to judge on.
        split: the split to judge on.
        home: folder that the files go to.

    Raises:
        CheckFailedError: ``fer-bench`` failed; its own words are on standard error.
    """
    files = {option: home / f"{ROBUSTNESS}.{suffix}" for option, suffix in _ROBUSTNESS_FILES.items()}
    with tempfile.TemporaryDirectory(prefix="fer-robustness-") as folder:
        made = {option: Path(folder) / path.name for option, path in files.items()}
        # A process of its own: fer_export and fer_bench never import each other.
        command = [sys.executable, "-m", "fer_bench", "robustness", "--model", str(model)]
        command += ["--data", str(data), "--split", split]
        for option, path in made.items():
            command += [option, str(path)]
        if subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode:
            raise CheckFailedError(
                f"accuracy on disturbed faces of {model} could not be measured; the models are written, repeat it with "
                "fer-export release --figures-only"
            )
        write_together(home, [(path.name, path.read_bytes()) for path in made.values()])


def _is_there(path: Path) -> bool:
    return path.name not in OPTIONAL or path.exists()


def _export(packed: Path, out: Path, data: Path, split: str, name: str | None) -> ExportResult:
    dataset = load_dataset(data)
    judged = dataset.split(split)
    request = ExportRequest(
        weights=packed,
        weights_name=f"{WEIGHTS_NAME}/{name}" if name else WEIGHTS_NAME,
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
