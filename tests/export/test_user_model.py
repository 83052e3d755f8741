"""Models of other origin: every file format gives the same network, and what does not fit is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.export.kinds import KINDS, network
from tests.export.tiny import TINY_SIZE, Tiny

from fer_edge.errors import ModelError
from fer_edge.preprocess import to_float_input
from fer_export.convert.keras_model import INPUT_RANGES, UserModel, load_weights
from fer_train.quantization.tflite import float_to_tflite


def answer(model: Any, tiny: Tiny) -> Any:
    return model(to_float_input(tiny.faces[5:6])).numpy()


@pytest.fixture(scope="module")
def saved(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    tiny.model.save(folder / "mine.h5")
    tiny.model.export(folder / "exported")
    return folder


def test_h5_and_saved_model_hold_the_same_network(saved: Path, tiny: Tiny) -> None:
    want = answer(tiny.model, tiny)
    for name in ("mine.h5", "exported"):
        loaded = load_weights(saved / name)
        assert isinstance(loaded, UserModel) and loaded.input_size == TINY_SIZE
        assert loaded.qat_model() is None and loaded.config == {}
        np.testing.assert_allclose(answer(loaded.float_model(), tiny), want, atol=1e-5)


@pytest.mark.parametrize(("name", "from_pixel"), [("keras", lambda p: p / 127.5 - 1), ("unit", lambda p: p / 255)])
def test_input_range_of_another_training(saved: Path, tiny: Tiny, name: str, from_pixel: Any) -> None:
    pixels = tiny.faces[5:6].astype(np.float32)
    want = tiny.model(np.repeat(from_pixel(pixels)[..., None], 3, axis=-1)).numpy()
    got = answer(load_weights(saved / "mine.h5", name).float_model(), tiny)
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_input_ranges_map_all_pixels() -> None:
    x = (np.arange(256) - 128) / 128
    ends = {name: (a * x[0] + b, a * x[-1] + b) for name, (a, b) in INPUT_RANGES.items()}
    assert ends["ours"] == (-1.0, 127 / 128)
    assert ends["keras"] == pytest.approx((-1.0, 1.0))
    assert ends["unit"] == pytest.approx((0.0, 1.0))
    assert ends["pixels"] == pytest.approx((0.0, 255.0))


@pytest.mark.parametrize("library", ["keras", "tf_keras"])
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16"])
def test_half_precision_is_read_in_float32(tmp_path: Path, library: str, policy: str) -> None:
    """As Colab's tutorials train: TFLite has no operators for it."""
    k = pytest.importorskip(library)
    k.mixed_precision.set_global_policy(policy)
    try:
        model = network(k, KINDS["max pooling"])
        path = tmp_path / ("m.keras" if library == "keras" else "m.h5")
        model.save(path)
    finally:
        k.mixed_precision.set_global_policy("float32")
    face = np.random.default_rng(0).uniform(-1, 1, (1, 24, 24, 3)).astype(np.float32)
    trained = load_weights(path)
    np.testing.assert_allclose(trained.float_model()(face), np.asarray(model(face), np.float32), atol=0.02)
    if policy == "mixed_float16":
        assert float_to_tflite(trained.float_model())[4:8] == b"TFL3"


@pytest.mark.parametrize("form", ["m.keras", "m.h5", "saved"])
def test_a_batch_fixed_to_one_is_read(tmp_path: Path, form: str) -> None:
    import keras

    inputs = keras.layers.Input(batch_shape=(1, 24, 24, 3))
    model = keras.Model(inputs, keras.layers.Dense(7, "softmax")(keras.layers.Flatten()(inputs)))
    path = tmp_path / form
    model.export(path, verbose=False) if form == "saved" else model.save(path)
    faces = np.random.default_rng(0).integers(0, 256, (3, 24, 24), np.uint8)
    trained = load_weights(path)
    assert isinstance(trained, UserModel)
    want = [model(to_float_input(faces[i : i + 1]))[0] for i in range(3)]
    np.testing.assert_allclose(trained.predict_with("ours", faces), want, atol=1e-5)
    np.testing.assert_allclose(trained.float_model()(to_float_input(faces[:1])), want[:1], atol=1e-5)


def test_missing_softmax_is_told(tiny: Tiny, tmp_path: Path) -> None:
    import tf_keras

    logits = tf_keras.layers.Dense(7)(tiny.model.layers[-2].output)
    tf_keras.Model(tiny.model.inputs, logits).save(tmp_path / "logits.h5")
    with pytest.raises(ModelError, match="put a softmax at the end"):
        load_weights(tmp_path / "logits.h5")


def test_weights_alone_are_told(tiny: Tiny, tmp_path: Path) -> None:
    tiny.model.save_weights(tmp_path / "w.weights.h5")
    with pytest.raises(ModelError, match=r"holds no description of a network; weights alone are not enough: save"):
        load_weights(tmp_path / "w.weights.h5")


def test_input_range_is_not_for_runs_of_ours(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="for models from elsewhere"):
        load_weights(tmp_path, "keras")


def test_damaged_saved_model(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"no protocol buffer")
    with pytest.raises(ModelError, match="is not a SavedModel that can be read"):
        load_weights(tmp_path)


@pytest.mark.slow
def test_keras_3_with_a_nested_mobilenet(tmp_path: Path) -> None:
    """What most tutorials train: a Sequential around keras.applications, saved as ``.keras``; export in full."""
    import keras

    from fer_export.cli import main

    keras.utils.set_random_seed(1)
    backbone = keras.applications.MobileNetV2(input_shape=(64, 64, 3), alpha=0.35, include_top=False, weights=None)
    head = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dropout(0.2), keras.layers.Dense(7, "softmax")]
    keras.Sequential([keras.layers.Input((64, 64, 3)), backbone, *head]).save(tmp_path / "nested.keras")
    arguments = ["--int8", "--weights", str(tmp_path / "nested.keras"), "--input-range", "keras"]
    assert main([*arguments, "--out", str(tmp_path / "out"), "--min-agreement", "0"]) == 0
    assert (tmp_path / "out" / "manifest.json").exists()
