"""Temperature scaling (Guo et al. 2017, section 4.2), folded into the last layer: ``python -m fer_train.temperature``.

One number T for a network: its logits are divided by T, so that probabilities fit how often they are right; decisions
stay. T minimises the negative log-likelihood on the validation split, which is choosing on that split: the record
therefore also holds the calibration error of each half of it under the T of the other half.

The weights of a run stay as trained. ``temperature.json`` beside them says T, and whoever builds the networks
(:mod:`fer_train.artifacts`) folds it: kernel and bias of the dense layer are divided by T, and in the QAT network the
learned ranges of kernel and logits too, so that every quantised value before the softmax stays the same.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fer_edge.command import CommandParser, run_command
from fer_edge.errors import MissingDependencyError, ModelError
from fer_edge.files import write_text
from fer_edge.labels import NUM_EMOTIONS
from fer_edge.native import quiet_native_libraries
from fer_edge.system import usable_cpus
from fer_train.config import load_config
from fer_train.dataset import Split
from fer_train.evaluate import Evaluation, evaluate, expected_calibration_error
from fer_train.model import OUTPUT_NAME
from fer_train.run_folder import RunFolder

PROG: Final[str] = "fer_train.temperature"
RECORD: Final[str] = "temperature.json"
FLOAT, QAT, INT8 = "float", "qat", "int8"
_COLDEST, _HOTTEST = 0.05, 20.0
_LEAST_PROBABILITY: Final[float] = 1e-30
_BATCH: Final[int] = 128
_RANGES: Final[tuple[str, ...]] = ("kernel_min", "kernel_max", "pre_activation_min", "pre_activation_max")

Probabilities = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Temperatures:
    """T of both networks of a run; ``folded`` when the weights beside the record have it in them already."""

    float_: float
    qat: float | None
    folded: bool
    record: dict[str, Any]


def temper(probabilities: Probabilities, temperature: float) -> Probabilities:
    """``softmax(logits / T)`` ``(N, 7)`` of a network that gives ``softmax(logits)``: their logarithms do."""
    scaled = np.log(np.maximum(probabilities.astype(np.float64), _LEAST_PROBABILITY)) / temperature
    scaled = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(scaled / scaled.sum(axis=1, keepdims=True), dtype=np.float32)


def fit_temperature(probabilities: Probabilities, labels: Labels) -> float:
    """The T in [0.05, 20] that minimises the mean negative log-likelihood of ``labels`` ``(N,)``.

    The likelihood is concave in 1 / T, so its slope, mean(z of the label) - mean(expected z), crosses zero once.
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


def cross_fitted_error(probabilities: Probabilities, labels: Labels) -> float:
    """Calibration error of images each of which was tempered by a T that was fitted without it (two seeded halves)."""
    half = np.random.default_rng(0).permutation(len(labels)) % 2 == 0
    out = np.empty_like(probabilities)
    for part in (half, ~half):
        if not part.any() or part.all():
            return float("nan")
        out[part] = temper(probabilities[part], fit_temperature(probabilities[~part], labels[~part]))
    return expected_calibration_error(out, labels)


def fold(model: Any, temperature: float) -> None:
    """Divide the logits of ``model`` by ``temperature``, in place: float (any Keras) or wrapped by tfmot.

    Raises :class:`ModelError` when the last layer is not one of ours.
    """
    layer = next((layer for layer in model.layers if layer.name in (OUTPUT_NAME, f"quant_{OUTPUT_NAME}")), None)
    if layer is None:
        raise ModelError(f"the network has no layer named {OUTPUT_NAME}; its temperature cannot be folded")
    by_name = {str(weight.name).rsplit("/", 1)[-1].split(":")[0]: weight for weight in layer.weights}
    wanted = ["kernel", "bias"]
    if layer.name != OUTPUT_NAME:
        wanted += _RANGES
    missing = [name for name in wanted if name not in by_name]
    if missing:
        raise ModelError(f"the layer {layer.name} has no {', '.join(missing)}; is tfmot newer than tested (0.8)?")
    for name in wanted:
        by_name[name].assign(np.asarray(by_name[name]) / np.float32(temperature))


