"""Temperature scaling (Guo et al. 2017, section 4.2): fitting a temperature and folding it into the last layer.

Biases of single classes (:mod:`fer_train.evaluation.recall_floor`) go the same way.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from fer_edge.arrays import FloatArray
from fer_edge.errors import ModelError
from fer_edge.files import write_text
from fer_edge.labels import EMOTIONS
from fer_train.arrays import Labels
from fer_train.evaluation.evaluate import Evaluation, expected_calibration_error
from fer_train.networks.build import OUTPUT_NAME

__all__ = [
    "FLOAT",
    "INT8",
    "QAT",
    "RECORD",
    "Temperatures",
    "cross_fitted_error",
    "describe",
    "fit_temperature",
    "fold",
    "load_temperatures",
    "save_folded",
    "shift",
    "summarize",
    "temper",
]

RECORD: Final[str] = "temperature.json"
FLOAT, QAT, INT8 = "float", "qat", "int8"
_COLDEST, _HOTTEST = 0.05, 20.0
_LEAST_PROBABILITY: Final[float] = 1e-30
_RANGES: Final[tuple[str, ...]] = ("kernel_min", "kernel_max", "pre_activation_min", "pre_activation_max")


@dataclass(frozen=True)
class Temperatures:
    """T of both networks of a run; ``folded`` when the weights beside the record have it in them already."""

    float_: float
    """T of the float network."""
    qat: float | None
    """T of the QAT network; None without a QAT stage."""
    folded: bool
    """Whether the weights beside the record have them in them already."""
    record: dict[str, Any]
    """Content of ``temperature.json``."""
    float_biases: tuple[float, ...] = ()
    """Added to the float network's logits of each class, after T; empty without any."""
    qat_biases: tuple[float, ...] = ()
    """The same of the QAT network."""


def temper(probabilities: FloatArray, temperature: float) -> FloatArray:
    """Divide the logits behind probabilities by a temperature (Guo et al. 2017, section 4.2).

    Logits are defined up to a constant per image, so the logarithms of the probabilities serve as logits.

    Args:
        probabilities: ``softmax(logits)``, ``(N, 7)`` float32.
        temperature: T, above 0; 1 changes nothing.

    Returns:
        ``softmax(logits / T)``, ``(N, 7)`` float32.
    """
    scaled = np.log(np.maximum(probabilities.astype(np.float64), _LEAST_PROBABILITY)) / temperature
    scaled = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(scaled / scaled.sum(axis=1, keepdims=True), dtype=np.float32)


def shift(probabilities: FloatArray, biases: Sequence[float] | FloatArray) -> FloatArray:
    """Add a constant to the logits of each class.

    Args:
        probabilities: ``softmax(logits)``, ``(N, 7)`` float32.
        biases: seven numbers; empty changes nothing.

    Returns:
        ``softmax(logits + biases)``, ``(N, 7)`` float32.
    """
    if len(biases) == 0:
        return probabilities
    odds = probabilities.astype(np.float64) * np.exp(np.asarray(biases, np.float64))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True), dtype=np.float32)


def fit_temperature(probabilities: FloatArray, labels: Labels) -> float:
    """The T in [0.05, 20] that minimises the mean negative log-likelihood of the labels.

    The likelihood is concave in 1 / T, so its slope, mean(z of the label) - mean(expected z), crosses zero once.

    Args:
        probabilities: ``(N, 7)`` float32, at T = 1.
        labels: ``(N,)`` class of each image, 0..6 in the order of :data:`fer_edge.labels.EMOTIONS`.

    Returns:
        T.
    """
    z = np.log(np.maximum(probabilities.astype(np.float64), _LEAST_PROBABILITY))
    own = z[np.arange(len(labels)), labels].mean()
    low, high = 1.0 / _HOTTEST, 1.0 / _COLDEST
    for _ in range(60):
        beta = (low + high) / 2.0
        if own > (temper(probabilities, 1.0 / beta) * z).sum(axis=1).mean():
            low = beta
        else:
            high = beta
    return float(2.0 / (low + high))


def cross_fitted_error(probabilities: FloatArray, labels: Labels) -> float:
    """Calibration error of images each of which was tempered by a T that was fitted without it (two seeded halves).

    Args:
        probabilities: ``(N, 7)`` float32, at T = 1.
        labels: ``(N,)`` class of each image, 0..6 in the order of :data:`fer_edge.labels.EMOTIONS`.

    Returns:
        The expected calibration error, 0 to 1; NaN for too few images.
    """
    half = np.random.default_rng(0).permutation(len(labels)) % 2 == 0
    out = np.empty_like(probabilities)
    for part in (half, ~half):
        if not part.any() or part.all():
            return float("nan")
        out[part] = temper(probabilities[part], fit_temperature(probabilities[~part], labels[~part]))
    return expected_calibration_error(out, labels)


