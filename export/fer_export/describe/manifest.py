"""``manifest.json``: what each model file is, how good it measured, and what made it."""

from __future__ import annotations

import json
import os
import platform
from datetime import datetime, timezone
from typing import Any, Final

from fer_edge.files import sha256_of, write_text
from fer_edge.inference.classifier import Classifier
from fer_edge.inference.tensors import TensorSpec
from fer_edge.labels import EMOTIONS
from fer_edge.versions import package_versions, source_commit
from fer_export.check.gate import Comparison

__all__ = ["FORMAT", "MANIFEST_NAME", "build_manifest", "model_entry", "tensor_entry", "versions", "write_manifest"]

MANIFEST_NAME: Final[str] = "manifest.json"
FORMAT: Final[int] = 1


def versions() -> dict[str, str]:
    """Python, platform and the packages that take part in an export; absent ones are left out.

    Returns:
        ``{name: version}``.
    """
    here = {"python": platform.python_version(), "platform": f"{platform.system()} {platform.machine()}"}
    return here | package_versions()


def tensor_entry(spec: TensorSpec, *, layout: str | None = None) -> dict[str, Any]:
    """One end of a model as the contract writes it; scale and zero point are null for float.

    Args:
        spec: of the tensor.
        layout: such as ``NHWC``; None leaves it out.

    Returns:
        Plain JSON values.
    """
    entry: dict[str, Any] = {"name": spec.name, "shape": list(spec.shape)}
    if layout:
        entry["layout"] = layout
    entry["dtype"] = spec.dtype.name
    entry["scale"] = spec.scale if spec.is_quantized else None
    entry["zero_point"] = spec.zero_point if spec.is_quantized else None
    return entry


def model_entry(classifier: Classifier, comparison: Comparison, *, labelled: bool) -> dict[str, Any]:
    """What the manifest says of one model file.

    Args:
        classifier: the opened model.
        comparison: with the float model.
        labelled: False for faces without a true label: accuracy and what follows from it is null then.

    Returns:
        Plain JSON values.
    """
    evaluation = comparison.other
    return {
        "sha256": sha256_of(classifier.model_path),
        "bytes": classifier.model_path.stat().st_size,
        "input": tensor_entry(classifier.input_spec, layout="NHWC"),
        "output": tensor_entry(classifier.output_spec, layout="NC"),
        "labels": list(EMOTIONS),
        "accuracy": evaluation.accuracy if labelled else None,
        "recall": evaluation.recall if labelled else None,
        "n_images": evaluation.n_images,
        "split": evaluation.split,
        "top1_agreement_with_float": comparison.agreement,
        "drop_points": comparison.drop.value if labelled else None,
        "drop_interval_points": [comparison.drop.low, comparison.drop.high] if labelled else None,
        "expected_calibration_error": evaluation.calibration_error if labelled else None,
        "mean_probability_difference_from_float": comparison.mean_probability_difference,
        "runtime": classifier.runtime_version,
    }


def build_manifest(models: dict[str, dict[str, Any]], facts: dict[str, Any]) -> dict[str, Any]:
    """The whole manifest.

    Args:
        models: entries by file name.
        facts: further entries at the top, such as the source of weights and data.

    Returns:
        Plain JSON values.
    """
    return {
        "format": FORMAT,
        "models": models,
        "versions": versions(),
        "commit": source_commit(),
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        **facts,
    }


def write_manifest(path: str | os.PathLike[str], manifest: dict[str, Any]) -> None:
    """Write the manifest atomically.

    Args:
        path: of the file.
        manifest: plain JSON values; NaN, which JSON lacks, must have been replaced by null before.
    """
    write_text(path, json.dumps(manifest, indent=2, allow_nan=False) + "\n")