def load_temperatures(folder: Path) -> Temperatures | None:
    """The record in a run or packed folder; None where there is none. Raises :class:`ModelError` when it is damaged."""
    path = folder / RECORD
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        describe(record)  # all that people are told is there
        qat = record.get(QAT, {}).get("temperature")
        found = Temperatures(
            float(record[FLOAT]["temperature"]), None if qat is None else float(qat), bool(record["folded"]), record
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"{path} cannot be read ({error}); write it anew with python -m fer_train.temperature"
        ) from error
    if not all(_COLDEST <= t <= _HOTTEST for t in (found.float_, found.qat) if t is not None):
        raise ModelError(f"{path}: a temperature lies outside {_COLDEST} to {_HOTTEST}")
    return found


def save_folded(record: Temperatures, folder: Path) -> None:
    """Write the record beside weights that have the temperatures in them, so that nobody folds them again."""
    write_text(folder / RECORD, json.dumps(record.record | {"folded": True}, indent=2) + "\n")


def calibrate(
    folder: Path,
    images: npt.NDArray[np.uint8],
    before: dict[str, Evaluation],
    qat_network: Any | None = None,
) -> dict[str, Evaluation]:
    """Fit both temperatures, write the record to the run's ``folder``, and return the evaluations after folding.

    ``before`` are evaluations of ``images`` ``(N, H, H)`` without temperature: ``float``, and with a QAT stage
    ``int8``, the converted network. ``qat_network``, whose unrounded probabilities its T is fitted on, is folded in
    place and converted once more.
    """
    plain = before[FLOAT]
    record: dict[str, Any] = {"format": 1, "folded": False, "fitted_on": plain.split, "n_images": plain.n_images}
    record[FLOAT], temperature = _fitted(plain)
    after = {FLOAT: Evaluation(plain.split, temper(plain.probabilities, temperature), plain.labels)}
    record[FLOAT] |= _errors(plain, after[FLOAT])
    if qat_network is not None:
        simulated = _evaluate_keras(qat_network, images, plain)
        record[QAT], temperature = _fitted(simulated)
        fold(qat_network, temperature)
        after[INT8] = evaluate_int8(qat_network, images, plain.labels, plain.split)
        record[QAT] |= _errors(before[INT8], after[INT8])
    write_text(folder / RECORD, json.dumps(record, indent=2) + "\n")
    return after


def _fitted(evaluation: Evaluation) -> tuple[dict[str, Any], float]:
    temperature = fit_temperature(evaluation.probabilities, evaluation.labels)
    held_out = cross_fitted_error(evaluation.probabilities, evaluation.labels)
    return {
        "temperature": temperature,
        "expected_calibration_error_cross_fitted": held_out if np.isfinite(held_out) else None,
    }, temperature


def _errors(before: Evaluation, after: Evaluation) -> dict[str, Any]:
    """What folding did to the model that ships: calibration error over 15 bins, and decisions that rounding moved."""
    return {
        "expected_calibration_error_before": before.calibration_error,
        "expected_calibration_error_after": after.calibration_error,
        "decisions_changed": int((before.decisions != after.decisions).sum()),
    }


def _evaluate_keras(network: Any, images: npt.NDArray[np.uint8], like: Evaluation) -> Evaluation:
    from fer_train.keras_classifier import KerasClassifier

    return evaluate(KerasClassifier(network), images, like.labels, like.split, batch=_BATCH)


