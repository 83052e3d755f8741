"""One export from weights to a finished folder: convert, measure, judge, describe, and only then write."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fer_edge.errors import CheckFailedError, ModelError
from fer_edge.files import write_text, write_together
from fer_edge.inference.classifier import Classifier
from fer_edge.loading.open import open_classifier
from fer_edge.verification.golden import GOLDEN_NAME
from fer_edge.verification.replay import verify
from fer_edge.versions import source_commit
from fer_export.check import edgetpu_compiler
from fer_export.check.arithmetic import Arithmetic, check_arithmetic, compare_arithmetic
from fer_export.check.contract import check_contract
from fer_export.check.edgetpu_rules import CoralReport, check_edgetpu_rules
from fer_export.check.gate import Comparison, Verdict, merge
from fer_export.check.layer_error import LayerError, layer_errors
from fer_export.check.onnx_fusion import optimized_operators
from fer_export.convert.four_files import Networks, build_networks
from fer_export.convert.keras_model import UserModel, load_weights
from fer_export.convert.representative_faces import representative_faces
from fer_export.describe import manifest, report
from fer_export.describe.golden_vectors import write_golden
from fer_export.file_names import FLOAT_TFLITE, INT8_ONNX, INT8_TFLITE, MODEL_FILES
from fer_export.judge import plausible, verdict_on_files, way_on
from fer_export.log import LOG
from fer_export.request import ExportRequest, ExportResult, GateFailedError, GateReport, Steps
from fer_export.tflite_file import read_tflite
from fer_train.evaluation.evaluate import ECE_BINS, Evaluation, evaluate_classifier
from fer_train.evaluation.temperature import describe
from fer_train.runs.trained import Trained
from fer_train.wording import counted

__all__ = ["export_models"]


def export_models(request: ExportRequest, steps: Steps | None = None) -> ExportResult:
    """Export and write all files, or raise and write none.

    Args:
        request: what to export, how to judge it, where to put it.
        steps: is called as each step begins and advances; None reports to nobody.

    Returns:
        The finished export.

    Raises:
        GateFailedError: the models are not good enough; every failure is named.
        ModelError: weights that cannot be used.
        CheckFailedError: a written file does not repeat its golden vectors.
        MissingDependencyError: a package for the conversion is not installed.
    """
    steps = steps or Steps()
    steps.begin("loading weights")
    trained = load_weights(request.weights, request.input_range, request.order, request.input_size)
    LOG.debug("%s: %s, input %d pixels", request.origin, type(trained).__name__, trained.input_size)
    networks = build_networks(
        trained,
        lambda size: representative_faces(request.representatives, size),
        request.onnx_target,
        force_ptq=request.force_ptq,
        on_step=steps.begin,
    )
    with tempfile.TemporaryDirectory(prefix="fer-export-") as folder:
        work = Path(folder)
        for name, content in networks.files.items():
            (work / name).write_bytes(content)
        result = _judge_and_describe(request, trained, networks, work, steps)
        steps.begin("writing")
        return _publish(work, request.out, result)


def _judge_and_describe(
    request: ExportRequest, trained: Trained | UserModel, networks: Networks, work: Path, steps: Steps
) -> ExportResult:
    foreign = isinstance(trained, UserModel)
    with _opened(work, request.threads) as classifiers:
        evaluations = {name: _evaluate(name, classifiers[name], request, steps) for name in MODEL_FILES}
        reference = evaluations[FLOAT_TFLITE]
        comparisons = {name: Comparison(reference, evaluation) for name, evaluation in evaluations.items()}
        twin = Comparison(evaluations[INT8_TFLITE], evaluations[INT8_ONNX])
        arithmetic = compare_arithmetic(
            work / INT8_TFLITE, request.split.images, reference, evaluations[INT8_TFLITE], steps
        )
        steps.begin("operators")
        operators = optimized_operators(networks.files[INT8_ONNX])
        checked = check_edgetpu_rules(read_tflite(networks.files[INT8_TFLITE])) if request.with_coral else None
        coral_rows, coral_summary = (checked.rows(), checked.summary) if checked else (None, "")
        verdict = merge(
            [
                plausible(request, trained, reference, steps),
                check_arithmetic(arithmetic, request.limits, labelled=request.labelled),
                verdict_on_files(
                    request, comparisons, twin, operators, networks.onnx_quantiser, checked, foreign=foreign
                ),
            ]
        )
        steps.begin("error by layer")
        sample = representative_faces(request.split, trained.input_size, per_class=5)
        layers = _layers(networks, sample)
        data = _report_data(
            request, trained, networks, comparisons, twin, arithmetic, verdict, layers, operators, checked
        )
        rows = report.model_rows(data, compact=True)
        if not verdict.passed:
            raise GateFailedError(GateReport(rows, verdict, coral_rows, way_on(request, comparisons, arithmetic)))
        steps.begin("golden vectors")
        others = [classifiers[INT8_ONNX]] if foreign or networks.onnx_quantiser else []
        write_golden(
            work / GOLDEN_NAME, classifiers[INT8_TFLITE], classifiers[FLOAT_TFLITE], manifest.versions(), others
        )
        entries = {
            name: manifest.model_entry(classifiers[name], comparisons[name], labelled=request.labelled)
            for name in MODEL_FILES
        }
    steps.begin("replaying golden vectors")
    _replay(work, request.threads)
    facts = _recorded(request, networks, trained) | {
        "int8_onnx_against_int8_tflite": twin.as_dict(),
        "int8_tflite_on_reference_kernels": arithmetic if isinstance(arithmetic, str) else arithmetic.as_dict(),
        "remarks": list(verdict.remarks),
    }
    manifest.write_manifest(work / manifest.MANIFEST_NAME, manifest.build_manifest(entries, facts))
    write_text(work / "report.md", report.markdown(data))
    write_text(work / "report.html", report.page(data))
    if checked is not None and edgetpu_compiler.find_compiler():
        steps.begin("Edge TPU compiler")
        edgetpu_compiler.compile_model(work / INT8_TFLITE, work)
    return ExportResult((), rows, verdict, coral_rows, coral_summary, evaluations)


def _recorded(request: ExportRequest, networks: Networks, trained: Trained | UserModel) -> dict[str, Any]:
    return {
        "quantisation": networks.method,
        "onnx_target": request.onnx_target,
        "onnx_quantiser": "onnxruntime" if networks.onnx_quantiser else "fer-export",
        "weights": request.origin,
        "data": request.data,
        "data_fingerprint": request.data_fingerprint,
        "recipe": trained.config or None,
        "temperature": _temperature_record(trained),
    }


def _report_data(
    request: ExportRequest,
    trained: Trained | UserModel,
    networks: Networks,
    comparisons: dict[str, Comparison],
    twin: Comparison,
    arithmetic: Arithmetic | str,
    verdict: Verdict,
    layers: list[LayerError],
    operators: dict[str, int],
    checked: CoralReport | None,
) -> report.ReportData:
    return report.ReportData(
        title="Export report",
        facts=_facts(request, networks, trained) | _calibration(comparisons, labelled=request.labelled),
        labelled=request.labelled,
        sizes={name: len(content) for name, content in networks.files.items()},
        comparisons=comparisons,
        onnx_twin=twin,
        arithmetic=arithmetic,
        verdict=verdict,
        layers=layers,
        networks={name: read_tflite(networks.files[name]) for name in (FLOAT_TFLITE, INT8_TFLITE)},
        onnx_operators=operators,
        coral=checked.rows() if checked else None,
        coral_summary=checked.summary if checked else "",
    )


def _layers(networks: Networks, sample: npt.NDArray[np.uint8]) -> list[LayerError]:
    """Errors by layer; none where ONNX Runtime's quantiser had to help, because no shadow can be computed then."""
    if networks.onnx_quantiser is None:
        return layer_errors(networks.files[INT8_TFLITE], networks.files[FLOAT_TFLITE], sample)
    try:
        return layer_errors(networks.files[INT8_TFLITE], networks.files[FLOAT_TFLITE], sample)
    except Exception as error:  # onnx and ONNX Runtime have exceptions of their own; the table is a help, not a check
        LOG.debug("no errors by layer: %s", error)
        return []


