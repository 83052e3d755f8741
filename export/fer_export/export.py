"""One export from weights to a finished folder: convert, measure, judge, describe, and only then write."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fer_edge.errors import CheckFailedError, ModelError
from fer_edge.files import write_text, write_together
from fer_edge.inference.classifier import Classifier
from fer_edge.labels import NUM_EMOTIONS
from fer_edge.loading.open import open_classifier
from fer_edge.preprocess import resize_gray
from fer_edge.verification.golden import GOLDEN_NAME
from fer_edge.verification.replay import verify
from fer_export.check import edgetpu_compiler
from fer_export.check import edgetpu_rules as coral
from fer_export.check.contract import check_contract
from fer_export.check.gate import Comparison, Limits, Verdict, check_quantized, check_same_network, merge
from fer_export.check.layer_error import LayerError, layer_errors
from fer_export.check.onnx_fusion import fusion_problems, optimized_operators
from fer_export.check.plausible import Reading, better_reading, ignores_its_input, knows_nothing
from fer_export.convert.class_order import ORDERS, OWN_ORDER, order_name
from fer_export.convert.four_files import Networks, build_networks
from fer_export.convert.keras_model import INPUT_RANGES, UserModel, load_weights
from fer_export.convert.qdq_graph import Target
from fer_export.convert.representative_faces import representative_faces
from fer_export.describe import manifest, report
from fer_export.describe.golden_vectors import write_golden
from fer_export.file_names import FLOAT_ONNX, FLOAT_TFLITE, INT8_ONNX, INT8_TFLITE, MODEL_FILES
from fer_export.tflite_file import read_tflite
from fer_train.data.dataset import Split
from fer_train.evaluation.evaluate import CALIBRATION_BINS, Evaluation, evaluate
from fer_train.evaluation.temperature import describe
from fer_train.runs.trained import Trained
from fer_train.synthetic.faces import synthetic_split

SYNTHETIC_PER_CLASS: Final[int] = 40
SYNTHETIC_SEED: Final[int] = 0
SYNTHETIC_SPLIT: Final[str] = "synthetic"
READING_PER_CLASS: Final[int] = 60
"""Images per class on which other input ranges and class orders are tried."""
_LIKELY: Final[str] = (
    "untrained weights, another input range (--input-range) or another order of classes (--labels)? "
    "--allow-chance exports it all the same"
)


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
    """For a model from elsewhere: what it was trained on, a key of ``keras_model.INPUT_RANGES``."""
    order: tuple[int, ...] = ORDERS[OWN_ORDER]
    """For a model from elsewhere: the emotion (0..6) that each output stands for."""
    allow_chance: bool = False
    """Whether a network that is no better than chance may be exported, to try the tools with untrained weights."""
    threads: int = 1

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


@dataclass(frozen=True)
class GateReport:
    """What a failed gate found; carried by :class:`GateFailedError`."""

    rows: list[list[str]]
    verdict: Verdict
    coral_rows: list[list[str]] | None


class GateFailedError(CheckFailedError):
    """The models are not good enough; nothing was written. ``report`` holds table and failures."""

    def __init__(self, found: GateReport) -> None:
        self.report = found
        super().__init__(f"the gate failed, no file was written: {'; '.join(found.verdict.failures)}")


class Steps:
    """Progress: :meth:`begin` names a step, :meth:`advance` counts within it. This one is silent."""

    def begin(self, name: str, total: int | None = None) -> None:
        """A step starts; ``total`` is its length where it can be counted."""

    def advance(self, done: int) -> None:
        """``done`` of the running step's total is finished."""


def synthetic_faces(per_class: int = SYNTHETIC_PER_CLASS, seed: int = SYNTHETIC_SEED) -> Split:
    """Drawn faces under the split name ``synthetic``, for a gate on agreement without any data set."""
    drawn = synthetic_split(per_class, seed, name="validation")
    return Split(SYNTHETIC_SPLIT, drawn.images, drawn.labels, drawn.names)


