"""One export from weights to a finished folder: convert, measure, judge, describe, and only then write."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fer_edge.errors import CheckFailedError, ModelError
from fer_edge.files import write_text, write_together
from fer_edge.inference.classifier import Classifier
from fer_edge.loading.open import open_classifier
from fer_edge.verification.golden import GOLDEN_NAME
from fer_edge.verification.replay import verify
from fer_edge.versions import source_commit
from fer_export.check import edgetpu_compiler
from fer_export.check import edgetpu_rules as coral
from fer_export.check.contract import check_contract
from fer_export.check.gate import (
    Comparison,
    Limits,
    Verdict,
    accepting_options,
    check_quantized,
    check_same_network,
    merge,
)
from fer_export.check.layer_error import layer_errors
from fer_export.check.onnx_fusion import fusion_problems, optimized_operators
from fer_export.convert.four_files import Networks, build_networks
from fer_export.convert.keras_model import UserModel, load_weights
from fer_export.convert.qdq_writer import Target
from fer_export.convert.representative_faces import representative_faces
from fer_export.describe import manifest, report
from fer_export.describe.golden_vectors import write_golden
from fer_export.file_names import FLOAT_ONNX, FLOAT_TFLITE, INT8_ONNX, INT8_TFLITE, MODEL_FILES
from fer_export.tflite_file import read_tflite
from fer_train.data.dataset import Split
from fer_train.evaluation.evaluate import CALIBRATION_BINS, Evaluation, evaluate
from fer_train.evaluation.temperature import describe
from fer_train.runs.trained import Trained
from fer_train.synthetic.faces import SYNTHETIC_SPLIT
from fer_train.wording import counted


@dataclass(frozen=True)
class ExportRequest:
    """What to export, how to judge it, where to put it."""

    weights: Path
    out: Path
    split: Split
    """The faces to judge on; drawn ones carry the name ``synthetic``."""
    representatives: Split
    """The faces to calibrate post-training quantisation on."""
    data: str = "drawn faces"
    """What the faces are, for the reports."""
    data_fingerprint: str | None = None
    limits: Limits = field(default_factory=Limits)
    target: Target = "x86"
    with_coral: bool = False
    force_ptq: bool = False
    input_range: str = "ours"
    """For a model from elsewhere: what it was trained on, a key of ``user_model.INPUT_RANGES``."""
    threads: int = 1
    weights_name: str | None = None
    """What reports call the weights, instead of their path."""

    @property
    def origin(self) -> str:
        """The weights as reports call them."""
        return self.weights_name or str(self.weights)

    @property
    def labelled(self) -> bool:
        """Whether accuracy on the split means anything."""
        return self.split.name != SYNTHETIC_SPLIT


@dataclass(frozen=True)
class ExportResult:
    """A finished export; ``files`` lie in the output folder."""

    files: tuple[Path, ...]
    rows: list[list[str]]
    """Table of the four models, header first."""
    verdict: Verdict
    coral_rows: list[list[str]] | None
    coral_summary: str
    evaluations: dict[str, Evaluation]
    """Of every model file on the split that was judged on."""


@dataclass(frozen=True)
class GateReport:
    """What a failed gate found; carried by :class:`GateFailedError`."""

    rows: list[list[str]]
    verdict: Verdict
    coral_rows: list[list[str]] | None
    way_on: str = ""
    """What the user can do about it, a sentence."""


class GateFailedError(CheckFailedError):
    """The models are not good enough; nothing was written. ``report`` holds table and failures."""

    def __init__(self, found: GateReport) -> None:
        self.report = found
        way_on = f". What to do: {found.way_on}" if found.way_on else ""
        super().__init__(f"the gate failed, no file was written: {'; '.join(found.verdict.failures)}{way_on}")


class Steps:
    """Progress: :meth:`begin` names a step, :meth:`advance` counts within it. This one is silent."""

    def begin(self, name: str, total: int | None = None) -> None:
        """A step starts; ``total`` is its length where it can be counted."""

    def advance(self, done: int) -> None:
        """``done`` of the running step's total is finished."""


