"""Fit the temperatures of a run: the float, the QAT and the INT8 network, each on its own answers."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fer_edge.files import write_text
from fer_edge.labels import EMOTIONS
from fer_train.arrays import Labels
from fer_train.evaluation.evaluate import Evaluation, evaluate_classifier
from fer_train.evaluation.recall_floor import fit_biases
from fer_train.evaluation.temperature import (
    FLOAT,
    INT8,
    QAT,
    RECORD,
    cross_fitted_error,
    fit_temperature,
    fold,
    shift,
    temper,
)
from fer_train.quantization.tflite import evaluate_int8

__all__ = ["evaluate_keras", "fit_temperatures"]

_BATCH: Final[int] = 128


def fit_temperatures(
    folder: Path,
    images: npt.NDArray[np.uint8],
    before: dict[str, Evaluation],
    qat_network: Any | None = None,
    least_recall: float = 0.0,
) -> dict[str, Evaluation]:
    """Fit both temperatures, and write the record to the run's folder.

    Args:
        folder: the folder of the run.
        images: ``(N, H, H)`` uint8, grey.
        before: evaluations of ``images`` without temperature: ``float``, and with a QAT stage ``int8``, the converted
            network.
        qat_network: the wrapped network, whose unrounded probabilities its T is fitted on; it is folded in place and
            converted once more.
        least_recall: the recall, 0 to 1, that each class must have: classes below get a bias. 0 fits none.

    Returns:
        The evaluations after folding, by the same names.

    Raises:
        CheckFailedError: a class does not come so far; nothing is written then.
    """
    plain = before[FLOAT]
    record: dict[str, Any] = {"format": 1, "folded": False, "fitted_on": plain.split, "n_images": plain.n_images}
    record[FLOAT], temperature, biases = _fitted(plain, least_recall)
    after = {FLOAT: Evaluation(plain.split, shift(temper(plain.probabilities, temperature), biases), plain.labels)}
    record[FLOAT] |= _errors(plain, after[FLOAT])
    if qat_network is not None:
        simulated = evaluate_keras(qat_network, images, plain.labels, plain.split)
        record[QAT], temperature, biases = _fitted(simulated, least_recall)
        fold(qat_network, temperature, biases)
        after[INT8] = evaluate_int8(qat_network, images, plain.labels, plain.split)
        record[QAT] |= _errors(before[INT8], after[INT8])
    write_text(folder / RECORD, json.dumps(record, indent=2) + "\n")
    return after


def _fitted(evaluation: Evaluation, least_recall: float) -> tuple[dict[str, Any], float, tuple[float, ...]]:
    """The record, T and the biases (empty without any)."""
    temperature = fit_temperature(evaluation.probabilities, evaluation.labels)
    held_out = cross_fitted_error(evaluation.probabilities, evaluation.labels)
    record: dict[str, Any] = {
        "temperature": temperature,
        "expected_calibration_error_cross_fitted": held_out if np.isfinite(held_out) else None,
    }
    if not least_recall:
        return record, temperature, ()
    tempered = dataclasses.replace(evaluation, probabilities=temper(evaluation.probabilities, temperature))
    biases = fit_biases(tempered, least_recall)
    record["least_recall"] = least_recall
    record["biases"] = {name: bias for name, bias in zip(EMOTIONS, biases, strict=True) if bias}
    return record, temperature, biases


def _errors(before: Evaluation, after: Evaluation) -> dict[str, Any]:
    """What folding did to the model that ships: ECE over 15 bins, and decisions that rounding moved."""
    return {
        "expected_calibration_error_before": before.ece,
        "expected_calibration_error_after": after.ece,
        "decisions_changed": int((before.decisions != after.decisions).sum()),
    }


def evaluate_keras(network: Any, images: npt.NDArray[np.uint8], labels: Labels, split: str) -> Evaluation:
    """Evaluate a Keras network as it is, without TFLite.

    Args:
        network: ``(N, S, S, 3)`` float32 to ``(N, 7)`` probabilities, of Keras 3 or tf_keras.
        images: ``(N, H, H)`` uint8 grey faces of any size; they are resized as on the device.
        labels: ``(N,)`` class of each.
        split: what they are called.

    Returns:
        The probabilities, beside the labels.
    """
    from fer_train.networks.keras_classifier import KerasClassifier

    return evaluate_classifier(KerasClassifier(network), images, labels, split, batch=_BATCH)