def fold(model: Any, temperature: float, biases: Sequence[float] = ()) -> None:
    """Divide the logits of ``model`` by ``temperature`` and add ``biases``, in place.

    Args:
        model: a float network of any Keras, or one wrapped by tfmot. The range of its logits is widened for biases.
        temperature: T, above 0; 1 changes nothing.
        biases: of each class; empty adds nothing.

    Raises:
        ModelError: the last layer is not one of ours.
    """
    layer = next((layer for layer in model.layers if layer.name in (OUTPUT_NAME, f"quant_{OUTPUT_NAME}")), None)
    if layer is None:
        raise ModelError(f"the network has no layer named {OUTPUT_NAME}; its temperature cannot be folded")
    by_name = {str(weight.name).rsplit("/", 1)[-1].split(":")[0]: weight for weight in layer.weights}
    names = ["kernel", "bias"]
    if layer.name != OUTPUT_NAME:
        names += _RANGES
    missing = [name for name in names if name not in by_name]
    if missing:
        raise ModelError(f"the layer {layer.name} has no {', '.join(missing)}; is tfmot newer than tested (0.8)?")
    for name in names:
        by_name[name].assign(np.asarray(by_name[name]) / np.float32(temperature))
    if not any(biases):
        return
    by_name["bias"].assign(np.asarray(by_name["bias"]) + np.asarray(biases, np.float32))
    if layer.name != OUTPUT_NAME:
        lowest, highest = by_name["pre_activation_min"], by_name["pre_activation_max"]
        lowest.assign(np.asarray(lowest) + np.float32(min(0.0, *biases)))
        highest.assign(np.asarray(highest) + np.float32(max(0.0, *biases)))


def load_temperatures(folder: Path) -> Temperatures | None:
    """Read ``temperature.json``.

    Args:
        folder: a run folder, or one of packed weights.

    Returns:
        The record; None where there is none.

    Raises:
        ModelError: the record is damaged.
    """
    path = folder / RECORD
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        describe(record)  # all that it reads is there
        qat = record.get(QAT, {}).get("temperature")
        temperatures = Temperatures(
            float(record[FLOAT]["temperature"]),
            None if qat is None else float(qat),
            bool(record["folded"]),
            record,
            *(_biases(record.get(name, {})) for name in (FLOAT, QAT)),
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{path} cannot be read ({error}); write it again with fer-train calibrate") from error
    if not all(_COLDEST <= t <= _HOTTEST for t in (temperatures.float_, temperatures.qat) if t is not None):
        raise ModelError(f"{path}: a temperature lies outside {_COLDEST} to {_HOTTEST}")
    return temperatures


def _biases(part: dict[str, Any]) -> tuple[float, ...]:
    biases = part.get("biases", {})
    unknown = sorted(set(biases) - set(EMOTIONS))
    if unknown:
        raise ValueError(f"a bias of {unknown[0]!r}, which is no emotion")
    values = tuple(float(biases.get(name, 0.0)) for name in EMOTIONS)
    if not np.isfinite(values).all():
        raise ValueError("a bias that is not finite")
    return values if any(values) else ()


def save_folded(record: Temperatures, folder: Path) -> None:
    """Write the record beside weights that have the temperatures in them, so that nobody folds them again.

    Args:
        record: the temperatures.
        folder: of the weights.
    """
    write_text(folder / RECORD, json.dumps(record.record | {"folded": True}, indent=2) + "\n")


def describe(record: dict[str, Any]) -> str:
    """One line for people: both temperatures and their biases, what they were fitted on, ECE before and after.

    Args:
        record: content of ``temperature.json``.

    Returns:
        The line.
    """
    parts = []
    for key, name in ((FLOAT, "float"), (QAT, "INT8")):
        if key in record:
            part = record[key]
            biases = ", ".join(f"{emotion} {value:+.2f}" for emotion, value in part.get("biases", {}).items())
            parts.append(
                f"{name} T = {part['temperature']:.3f}, {f'biases {biases}, ' if biases else ''}ECE "
                f"{part['expected_calibration_error_before']:.4f} -> {part['expected_calibration_error_after']:.4f}, "
                f"{part['decisions_changed']} decisions changed"
            )
    return f"{'; '.join(parts)} (fitted on the same {record['n_images']} {record['fitted_on']} images)"


def summarize(after: dict[str, Evaluation], record: dict[str, Any]) -> dict[str, Any]:
    """What ``summary.json`` holds: the evaluations after folding, with T and the ECE before it.

    Args:
        after: the evaluations after folding, by name of the model.
        record: content of ``temperature.json``.

    Returns:
        Figures by name of the model.
    """
    summary = {name: evaluation.as_dict() for name, evaluation in after.items()}
    for name, figures in summary.items():
        part = record[FLOAT if name == FLOAT else QAT]
        figures["temperature"] = part["temperature"]
        figures["expected_calibration_error_before_temperature"] = part["expected_calibration_error_before"]
    return summary
