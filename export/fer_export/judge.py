"""May the models be written? Everything that is found against them, and a way on."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from fer_edge.labels import NUM_EMOTIONS
from fer_edge.preprocess import resize_gray
from fer_export.check.arithmetic import Arithmetic
from fer_export.check.edgetpu_rules import CoralReport
from fer_export.check.gate import (
    Comparison,
    Limits,
    Verdict,
    accepting_options,
    check_quantized,
    check_same_network,
    merge,
)
from fer_export.check.onnx_fusion import fusion_problems
from fer_export.check.plausible import Reading, better_reading, ignores_its_input, knows_nothing, range_that_wakes
from fer_export.convert.class_order import ORDERS, order_name
from fer_export.convert.keras_model import INPUT_RANGES, UserModel
from fer_export.file_names import FLOAT_ONNX, FLOAT_TFLITE, INT8_ONNX, INT8_TFLITE
from fer_export.request import ExportRequest, Steps
from fer_train.evaluation.evaluate import Evaluation
from fer_train.runs.trained import Trained

__all__ = ["MIN_DRAWN_ACCURACY", "READING_PER_CLASS", "plausible", "verdict_on_files", "way_on"]

READING_PER_CLASS: Final[int] = 60
"""Images per class on which other input ranges and class orders are tried."""

MIN_DRAWN_ACCURACY: Final[float] = 0.4
"""On drawn faces below this, another reading is not proposed: networks that were trained on people reach 0.1 to 0.3 in
any reading."""

_LIKELY: Final[str] = (
    "untrained weights, another input range (--input-range) or another order of classes (--labels)? "
    "--allow-chance exports it all the same"
)


def way_on(request: ExportRequest, comparisons: dict[str, Comparison], arithmetic: Arithmetic | str) -> str:
    """Advice after a refusal: train longer, or the options that accept the loss.

    Args:
        request: what was exported.
        comparisons: with the float model, by file name.
        arithmetic: of the INT8 TFLite file on the reference kernels.

    Returns:
        A sentence; empty where neither would help.
    """
    quantized = [comparisons[INT8_TFLITE], comparisons[INT8_ONNX]]
    quantized += [] if isinstance(arithmetic, str) else [arithmetic.against_float]
    options = accepting_options(quantized, request.limits, labelled=request.labelled)
    if not options:
        return ""
    longer = "train longer"
    if (request.weights / "config.json").is_file():
        longer += f" (fer-train --start-from {request.weights} --run runs/longer --data DATA --epochs 5)"
    return f"{longer}, or accept the loss with {options}"


def plausible(request: ExportRequest, trained: Trained | UserModel, reference: Evaluation, steps: Steps) -> Verdict:
    """Whether the network itself knows anything, and how its inputs and outputs fit the data.

    Args:
        request: what is exported.
        trained: the weights.
        reference: evaluation of the float model.
        steps: is called as a step begins.

    Returns:
        Failures and remarks.
    """
    if request.allow_chance:
        return Verdict((), ())
    if not request.labelled:
        return _plausible_on_drawn_faces(request, trained, reference, steps)
    problem = knows_nothing(reference)
    why = _LIKELY
    if isinstance(trained, UserModel):
        steps.begin("input range and class order")
        probabilities, labels = _sample(request, trained)
        better = better_reading(probabilities.__getitem__, labels, trained.input_range, INPUT_RANGES, request.order)
        if better is not None:
            line = (
                f"{FLOAT_TFLITE}: the labels fit {_options(request, better)} far better "
                f"({better.accuracy:.1%} of a sample, {better.gain.value:+.1f} points); is that what the model "
                "was trained with?"
            )
            return Verdict((f"{FLOAT_TFLITE}: {problem}", line) if problem else (line,), ())
        if (awake := range_that_wakes(probabilities, request.input_range)) is not None:
            why = f"but not with {_awake(trained, awake)}"
    return Verdict((f"{FLOAT_TFLITE}: {problem}; {why}",) if problem else (), ())


def _awake(trained: UserModel, awake: str) -> str:
    """The option with which a network is no longer stuck, what speaks for it, and the way past it."""
    inside = f", and its layer {trained.rescales_itself} rescales pixels" if trained.rescales_itself else ""
    return (
        f"--input-range {awake}{inside}; is that what the model was trained with? "
        "--allow-chance exports it all the same"
    )


def _plausible_on_drawn_faces(
    request: ExportRequest, trained: Trained | UserModel, reference: Evaluation, steps: Steps
) -> Verdict:
    """Without data only what needs no labels is refused; what synthetic faces suggest is a remark."""
    stuck = ignores_its_input(reference.probabilities)
    same = Verdict((f"{FLOAT_TFLITE}: the network gives the same answer for every face; {_LIKELY}",), ())
    if not isinstance(trained, UserModel):
        return same if stuck else Verdict((), ())
    steps.begin("input range and class order")
    faces = np.stack([resize_gray(image, trained.input_size) for image in request.split.images])
    probabilities = {name: trained.predict_with(name, faces) for name in INPUT_RANGES}
    awake = range_that_wakes(probabilities, request.input_range)
    if awake is not None:
        line = f"{FLOAT_TFLITE}: it gives nearly the same answer for every face, but not with {_awake(trained, awake)}"
        return Verdict((line,), ())
    if stuck:
        return same
    labels = request.split.labels
    better = better_reading(probabilities.__getitem__, labels, request.input_range, INPUT_RANGES, request.order)
    if better is None or better.order not in ORDERS.values() or better.accuracy < MIN_DRAWN_ACCURACY:
        return Verdict((), ())
    line = (
        f"{FLOAT_TFLITE}: synthetic faces fit {_options(request, better)} far better ({better.accuracy:.0%}, "
        f"{better.gain.value:+.0f} points); is that what the model was trained with? --data tells with certainty"
    )
    return Verdict((), (line,))


def _options(request: ExportRequest, better: Reading) -> str:
    """The options that stand for another reading than the one that was asked for."""
    options = [f"--input-range {better.input_range}"] if better.input_range != request.input_range else []
    options += [f"--labels {order_name(better.order)}"] if better.order != request.order else []
    return " ".join(options)


def _sample(
    request: ExportRequest, trained: UserModel
) -> tuple[dict[str, npt.NDArray[np.float32]], npt.NDArray[np.int64]]:
    """Answers to some labelled faces in each input range, and their labels."""
    labels = request.split.labels
    chosen = np.concatenate([np.flatnonzero(labels == i)[:READING_PER_CLASS] for i in range(NUM_EMOTIONS)])
    faces = np.stack([resize_gray(request.split.images[i], trained.input_size) for i in chosen])
    return {name: trained.predict_with(name, faces) for name in INPUT_RANGES}, labels[chosen]


def verdict_on_files(
    request: ExportRequest,
    comparisons: dict[str, Comparison],
    twin: Comparison,
    operators: dict[str, int],
    onnx_quantiser: str | None,
    checked: CoralReport | None,
    *,
    foreign: bool,
) -> Verdict:
    """Limits of the gate on all four files, and remarks on what will be slow here.

    Args:
        request: what is exported.
        comparisons: with the float model, by file name.
        twin: INT8 ONNX against INT8 TFLite.
        operators: of the INT8 ONNX file after optimisation, counted.
        onnx_quantiser: why ONNX Runtime's own quantiser made the INT8 ONNX file; None where it did not.
        checked: what the Edge TPU compiler will make of the INT8 TFLite file; None when that was not asked for.
        foreign: whether the model comes from elsewhere.

    Returns:
        Failures and remarks.
    """
    limits, labelled = request.limits, request.labelled
    verdicts = [
        check_quantized(INT8_TFLITE, comparisons[INT8_TFLITE], limits, labelled=labelled),
        check_quantized(INT8_ONNX, comparisons[INT8_ONNX], limits, labelled=labelled),
        _onnx_verdict(onnx_quantiser, twin, limits, labelled=labelled, foreign=foreign),
        check_same_network(FLOAT_ONNX, comparisons[FLOAT_ONNX], limits, labelled=labelled),
    ]
    problems = fusion_problems(operators)
    if problems and request.onnx_target == "x86":
        # How a graph fuses depends on the processor at hand; slow is not wrong.
        verdicts.append(Verdict((), tuple(f"{INT8_ONNX}: {line}; it will be slow here" for line in problems)))
    if checked is not None:
        verdicts.append(Verdict(tuple(checked.failures), ()))
    return merge(verdicts)


def _onnx_verdict(
    onnx_quantiser: str | None, twin: Comparison, limits: Limits, *, labelled: bool, foreign: bool
) -> Verdict:
    """Whether the INT8 ONNX file is the network of the INT8 TFLite file, which only our own networks must be.

    ONNX Runtime rounds operators of networks from elsewhere differently; their file is judged by itself.
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
