"""One export from weights to a finished folder: convert, measure, judge, describe, and only then write."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fer_edge.errors import CheckFailedError, ModelError
from fer_edge.files import write_text, write_together
from fer_edge.inference.classifier import Classifier
from fer_edge.loading.open import open_classifier
from fer_edge.verification.golden import GOLDEN_NAME, read_golden
from fer_edge.verification.replay import verify
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
from fer_export.describe.golden_vectors import add_outputs, write_golden
from fer_export.facts import calibration_facts, facts_for_manifest, facts_for_report
from fer_export.file_names import FLOAT_NCHW_ONNX, FLOAT_TFLITE, INT8_ONNX, INT8_TFLITE, MODEL_FILES
from fer_export.for_quantisers import ForQuantisers, write_for_quantisers
from fer_export.judge import plausible, verdict_on_files, way_on
from fer_export.log import LOG
from fer_export.request import ExportRequest, ExportResult, GateFailedError, GateReport, Steps
from fer_export.targets import chosen_targets
from fer_export.targets.job import TargetJob, TargetResult
from fer_export.targets.run import manifest_entry, own_golden_outputs, result_rows, run_targets
from fer_export.tflite_file import read_tflite
from fer_train.evaluation.evaluate import Evaluation, evaluate_classifier
from fer_train.quantization.reference_kernels import on_reference_kernels
from fer_train.runs.trained import Trained

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


@dataclasses.dataclass(frozen=True)
class _Judged:
    """The four models, measured and found good."""

    evaluations: dict[str, Evaluation]
    comparisons: dict[str, Comparison]
    twin: Comparison
    arithmetic: Arithmetic | str
    verdict: Verdict
    checked: CoralReport | None
    data: report.ReportData
    rows: list[list[str]]

    @property
    def coral_rows(self) -> list[list[str]] | None:
        return self.checked.rows() if self.checked else None


def _judge_and_describe(
    request: ExportRequest, trained: Trained | UserModel, networks: Networks, work: Path, steps: Steps
) -> ExportResult:
    with _opened(work, request.threads) as classifiers:
        judged = _judge(request, trained, networks, work, classifiers, steps)
        steps.begin("golden vectors")
        foreign = isinstance(trained, UserModel)
        others = [classifiers[INT8_ONNX]] if foreign or networks.onnx_quantiser else []
        int8, floating = classifiers[INT8_TFLITE], classifiers[FLOAT_TFLITE]
        with _double_rounding(work / INT8_TFLITE, judged.arithmetic) as double:
            write_golden(work / GOLDEN_NAME, int8, floating, manifest.versions(), others, double)
        entries = {
            name: manifest.model_entry(classifiers[name], judged.comparisons[name], labelled=request.labelled)
            for name in MODEL_FILES
        }
    steps.begin("replaying golden vectors")
    _replay(work, request.threads)
    data, verdict, more = judged.data, judged.verdict, {}
    if request.with_nchw or any(target.takes_float for target in chosen_targets(request.targets)):
        quantisers = _for_quantisers(request, judged, work, trained.input_size, steps)
        verdict, more = (
            merge([verdict, quantisers.verdict]),
            {FLOAT_NCHW_ONNX: quantisers.as_dict(labelled=request.labelled)},
        )
        data = dataclasses.replace(
            data, facts=data.facts | {"for other quantisers": quantisers.fact(labelled=request.labelled)}
        )
    results, on_targets = _targets(request, judged, work, steps)
    verdict = merge([verdict, on_targets])
    facts = facts_for_manifest(request, networks, trained) | {
        "int8_onnx_against_int8_tflite": judged.twin.as_dict(),
        "int8_tflite_on_reference_kernels": (
            judged.arithmetic if isinstance(judged.arithmetic, str) else judged.arithmetic.as_dict()
        ),
        "remarks": list(verdict.remarks),
        **more,
    }
    data = dataclasses.replace(data, verdict=verdict)
    target_rows = None
    if results:
        facts["targets"] = {each.target: manifest_entry(each, work, labelled=request.labelled) for each in results}
        data = dataclasses.replace(data, targets=result_rows(results, labelled=request.labelled))
        target_rows = result_rows(results, labelled=request.labelled, compact=True)
    manifest.write_manifest(work / manifest.MANIFEST_NAME, manifest.build_manifest(entries, facts))
    write_text(work / "report.md", report.markdown(data))
    write_text(work / "report.html", report.page(data))
    if judged.checked is not None and edgetpu_compiler.find_compiler():
        steps.begin("Edge TPU compiler")
        edgetpu_compiler.compile_model(work / INT8_TFLITE, work)
    summary = judged.data.coral_summary
    return ExportResult((), judged.rows, verdict, judged.coral_rows, summary, judged.evaluations, target_rows)


def _judge(
    request: ExportRequest,
    trained: Trained | UserModel,
    networks: Networks,
    work: Path,
    classifiers: dict[str, Classifier],
    steps: Steps,
) -> _Judged:
    """Measure the four models; raise where the gate fails."""
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
    foreign = isinstance(trained, UserModel)
    verdict = merge(
        [
            plausible(request, trained, reference, steps),
            check_arithmetic(arithmetic, request.limits, labelled=request.labelled),
            verdict_on_files(request, comparisons, twin, operators, networks.onnx_quantiser, checked, foreign=foreign),
        ]
    )
    steps.begin("error by layer")
    sample = representative_faces(request.split, trained.input_size, per_class=5)
    layers = _layers(networks, sample)
    data = _report_data(request, trained, networks, comparisons, twin, arithmetic, verdict, layers, operators, checked)
    rows = report.model_rows(data, compact=True)
    judged = _Judged(evaluations, comparisons, twin, arithmetic, verdict, checked, data, rows)
    if not verdict.passed:
        way = way_on(request, comparisons, arithmetic)
        raise GateFailedError(GateReport(rows, verdict, judged.coral_rows, way))
    return judged


def _targets(request: ExportRequest, judged: _Judged, work: Path, steps: Steps) -> tuple[list[TargetResult], Verdict]:
    """Export to the chips that were asked for; raise where one fails."""
    if not request.targets:
        return [], Verdict((), ())
    with contextlib.closing(open_classifier(work / INT8_TFLITE, trusted=True)) as int8:
        ends = int8.input_spec, int8.output_spec
    job = TargetJob(
        models=work,
        out=work,
        golden=read_golden(work / GOLDEN_NAME),
        split=request.split,
        labelled=request.labelled,
        floating=judged.evaluations[FLOAT_TFLITE],
        int8=judged.evaluations[INT8_TFLITE],
        arithmetic=judged.arithmetic,
        limits=request.limits,
        input_spec=ends[0],
        output_spec=ends[1],
    )
    results, on_targets = run_targets(chosen_targets(request.targets), job, work, steps)
    if not on_targets.passed:
        rows = result_rows(results, labelled=request.labelled, compact=True) if results else None
        verdict = merge([judged.verdict, on_targets])
        raise GateFailedError(GateReport(judged.rows, verdict, judged.coral_rows, target_rows=rows))
    add_outputs(work / GOLDEN_NAME, own_golden_outputs(results))
    return results, on_targets


def _for_quantisers(request: ExportRequest, judged: _Judged, work: Path, size: int, steps: Steps) -> ForQuantisers:
    """The float NCHW file with its faces; raise where it fails the gate."""
    steps.begin(FLOAT_NCHW_ONNX)
    evaluations = judged.evaluations
    found = write_for_quantisers(request, work, size, evaluations[FLOAT_TFLITE], evaluations[INT8_TFLITE])
    if not found.verdict.passed:
        raise GateFailedError(GateReport(judged.rows, merge([judged.verdict, found.verdict]), judged.coral_rows))
    return found


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
        facts=facts_for_report(request, networks, trained) | calibration_facts(comparisons, labelled=request.labelled),
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


@contextlib.contextmanager
def _double_rounding(path: Path, arithmetic: Arithmetic | str) -> Iterator[Classifier | None]:
    """The INT8 TFLite file on the reference kernels; None where they do not compute it."""
    if isinstance(arithmetic, str):
        yield None
        return
    with contextlib.closing(on_reference_kernels(path)) as classifier:
        yield classifier


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


def _publish(work: Path, out: Path, result: ExportResult) -> ExportResult:
    """Move every file to the output folder, the manifest last: a reader that finds it finds all it names."""
    names = sorted(path.relative_to(work).as_posix() for path in work.rglob("*") if path.is_file())
    names.sort(key=lambda name: name == manifest.MANIFEST_NAME)
    written = write_together(out, [(name, (work / name).read_bytes()) for name in names])
    return dataclasses.replace(result, files=tuple(written))