def export(request: ExportRequest, steps: Steps | None = None) -> ExportResult:
    """Export and write all files, or raise and write none.

    Raises :class:`GateFailedError` with every failure; :class:`ModelError` for weights that cannot be used.
    """
    steps = steps or Steps()
    steps.begin("loading weights")
    trained = load_weights(request.weights, request.input_range)
    networks = build_networks(
        trained,
        lambda size: representative_faces(request.representatives, size),
        request.target,
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
    with _opened(work, request.threads) as classifiers:
        evaluations = {name: _evaluate(name, classifiers[name], request, steps) for name in MODEL_FILES}
        reference = evaluations[FLOAT_TFLITE]
        comparisons = {name: Comparison(reference, evaluation) for name, evaluation in evaluations.items()}
        twin = Comparison(evaluations[INT8_TFLITE], evaluations[INT8_ONNX])
        steps.begin("operators")
        operators = optimized_operators(networks.files[INT8_ONNX])
        checked = coral.check_model(read_tflite(networks.files[INT8_TFLITE])) if request.with_coral else None
        coral_rows, coral_summary = (checked.rows(), checked.summary) if checked else (None, "")
        verdict = _verdict(request, comparisons, twin, operators, checked)
        steps.begin("error by layer")
        sample = representative_faces(request.split, trained.input_size, per_class=5)
        layers = layer_errors(networks.files[INT8_TFLITE], networks.files[FLOAT_TFLITE], sample)
        data = report.ReportData(
            title="Export report",
            facts=_facts(request, networks, trained) | _calibration(comparisons, labelled=request.labelled),
            labelled=request.labelled,
            sizes={name: len(content) for name, content in networks.files.items()},
            comparisons=comparisons,
            onnx_twin=twin,
            verdict=verdict,
            layers=layers,
            networks={name: read_tflite(networks.files[name]) for name in (FLOAT_TFLITE, INT8_TFLITE)},
            onnx_operators=operators,
            coral=coral_rows,
            coral_summary=coral_summary,
        )
        rows = report.model_rows(data, compact=True)
        if not verdict.passed:
            raise GateFailedError(GateReport(rows, verdict, coral_rows, _way_on(request, comparisons)))
        steps.begin("golden vectors")
        write_golden(work / GOLDEN_NAME, classifiers[INT8_TFLITE], classifiers[FLOAT_TFLITE], manifest.versions())
        entries = {
            name: manifest.model_entry(classifiers[name], comparisons[name], labelled=request.labelled)
            for name in MODEL_FILES
        }
    steps.begin("replaying golden vectors")
    _replay(work, request.threads)
    facts = {
        "quantisation": networks.method,
        "onnx_target": request.target,
        "weights": request.origin,
        "data": request.data,
        "data_fingerprint": request.data_fingerprint,
        "recipe": trained.config or None,
        "temperature": _temperature_record(trained),
        "int8_onnx_against_int8_tflite": twin.as_dict(),
        "remarks": list(verdict.remarks),
    }
    manifest.write_manifest(work / manifest.MANIFEST_NAME, manifest.build_manifest(entries, facts))
    write_text(work / "report.md", report.markdown(data))
    write_text(work / "report.html", report.page(data))
    if checked is not None and edgetpu_compiler.find_compiler():
        steps.begin("Edge TPU compiler")
        edgetpu_compiler.compile_model(work / INT8_TFLITE, work)
    return ExportResult((), rows, verdict, coral_rows, coral_summary, evaluations)


def _way_on(request: ExportRequest, comparisons: dict[str, Comparison]) -> str:
    """Advice after a refusal: train longer, or the options that accept the loss; empty where neither would help."""
    quantized = [comparisons[INT8_TFLITE], comparisons[INT8_ONNX]]
    options = accepting_options(quantized, request.limits, labelled=request.labelled)
    if not options:
        return ""
    longer = "train longer"
    if (request.weights / "config.json").is_file():
        longer += f" (fer-train --start-from {request.weights} --run runs/longer --data DATA --epochs 5)"
    return f"{longer}, or accept the loss with {options}"


def _verdict(
    request: ExportRequest,
    comparisons: dict[str, Comparison],
    twin: Comparison,
    operators: dict[str, int],
    checked: coral.CoralReport | None,
) -> Verdict:
    limits, labelled = request.limits, request.labelled
    verdicts = [
        check_quantized(INT8_TFLITE, comparisons[INT8_TFLITE], limits, labelled=labelled),
        check_quantized(INT8_ONNX, comparisons[INT8_ONNX], limits, labelled=labelled),
        check_same_network(INT8_ONNX, twin, limits, labelled=labelled),
        check_same_network(FLOAT_ONNX, comparisons[FLOAT_ONNX], limits, labelled=labelled),
    ]
    problems = fusion_problems(operators)
    if problems and request.target == "x86":
        # How a graph fuses depends on the processor at hand; slow is not wrong.
        verdicts.append(Verdict((), tuple(f"{INT8_ONNX}: {line}; it will be slow here" for line in problems)))
    if checked is not None:
        verdicts.append(Verdict(tuple(checked.failures), ()))
    return merge(verdicts)


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
        return evaluate(
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
            "PTQ": f"PTQ, calibrated on {request.representatives.name} faces, the same number of each class",
        }[networks.method],
        "input": f"{trained.input_size}x{trained.input_size} grey in three channels",
        "temperature": describe(record) if (record := _temperature_record(trained)) else "not scaled",
        "data": f"{request.data}, split {request.split.name}, {counted(len(request.split), 'image')}",
        "INT8 ONNX for": {"x86": "x86 (U8S8)", "arm": "Arm (S8S8)"}[request.target],
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
    float_error, int8_error = (comparisons[name].other.calibration_error for name in (FLOAT_TFLITE, INT8_TFLITE))
    n = comparisons[INT8_TFLITE].other.n_images
    return {
        f"expected calibration error ({CALIBRATION_BINS} bins)": (
            f"float {float_error:.4f}, INT8 {int8_error:.4f} on these {n} images"
        )
    }


def _publish(work: Path, out: Path, result: ExportResult) -> ExportResult:
    """Move every file to the output folder, the manifest last: a reader that finds it finds all it names."""
    names = sorted(p.name for p in work.iterdir() if p.is_file())
    names.sort(key=lambda name: name == manifest.MANIFEST_NAME)
    written = write_together(out, [(name, (work / name).read_bytes()) for name in names])
    return dataclasses.replace(result, files=tuple(written))
