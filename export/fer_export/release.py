"""Fill ``models/`` from a finished run: ``python -m fer_export.release --run runs/NAME --data fer2013.zip``.

The weights are packed in half precision first, and everything else is exported from the packed form, so that anyone's
``fer-export --int8`` on the committed weights makes the network that is committed (the same answers; TensorFlow's
converter does not always write the same bytes).
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import cv2

from fer_edge.command import CommandParser, run_command
from fer_edge.errors import CheckFailedError, ModelError
from fer_edge.files import atomic_path, write_text
from fer_edge.loading.open import open_classifier
from fer_edge.native import quiet_native_libraries
from fer_edge.verification.golden import GOLDEN_NAME
from fer_export.describe.manifest import MANIFEST_NAME
from fer_export.file_names import FLOAT_TFLITE, INT8_ONNX, INT8_TFLITE
from fer_train.data.dataset import load_dataset
from fer_train.evaluation.evaluate import evaluate
from fer_train.evaluation.temperature import RECORD
from fer_train.runs.ancestry import RECIPES, ancestry, recipes, whole_history
from fer_train.runs.history import write_metrics
from fer_train.runs.plots import draw_confusion, draw_curves
from fer_train.runs.run_folder import RunFolder

PROG = "fer_export.release"
CONFUSION = "confusion_int8.png"


def main(argv: Sequence[str] | None = None) -> int:
    """Pack, export, check and copy; returns the exit code of the contract."""

    def body() -> int:
        parser = CommandParser(prog=PROG, description=__doc__)
        parser.add_argument("--run", type=Path, required=True, help="a finished run of fer-train")
        parser.add_argument("--data", type=Path, required=True, help="data set to judge on")
        parser.add_argument("--split", default="validation")
        parser.add_argument("--to", type=Path, default=Path("models"))
        options = parser.parse_args(argv)
        return release(options.run, options.data, options.split, options.to)

    with quiet_native_libraries():
        return run_command(PROG, body)


def release(run: Path, data: Path, split: str, target: Path) -> int:
    """Write weights, INT8 models, golden vectors, manifest, report and figures of ``run`` to ``target``."""
    from fer_export.cli import main as export
    from fer_train.runs.packing import pack
    from fer_train.runs.trained import PACKED_FLOAT, PACKED_QAT, load_trained

    chain = ancestry(run)  # may begin with what stands in the target
    told, history = recipes(chain), whole_history(chain)
    with tempfile.TemporaryDirectory(prefix="fer-release-") as folder:
        packed, out = Path(folder) / "packed", Path(folder) / "out"
        pack(load_trained(run), packed)
        code = export(["--int8", "--weights", str(packed), "--data", str(data), "--split", split, "--out", str(out)])
        if code:
            raise CheckFailedError(f"{run} was not exported; {target} stays as it was")
        manifest = json.loads((out / MANIFEST_NAME).read_text(encoding="utf-8"))
        manifest["weights"], manifest["data"] = "models", data.name  # no path of this machine
        (target / RECORD).unlink(missing_ok=True)  # of weights that are replaced now
        if (packed / RECORD).exists():
            _copy(packed / RECORD, target)
        for source in [packed / "config.json", packed / PACKED_FLOAT, packed / PACKED_QAT]:
            _copy(source, target)
        for source in [out / INT8_TFLITE, out / INT8_ONNX, out / GOLDEN_NAME]:
            _copy(source, target)
        write_text(target / MANIFEST_NAME, json.dumps(manifest, indent=2) + "\n")
        write_text(target / "report.md", (out / "report.md").read_text(encoding="utf-8").replace(str(packed), "models"))
        faces = load_dataset(data).split(split)
        results = {}
        for name, file in (("float", FLOAT_TFLITE), ("int8", INT8_TFLITE)):
            with contextlib.closing(open_classifier(out / file, trusted=True)) as classifier:
                results[name] = evaluate(classifier, faces.images, faces.labels, split)
    # Of the packed weights, not of the run: rounding kernels to half precision moves a few decisions.
    summary = {name: result.as_dict() for name, result in results.items()}
    write_text(target / "summary.json", json.dumps(summary, indent=2) + "\n")
    draw_confusion(results["int8"], target / CONFUSION, "INT8")
    write_text(target / RECIPES, json.dumps(told, indent=2) + "\n")
    write_metrics(target / RunFolder(run).metrics.name, history)
    with tempfile.TemporaryDirectory(prefix="fer-release-") as folder:
        draw_curves(history, Path(folder))
        _copy(Path(folder) / "curves.png", target)
        draw_overview(Path(folder) / "accuracy.png", target / CONFUSION, target / "overview.png")
    return 0


def draw_overview(curve: Path, confusion: Path, path: Path) -> None:
    """Accuracy by epoch and the confusion matrix side by side, for the front page."""
    left, right = cv2.imread(str(curve)), cv2.imread(str(confusion))
    if left is None or right is None:
        raise ModelError(f"{curve} or {confusion} is no picture; has the run finished?")
    width = round(right.shape[1] * left.shape[0] / right.shape[0])
    right = cv2.resize(right, (width, left.shape[0]), interpolation=cv2.INTER_AREA)
    with atomic_path(path) as temporary:
        cv2.imwrite(str(temporary), cv2.hconcat([left, right]))


def _copy(source: Path, folder: Path) -> None:
    with atomic_path(folder / source.name) as temporary:
        shutil.copyfile(source, temporary)


if __name__ == "__main__":
    sys.exit(main())
