"""Biases of classes that are found too rarely: fitted, written, folded into the network, and told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.train.test_temperature import faces, run, tensorflow_here

from fer_edge.errors import CheckFailedError, ModelError
from fer_edge.labels import EMOTIONS
from fer_train.commands.calibrate import main
from fer_train.evaluation.evaluate import Evaluation
from fer_train.evaluation.recall_floor import LARGEST_BIAS, fit_biases
from fer_train.evaluation.temperature import FLOAT, QAT, RECORD, describe, fold, load_temperatures, shift, temper

__all__ = ["run"]  # a fixture
FEAR = EMOTIONS.index("fear")


def shy(n: int = 4000) -> tuple[Any, Any]:
    """Probabilities of a network that finds fear too rarely, and labels."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 7, n)
    logits = rng.normal(0, 1.5, (n, 7)) + 3.0 * np.eye(7)[labels]
    logits[:, FEAR] -= 1.5
    odds = np.exp(logits)
    return (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32), labels


def recalls(probabilities: Any, labels: Any) -> Any:
    return np.array(list(Evaluation("validation", probabilities, labels).recall.values()))


def biases_of(probabilities: Any, labels: Any, least: float) -> tuple[float, ...]:
    return fit_biases(Evaluation("validation", probabilities, labels), least)


def test_only_the_class_below_gets_a_bias_and_no_more_than_it_needs() -> None:
    probabilities, labels = shy()
    before = recalls(probabilities, labels)
    least = float(np.delete(before, FEAR).min()) - 0.1
    assert before[FEAR] < least
    biases = biases_of(probabilities, labels, least)
    assert [name for name, bias in zip(EMOTIONS, biases, strict=True) if bias] == ["fear"]
    assert recalls(shift(probabilities, biases), labels).min() >= least
    less = np.array(biases) - 0.01 * (np.arange(7) == FEAR)
    assert recalls(shift(probabilities, less), labels).min() < least


def test_where_nothing_is_missing_nothing_is_added() -> None:
    probabilities, labels = shy()
    assert biases_of(probabilities, labels, float(recalls(probabilities, labels).min())) == (0.0,) * 7


def test_a_class_without_images_asks_for_nothing() -> None:
    probabilities, labels = shy()
    there = labels != EMOTIONS.index("disgust")
    biases = biases_of(probabilities[there], labels[there], 0.3)
    assert biases[EMOTIONS.index("disgust")] == 0


def test_a_class_that_was_not_learned_is_said() -> None:
    probabilities, labels = shy()
    probabilities[:, FEAR] = 1e-6
    with pytest.raises(CheckFailedError, match=f"fear is found in 0.0% .* bias of {LARGEST_BIAS:g}, 30.0% wanted"):
        biases_of(probabilities, labels, 0.3)


def test_a_shift_is_of_the_logits() -> None:
    probabilities, _ = shy(50)
    biases = np.array([0.5, 0, -0.3, 0, 0, 0.1, 0])
    odds = np.exp(np.log(probabilities.astype(np.float64)) + biases)
    np.testing.assert_allclose(shift(probabilities, biases), odds / odds.sum(axis=1, keepdims=True), rtol=1e-5)
    assert shift(probabilities, ()) is probabilities


@pytest.mark.parametrize("biases", ['{"fury": 1}', '{"fear": "x"}', '{"fear": NaN}', "[1]", "3"])
def test_a_damaged_bias_is_a_model_error(tmp_path: Path, biases: str) -> None:
    part = '"temperature": 1, "expected_calibration_error_before": 0, "expected_calibration_error_after": 0'
    record = f'{{"float": {{{part}, "decisions_changed": 0, "biases": {biases}}}, "folded": false, "n_images": 1, '
    (tmp_path / RECORD).write_text(record + '"fitted_on": "validation"}')
    with pytest.raises(ModelError, match=RECORD):
        load_temperatures(tmp_path)


def test_a_share_beyond_one_is_bad_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--run", str(tmp_path), "--least-recall", "45"]) == 2
    assert "expected a number from 0 to 1, got 45" in capsys.readouterr().err


@tensorflow_here
def test_folded_networks_answer_as_the_formula_says(run: Path) -> None:
    from fer_edge.preprocess import to_float_input
    from fer_train.quantization.tflite import evaluate_int8
    from fer_train.runs.trained import load_trained
    from fer_train.training.temperature_scaling import fit_temperatures

    images = np.repeat(np.repeat(faces(300), 3, 1), 3, 2)
    plain = load_trained(run)
    answers = plain.float_model().predict_on_batch(to_float_input(images))
    labels = answers.argmax(axis=1)
    classes = np.unique(labels)
    assert len(classes) >= 3
    rarest = int(classes[0])
    labels[np.flatnonzero(labels != rarest)[::2]] = rarest  # so that it is found too rarely
    qat = plain.qat_model()
    int8 = evaluate_int8(qat, images, labels, "validation")
    before = {FLOAT: Evaluation("validation", answers, labels), "int8": int8}
    floor = max(float(recalls(each, labels)[rarest]) for each in (answers, int8.probabilities)) + 0.05
    after = fit_temperatures(run, images, before, qat, floor)

    record = json.loads((run / RECORD).read_text())
    assert record[FLOAT]["least_recall"] == floor
    assert record[FLOAT]["biases"][EMOTIONS[rarest]] > 0
    assert record[QAT]["biases"]
    assert f"biases {EMOTIONS[rarest]} +" in describe(record)
    assert np.nanmin(recalls(after[FLOAT].probabilities, labels)) >= floor
    known = load_temperatures(run)
    assert known is not None
    expected = shift(temper(answers, known.float_), known.float_biases)
    np.testing.assert_allclose(after[FLOAT].probabilities, expected, atol=1e-6)
    folded = load_trained(run)
    got = folded.float_model().predict_on_batch(to_float_input(images))
    np.testing.assert_allclose(got, expected, atol=1e-5)
    again = evaluate_int8(folded.qat_model(), images, labels, "validation")
    np.testing.assert_array_equal(again.probabilities, after["int8"].probabilities)
    told = int8.probabilities.min(axis=1) >= 4 / 256
    assert told.sum() >= 5
    formula = shift(temper(int8.probabilities, known.qat or 1.0), known.qat_biases)
    assert np.abs(after["int8"].probabilities - formula)[told].max() < 0.03


@tensorflow_here
def test_a_bias_widens_the_range_of_the_logits(run: Path) -> None:
    from fer_train.runs.trained import load_trained

    def of(network: Any) -> dict[str, Any]:
        layer = next(layer for layer in network.layers if layer.name == "quant_emotion")
        return {str(w.name).rsplit("/", 1)[-1].split(":")[0]: np.asarray(w) for w in layer.weights}

    network = load_trained(run).qat_model()
    before = of(network)
    fold(network, 2.0, (0.5, 0, 0, -0.25, 0, 0, 0))
    after = of(network)
    assert after["pre_activation_max"] == pytest.approx(before["pre_activation_max"] / 2 + 0.5)
    assert after["pre_activation_min"] == pytest.approx(before["pre_activation_min"] / 2 - 0.25)
    np.testing.assert_allclose(after["bias"], before["bias"] / 2 + [0.5, 0, 0, -0.25, 0, 0, 0], atol=1e-7)