def export(request: ExportRequest, steps: Steps | None = None) -> ExportResult:
    """Export and write all files, or raise and write none.

    Raises :class:`GateFailedError` with every failure; :class:`ModelError` for weights that cannot be used.
    """
    steps = steps or Steps()
    steps.begin("loading weights")
    trained = load_weights(request.weights, request.input_range, request.order)
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
    foreign = isinstance(trained, UserModel)
    with _opened(work, request.threads) as classifiers:
        evaluations = {name: _evaluate(name, classifiers[name], request, steps) for name in MODEL_FILES}
        reference = evaluations[FLOAT_TFLITE]
        comparisons = {name: Comparison(reference, evaluation) for name, evaluation in evaluations.items()}
        twin = Comparison(evaluations[INT8_TFLITE], evaluations[INT8_ONNX])
        steps.begin("operators")
        operators = optimized_operators(networks.files[INT8_ONNX])
        checked = coral.check_model(read_tflite(networks.files[INT8_TFLITE])) if request.with_coral else None
        verdict = merge(
            [
                _plausible(request, trained, reference, steps),
                _verdict(request, comparisons, twin, operators, networks.onnx_quantiser, checked, foreign=foreign),
            ]
        )
        steps.begin("error by layer")
        sample = representative_faces(request.split, trained.input_size, per_class=5)
        layers = _layers(networks, sample)
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
            coral=checked.rows() if checked else None,
            coral_summary=checked.summary if checked else "",
        )
        rows = report.model_rows(data, compact=True)
        if not verdict.passed:
            raise GateFailedError(GateReport(rows, verdict, checked.rows() if checked else None))
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
    facts = {
        "quantisation": networks.method,
        "onnx_target": request.target,
        "onnx_quantiser": "onnxruntime" if networks.onnx_quantiser else "fer-export",
        "weights": str(request.weights),
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
    summary = checked.summary if checked else ""
    return ExportResult((), rows, verdict, checked.rows() if checked else None, summary)


def _layers(networks: Networks, sample: npt.NDArray[np.uint8]) -> list[LayerError]:
    """Errors by layer; none where ONNX Runtime's quantiser had to help, because no shadow can be computed then."""
    if networks.onnx_quantiser is None:
        return layer_errors(networks.files[INT8_TFLITE], networks.files[FLOAT_TFLITE], sample)
    try:
        return layer_errors(networks.files[INT8_TFLITE], networks.files[FLOAT_TFLITE], sample)
    except Exception:  # onnx and ONNX Runtime have exceptions of their own; the table is a help, not a check
        return []


def _plausible(request: ExportRequest, trained: Trained | UserModel, reference: Evaluation, steps: Steps) -> Verdict:
    """Whether the network itself knows anything, and how its inputs and outputs fit the data."""
    if request.allow_chance:
        return Verdict((), ())
    if not request.labelled:
        stuck = ignores_its_input(reference.probabilities)
        line = f"{FLOAT_TFLITE}: the network gives the same answer for every face; {_LIKELY}"
        return Verdict((line,) if stuck else (), ())
    better = None
    if isinstance(trained, UserModel):
        steps.begin("input range and class order")
        better = _better_reading(request, trained)
    problem = knows_nothing(reference)
    if better is not None:
        options = [f"--input-range {better.input_range}"] if better.input_range != request.input_range else []
        order = tuple(request.order[i] for i in better.order)
        options += [f"--labels {order_name(order)}"] if order != request.order else []
        line = (
            f"{FLOAT_TFLITE}: the labels fit {' '.join(options)} far better ({better.accuracy:.1%} of a sample, "
            f"{better.gain.value:+.1f} points); is that what the model was trained with?"
        )
        return Verdict((f"{FLOAT_TFLITE}: {problem}", line) if problem else (line,), ())
    return Verdict((f"{FLOAT_TFLITE}: {problem}; {_LIKELY}",) if problem else (), ())


def _better_reading(request: ExportRequest, trained: UserModel) -> Reading | None:
    labels = request.split.labels
    chosen = np.concatenate([np.flatnonzero(labels == i)[:READING_PER_CLASS] for i in range(NUM_EMOTIONS)])
    faces = np.stack([resize_gray(request.split.images[i], trained.input_size) for i in chosen])
    return better_reading(
        lambda name: trained.predict_with(name, faces), labels[chosen], trained.input_range, INPUT_RANGES
    )


def _verdict(
    request: ExportRequest,
    comparisons: dict[str, Comparison],
    twin: Comparison,
    operators: dict[str, int],
    onnx_quantiser: str | None,
    checked: coral.CoralReport | None,
    *,
    foreign: bool,
) -> Verdict:
    limits, labelled = request.limits, request.labelled
    verdicts = [
        check_quantized(INT8_TFLITE, comparisons[INT8_TFLITE], limits, labelled=labelled),
        check_quantized(INT8_ONNX, comparisons[INT8_ONNX], limits, labelled=labelled),
        _onnx_verdict(onnx_quantiser, twin, limits, labelled=labelled, foreign=foreign),
        check_same_network(FLOAT_ONNX, comparisons[FLOAT_ONNX], limits, labelled=labelled),
    ]
    problems = fusion_problems(operators)
    if problems and request.target == "x86":
        # How a graph fuses depends on the processor at hand; slow is not wrong.
        verdicts.append(Verdict((), tuple(f"{INT8_ONNX}: {line}; it will be slow here" for line in problems)))
    if checked is not None:
        verdicts.append(Verdict(tuple(checked.failures), ()))
    return merge(verdicts)


def _onnx_verdict(
    onnx_quantiser: str | None, twin: Comparison, limits: Limits, *, labelled: bool, foreign: bool
) -> Verdict:
    """Whether the INT8 ONNX file is the network of the INT8 TFLite file, which only our own networks must be.

    Operators of other people's networks are rounded otherwise by ONNX Runtime; their file is judged by itself.
    """
    if onnx_quantiser is None:
        verdict = check_same_network(INT8_ONNX, twin, limits, labelled=labelled)
        lines = tuple(f"{line}; it was judged by itself" for line in verdict.failures)
        return Verdict((), (*lines, *verdict.remarks)) if foreign else verdict
    line = (
        f"{INT8_ONNX} was quantised by ONNX Runtime, so it is another network than {INT8_TFLITE} and was judged by "
        f"itself ({onnx_quantiser})"
    )
    return Verdict((), (line,))


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
        replayed = verify(work / name, work / GOLDEN_NAME, threads=threads)
        if not replayed.passed:
            raise CheckFailedError(
                f"{name} does not repeat its golden vectors: {replayed.summary}; no file was written"
            )


def _facts(request: ExportRequest, networks: Networks, trained: Trained | UserModel) -> dict[str, str]:
    return {
        "weights": str(request.weights),
        "quantisation": {
            "QAT": "QAT, the ranges learned in training",
            "PTQ": f"PTQ, calibrated on {request.representatives.name} faces, the same number of each class",
        }[networks.method],
        "input": f"{trained.input_size}x{trained.input_size} grey in three channels",
        "temperature": describe(record) if (record := _temperature_record(trained)) else "not scaled",
        "data": f"{request.data}, split {request.split.name}, {len(request.split)} images",
        "INT8 ONNX for": {"x86": "x86 (U8S8)", "arm": "Arm (S8S8)"}[request.target],
        "versions": ", ".join(f"{name} {version}" for name, version in manifest.versions().items()),
        "commit": manifest.source_commit() or "unknown (not a git checkout)",
    }


def _temperature_record(trained: Trained | UserModel) -> dict[str, Any] | None:
    """What ``fer_train.commands.calibrate`` found and folded, calibration errors before and after; None without it."""
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
    return ExportResult(tuple(written), result.rows, result.verdict, result.coral_rows, result.coral_summary)