def evaluate_int8(qat_network: Any, images: npt.NDArray[np.uint8], labels: Labels, split: str) -> Evaluation:
    """The wrapped network as the INT8 TFLite model that it converts to."""
    from fer_edge.classifier import open_classifier
    from fer_train.quantize import as_file, qat_to_tflite

    with as_file(qat_to_tflite(qat_network)) as path:
        return evaluate(open_classifier(path, threads=usable_cpus()), images, labels, split)


def describe(record: dict[str, Any]) -> str:
    """One line for people: both temperatures, what they were fitted on, calibration errors before and after."""
    parts = []
    for key, name in ((FLOAT, "float"), (QAT, "INT8")):
        if key in record:
            part = record[key]
            parts.append(
                f"{name} T = {part['temperature']:.3f}, calibration error "
                f"{part['expected_calibration_error_before']:.4f} -> {part['expected_calibration_error_after']:.4f}, "
                f"{part['decisions_changed']} decisions changed"
            )
    return f"{'; '.join(parts)} (fitted on the same {record['n_images']} {record['fitted_on']} images)"


def summarize(after: dict[str, Evaluation], record: dict[str, Any]) -> dict[str, Any]:
    """``summary.json``: the evaluations after folding, with T and the calibration error before it."""
    summary = {name: evaluation.as_dict() for name, evaluation in after.items()}
    for name, figures in summary.items():
        part = record[FLOAT if name == FLOAT else QAT]
        figures["temperature"] = part["temperature"]
        figures["expected_calibration_error_before_temperature"] = part["expected_calibration_error_before"]
    return summary


def main(argv: Sequence[str] | None = None) -> int:
    """Calibrate a finished run; returns the exit code of the contract."""

    def body() -> int:
        parser = CommandParser(prog=PROG, description=(__doc__ or "").partition("\n")[0])
        parser.add_argument("--run", type=Path, required=True, help="a finished run of fer-train")
        parser.add_argument("--data", type=Path, help="its data set (default: the one it was trained on)")
        parser.add_argument("--remove", action="store_true", help="back to the probabilities as trained")
        options = parser.parse_args(argv)
        folder = RunFolder(options.run)
        if not folder.config.exists():
            raise ModelError(f"no {folder.config.name} in {folder.root}; expected a run folder of fer-train")
        with folder.locked():
            return _calibrate_run(folder, options.data, remove=options.remove)

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with quiet_native_libraries():
        return run_command(PROG, body)


def _calibrate_run(folder: RunFolder, data: Path | None, *, remove: bool) -> int:
    from fer_train.dataset import load_dataset

    recipe = load_config(folder.config)
    known = load_temperatures(folder.root)
    if known is not None and known.folded:
        raise ModelError(f"the weights in {folder.root} have a temperature in them already; calibrate the run instead")
    split = load_dataset(data or recipe.data, seed=recipe.seed).split("validation")
    try:
        from fer_train.artifacts import load_trained

        trained = load_trained(folder.root, fold=False)
        before = {FLOAT: _evaluate_keras(trained.float_model(), split.images, _labels_only(split))}
        qat = trained.qat_model()
    except ImportError as error:
        raise MissingDependencyError.for_extra(error.name or str(error), "train") from error
    if qat is not None:
        before[INT8] = evaluate_int8(qat, split.images, split.labels, split.name)
    if remove:
        (folder.root / RECORD).unlink(missing_ok=True)
        summary = {name: evaluation.as_dict() for name, evaluation in before.items()}
        line = "probabilities as trained"
    else:
        after = calibrate(folder.root, split.images, before, qat)
        record = json.loads((folder.root / RECORD).read_text(encoding="utf-8"))
        summary, line = summarize(after, record), f"temperature: {describe(record)}"
    write_text(folder.summary, json.dumps(summary, indent=2) + "\n")
    sys.stdout.write(line + "\n")
    return 0


def _labels_only(split: Split) -> Evaluation:
    return Evaluation(split.name, np.empty((0, NUM_EMOTIONS), np.float32), split.labels)


if __name__ == "__main__":
    sys.exit(main())
