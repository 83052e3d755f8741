from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fer_edge.errors import ModelError
from fer_train.commands.calibrate import main
from fer_train.evaluation.evaluate import Evaluation, expected_calibration_error
from fer_train.evaluation.temperature import (
    FLOAT,
    INT8,
    QAT,
    RECORD,
    cross_fitted_error,
    describe,
    fit_temperature,
    fold,
    load_temperatures,
    summarize,
    temper,
)
from fer_train.runs.recipe import Recipe
from fer_train.training.temperature_scaling import fit_temperatures

SIZE = 32
tensorflow_here = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow_model_optimization") is None,
    reason="the [train] extra is not installed",
)


def overconfident(n: int, true_temperature: float, seed: int = 0) -> tuple[Any, Any]:
    """Probabilities ``softmax(z)`` of labels that are drawn from ``softmax(z / T)``."""
    rng = np.random.default_rng(seed)
    z = rng.normal(0.0, 3.0, (n, 7))
    probabilities = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    true = np.exp(z / true_temperature)
    true /= true.sum(axis=1, keepdims=True)
    labels = (true.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
    return probabilities.astype(np.float32), labels.astype(np.int64)


@pytest.mark.parametrize("truth", [0.5, 1.0, 2.5])
def test_the_fitted_temperature_is_the_one_the_labels_were_drawn_with(truth: float) -> None:
    probabilities, labels = overconfident(20_000, truth)
    found = fit_temperature(probabilities, labels)
    assert found == pytest.approx(truth, rel=0.04)

    def loss(temperature: float) -> float:
        return float(-np.log(temper(probabilities, temperature)[np.arange(len(labels)), labels]).mean())

    assert loss(found) <= min(loss(found * 1.02), loss(found / 1.02))
    after = expected_calibration_error(temper(probabilities, found), labels)
    assert after < 0.015
    assert cross_fitted_error(probabilities, labels) < 0.02
    if truth == 2.5:
        assert expected_calibration_error(probabilities, labels) > 0.1


def test_tempering_keeps_every_decision() -> None:
    probabilities, _ = overconfident(1000, 1.0)
    for temperature in (0.3, 1.7, 9.0):
        np.testing.assert_array_equal(temper(probabilities, temperature).argmax(1), probabilities.argmax(1))
    np.testing.assert_allclose(temper(probabilities, 1.0), probabilities, atol=1e-6)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"float": {"temperature": -1}, "folded": false}'])
def test_a_damaged_record_is_a_model_error(tmp_path: Path, content: str) -> None:
    (tmp_path / RECORD).write_text(content)
    with pytest.raises(ModelError, match=RECORD):
        load_temperatures(tmp_path)
    assert load_temperatures(tmp_path / "elsewhere") is None


def test_a_run_that_is_not_there_is_one_line_and_exit_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--run", str(tmp_path / "none")]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def small_network(keras: Any, input_size: int, **_: Any) -> Any:
    inputs = keras.layers.Input((input_size, input_size, 3))
    x = keras.layers.Conv2D(16, 3, strides=4, use_bias=False)(inputs)
    x = keras.layers.ReLU(6.0)(keras.layers.BatchNormalization()(x))
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, keras.layers.Dense(7, activation="softmax", name="emotion")(x))
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(0, 0.5, w.shape) if w.ndim > 1 else w for w in model.get_weights()])
    return model