@contextlib.contextmanager
def _opened(folder: Path, threads: int) -> Iterator[dict[str, Classifier]]:
    classifiers: dict[str, Classifier] = {}
    try:
        for name in MODEL_FILES:
            classifiers[name] = open_classifier(folder / name, threads=threads, trusted=True)
            check_contract(classifiers[name])
        yield classifiers
    finally:
        for classifier in classifiers.values():
            classifier.close()


def _evaluate(name: str, classifier: Classifier, request: ExportRequest, steps: Steps) -> Evaluation:
    steps.begin(f"accuracy of {name}", len(request.split))
    try:
        return evaluate_classifier(
            classifier, request.split.images, request.split.labels, request.split.name, on_progress=steps.advance
        )
    except ModelError as error:
        raise ModelError(f"{name}: {error}") from error


def _replay(work: Path, threads: int) -> None:
    for name in MODEL_FILES:
        replayed = verify(work / name, work / GOLDEN_NAME, threads=threads, trusted=True)
        if not replayed.passed:
            raise CheckFailedError(
                f"{name} does not repeat its golden vectors: {replayed.summary}; no file was written"
            )


def _facts(request: ExportRequest, networks: Networks, trained: Trained | UserModel) -> dict[str, str]:
    return {
        "weights": request.origin,
        "quantisation": {
            "QAT": "QAT, the ranges learned in training",
            "PTQ": f"PTQ, ranges measured on {request.representatives.name} faces, the same number of each class",
        }[networks.method],
        "input": f"{trained.input_size}x{trained.input_size} grey in three channels",
        "temperature": describe(record) if (record := _temperature_record(trained)) else "not scaled",
        "data": f"{request.data}, split {request.split.name}, {counted(len(request.split), 'image')}",
        "INT8 ONNX for": {"x86": "x86 (U8S8)", "arm": "Arm (S8S8)"}[request.onnx_target],
        "versions": ", ".join(f"{name} {version}" for name, version in manifest.versions().items()),
        "commit": source_commit() or "unknown (not a git checkout)",
    }


def _temperature_record(trained: Trained | UserModel) -> dict[str, Any] | None:
    """What ``fer-train calibrate`` found and folded, calibration errors before and after; None without it."""
    temperatures = trained.temperatures if isinstance(trained, Trained) else None
    return {key: value for key, value in temperatures.record.items() if key != "folded"} if temperatures else None


def _calibration(comparisons: dict[str, Comparison], *, labelled: bool) -> dict[str, str]:
    if not labelled:
        return {}
    float_error, int8_error = (comparisons[name].other.ece for name in (FLOAT_TFLITE, INT8_TFLITE))
    n = comparisons[INT8_TFLITE].other.n_images
    return {
        f"expected calibration error ({ECE_BINS} bins)": (
            f"float {float_error:.4f}, INT8 {int8_error:.4f} on these {n} images"
        )
    }


def _publish(work: Path, out: Path, result: ExportResult) -> ExportResult:
    """Move every file to the output folder, the manifest last: a reader that finds it finds all it names."""
    names = sorted(p.name for p in work.iterdir() if p.is_file())
    names.sort(key=lambda name: name == manifest.MANIFEST_NAME)
    written = write_together(out, [(name, (work / name).read_bytes()) for name in names])
    return dataclasses.replace(result, files=tuple(written))
