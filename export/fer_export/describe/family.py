"""Names of a second released model's files: ``fer_small_int8.tflite`` beside ``fer_int8.tflite``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from fer_edge.files import atomic_path
from fer_edge.verification.golden import GOLDEN_NAME
from fer_export.describe.manifest import MANIFEST_NAME, write_manifest
from fer_export.file_names import INT8_ONNX, INT8_TFLITE, MODEL_FILES

__all__ = ["family_name", "rename_family"]

_PREFIX = "fer_"


def family_name(file: str, name: str | None) -> str:
    """What a device file of a second model is called.

    Args:
        file: its name as an export writes it, such as ``fer_int8.tflite`` or ``golden.npz``.
        name: of the model, such as ``small``; None leaves ``file`` as it is.

    Returns:
        Such as ``fer_small_int8.tflite`` and ``fer_small_golden.npz``.
    """
    return file if name is None else f"{_PREFIX}{name}_{file.removeprefix(_PREFIX)}"


def rename_family(folder: Path, name: str) -> None:
    """Rename the device files of a finished export, also where they name each other.

    Args:
        folder: of the export, changed in place.
        name: of the model, such as ``small``.
    """
    new = {file: family_name(file, name) for file in MODEL_FILES}
    manifest = json.loads((folder / MANIFEST_NAME).read_text(encoding="utf-8"))
    manifest["models"] = {new[file]: entry for file, entry in manifest["models"].items()}
    write_manifest(folder / family_name(MANIFEST_NAME, name), manifest)
    (folder / MANIFEST_NAME).unlink()
    with np.load(folder / GOLDEN_NAME, allow_pickle=False) as stored:
        arrays = {key: stored[key] for key in stored.files}
    info = json.loads(str(arrays["info"]))
    arrays["info"] = np.asarray(json.dumps(info | {"model": new[info["model"]]}, sort_keys=True))
    with atomic_path(folder / family_name(GOLDEN_NAME, name)) as temporary:
        np.savez_compressed(temporary, **arrays)
    (folder / GOLDEN_NAME).unlink()
    report = (folder / "report.md").read_text(encoding="utf-8")
    for file, renamed in new.items():
        report = report.replace(file, renamed)
    (folder / "report.md").write_text(report, encoding="utf-8")
    for file in (INT8_TFLITE, INT8_ONNX):
        (folder / file).rename(folder / new[file])