def faces(n: int) -> Any:
    """Faces of ``n`` different textures: uniform noise alone would give every image the same averages."""
    rng = np.random.default_rng(1)
    return np.clip(
        rng.integers(0, 256, (n, 1, 1)) + rng.normal(0, 1, (n, SIZE, SIZE)) * rng.uniform(1, 90, (n, 1, 1)), 0, 255
    ).astype(np.uint8)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A packed folder with a small float and QAT network that answer with many different classes."""
    tf_keras = pytest.importorskip("tf_keras")
    from fer_edge.preprocess import to_float_input
    from fer_train.quantization.qat_network import measure_ranges as set_ranges
    from fer_train.quantization.qat_network import wrap_for_qat

    monkeypatch.setattr("fer_train.runs.network_of.build_network", small_network)
    folder = tmp_path / "run"
    folder.mkdir()
    Recipe(input_size=96).save(folder / "config.json")
    network = small_network(tf_keras, 96)
    wrapped = wrap_for_qat(network)
    set_ranges(wrapped, network, [to_float_input(np.repeat(np.repeat(faces(64), 3, 1), 3, 2))])
    np.savez(folder / "float.npz", **{f"{i:04d}": w for i, w in enumerate(network.get_weights())})
    np.savez(folder / "qat.npz", **{f"{i:04d}": w for i, w in enumerate(wrapped.get_weights())})
    return folder


@pytest.mark.slow
@tensorflow_here
def test_folding_changes_probabilities_and_no_decision(run: Path, tmp_path: Path) -> None:
    from fer_edge.preprocess import to_float_input
    from fer_train.quantization.tflite import evaluate_int8
    from fer_train.runs.packing import pack
    from fer_train.runs.trained import load_trained

    images = np.repeat(np.repeat(faces(600), 3, 1), 3, 2)
    plain = load_trained(run)
    probabilities = plain.float_model().predict_on_batch(to_float_input(images))
    spread = temper(probabilities, 1.7)
    labels = (spread.cumsum(axis=1) < np.random.default_rng(2).random((600, 1))).sum(axis=1).clip(0, 6)
    qat = plain.qat_model()
    before = {
        FLOAT: Evaluation("validation", probabilities, labels),
        INT8: evaluate_int8(qat, images, labels, "validation"),
    }
    assert len(np.unique(before[INT8].decisions)) >= 3
    after = fit_temperatures(run, images, before, qat)
    record = json.loads((run / RECORD).read_text())
    assert record["n_images"] == 600
    assert record[FLOAT]["temperature"] > 1.2  # the labels are drawn at 1.7: the network is overconfident
    assert after[FLOAT].ece < before[FLOAT].ece
    assert after[INT8].ece < before[INT8].ece
    assert record[FLOAT]["decisions_changed"] == 0
    # All values up to the softmax stay; only where two classes round to the same 1/256 may the decision move.
    moved = before[INT8].decisions != after[INT8].decisions
    assert record[QAT]["decisions_changed"] == moved.sum()
    top = np.sort(np.stack([before[INT8].probabilities, after[INT8].probabilities]), axis=2)[:, :, -2:]
    tied = (top[:, :, 0] == top[:, :, 1]).any(axis=0)
    assert not (moved & ~tied).any()
    assert moved.mean() <= 0.05
    expected = temper(before[INT8].probabilities, record[QAT]["temperature"])
    # A probability of 0 or 1/256 says little about its logit, so only rows without such are held against the formula.
    told = before[INT8].probabilities.min(axis=1) >= 4 / 256
    assert told.sum() >= 5
    assert np.abs(after[INT8].probabilities - expected)[told].max() < 0.02
    summary = summarize(after, record)
    assert summary["int8"]["expected_calibration_error"] == record[QAT]["expected_calibration_error_after"]
    assert "decisions changed" in describe(record)

    # Whoever loads the folder now gets folded networks; packing folds once, never twice; fold=False gets the old ones.
    folded = load_trained(run)
    x = to_float_input(images[:50])
    np.testing.assert_allclose(folded.float_model().predict_on_batch(x), after[FLOAT].probabilities[:50], atol=1e-5)
    again = evaluate_int8(folded.qat_model(), images, labels, "validation")
    np.testing.assert_array_equal(again.probabilities, after[INT8].probabilities)
    raw = load_trained(run, fold=False).float_model().predict_on_batch(x)
    np.testing.assert_allclose(raw, probabilities[:50], atol=1e-6)
    pack(folded, tmp_path / "packed")
    packed = load_trained(tmp_path / "packed")
    assert packed.temperatures is not None
    assert packed.temperatures.folded
    np.testing.assert_allclose(packed.float_model().predict_on_batch(x), after[FLOAT].probabilities[:50], atol=0.02)
    again = evaluate_int8(packed.qat_model(), images, labels, "validation")
    np.testing.assert_array_equal(again.probabilities, after[INT8].probabilities)  # kernels lie on their INT8 grid
    Recipe(data=str(run), input_size=96).save(tmp_path / "packed/config.json")
    assert main(["--run", str(tmp_path / "packed")]) == 2  # the weights have it in them


@tensorflow_here
def test_networks_that_are_not_ours_are_refused() -> None:
    tf_keras = pytest.importorskip("tf_keras")
    with pytest.raises(ModelError, match="emotion"):
        fold(tf_keras.Sequential([tf_keras.layers.Dense(7)]), 2.0)
