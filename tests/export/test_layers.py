"""Networks of other people, whatever layers they have, are exported."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests.export.kinds import BEFORE, KINDS, QUANTISED_BY_RUNTIME, WRITTEN, network

from fer_edge.errors import ModelError
from fer_edge.verification.replay import verify
from fer_export.check.gate import Limits
from fer_export.convert.four_files import build_networks
from fer_export.convert.keras_model import UserModel, load_weights
from fer_export.export import export_models
from fer_export.file_names import INT8_ONNX, MODEL_FILES
from fer_export.request import ExportRequest
from fer_train.synthetic.faces import judging_split

QUICK = ("convolution with groups", "ELU")
"""The others are slow tests: an export takes three seconds."""


def exported(model: Any, folder: Path, suffix: str, **options: Any) -> dict[str, Any]:
    """Export an untrained network on synthetic faces, replay its golden vectors, and give its manifest."""
    path = folder / f"mine{suffix}"
    model.save(path)
    request = ExportRequest(
        path,
        folder / "out",
        judging_split(per_class=6),
        judging_split(1, per_class=4),
        limits=Limits(min_agreement_synthetic=0.3),
        allow_chance=True,
        **options,
    )
    result = export_models(request)
    for name in MODEL_FILES:
        assert verify(folder / "out" / name).passed, name
    manifest: dict[str, Any] = json.loads((folder / "out/manifest.json").read_text())
    by_runtime = manifest["onnx_quantiser"] == "onnxruntime"
    assert by_runtime == any(f"{INT8_ONNX} was quantised by ONNX Runtime" in line for line in result.verdict.remarks)
    assert by_runtime == ("quantised by ONNX Runtime" in (folder / "out/report.md").read_text())
    return manifest


@pytest.mark.parametrize("kind", [pytest.param(k, marks=() if k in QUICK else pytest.mark.slow) for k in KINDS])
def test_every_kind_of_layer_is_exported(tmp_path: Path, kind: str) -> None:
    import keras

    manifest = exported(network(keras, KINDS[kind]), tmp_path, ".keras")
    expected = "onnxruntime" if kind in QUANTISED_BY_RUNTIME else "fer-export"
    assert manifest["onnx_quantiser"] == expected, manifest["remarks"]


def test_the_page_lists_every_kind() -> None:
    page = (Path(__file__).parents[2] / "docs/what-it-reads.md").read_text(encoding="utf-8")
    table = page[page.index("| Layer | INT8 ONNX by |") :].partition("\n\n")[0].splitlines()[2:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    expected = dict.fromkeys(WRITTEN, "our writer") | dict.fromkeys(QUANTISED_BY_RUNTIME, "ONNX Runtime")
    assert {row[0]: row[1] for row in rows} == expected
    named = set(re.findall(r"`(?:tests/)?([\w/]*test_\w+\.py)`", page))
    root = Path(__file__).parents[1]
    assert named and not [name for name in named if not any((root / room / name).is_file() for room in ("", "edge"))]


@pytest.mark.parametrize(
    ("operators", "subgraphs", "reason"),
    [
        ([], 1, "TFLite has no operator for ResizeBicubic"),
        (
            ["CONV_2D", "UNIDIRECTIONAL_SEQUENCE_LSTM"],
            1,
            r"recurrent layers \(LSTM, GRU, .*_LSTM\) cannot be quantised",
        ),
        (["WHILE"], 1, r"recurrent layers \(LSTM, GRU, .*WHILE\) cannot be quantised"),
        (["CONV_2D"], 3, r"recurrent layers \(LSTM, GRU, .*a loop\) cannot be quantised"),
    ],
)
def test_what_tflite_cannot_hold_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operators: list[str], subgraphs: int, reason: str
) -> None:
    import keras

    def layers(k: Any, x: Any) -> Any:
        return x if operators else k.layers.Resizing(16, 16, interpolation="bicubic")(x)

    if operators:  # what a file holds is only said: TensorFlow is not tried with it
        found = SimpleNamespace(operators=[SimpleNamespace(name=name) for name in operators], subgraphs=subgraphs)
        monkeypatch.setattr("fer_export.convert.four_files.read_tflite", lambda content: found)
    path = tmp_path / "mine.keras"
    network(keras, layers).save(path)
    with pytest.raises(ModelError, match=rf"mine\.keras cannot be converted to TFLite: {reason}") as caught:
        build_networks(load_weights(path), lambda size: np.zeros((1, size, size), np.uint8), "x86")
    assert "\n" not in str(caught.value)


def test_augmentation_that_counts_its_draws_does_nothing_here(tmp_path: Path) -> None:
    import keras

    path = tmp_path / "mine.keras"
    model = network(keras, KINDS["max pooling"], lambda k, x: k.layers.RandomHue(0.1)(k.layers.RandomGrayscale()(x)))
    model.save(path)
    face = np.linspace(-1, 0.9, 24 * 24, dtype=np.float32).reshape(1, 24, 24, 1).repeat(3, axis=-1)
    loaded = load_weights(path).float_model()
    np.testing.assert_allclose(loaded(face), model(face, training=False), atol=1e-5)


def test_convnext_of_keras_is_read(tmp_path: Path) -> None:
    """Its LayerScale is Keras' own, though it lives outside of ``keras.layers``."""
    from keras.src.applications import convnext

    model = convnext.ConvNeXt([1, 1, 1, 1], [4, 8, 8, 8], weights=None, classes=7,
                                                 input_shape=(32, 32, 3), drop_path_rate=0.1)  # fmt: skip
    path = tmp_path / "mine.keras"
    model.save(path)
    face = np.linspace(0, 255, 32 * 32, dtype=np.float32).reshape(1, 32, 32, 1).repeat(3, axis=-1)
    loaded = load_weights(path, "pixels").float_model()
    np.testing.assert_allclose(loaded(face / 128 - 1), model(face, training=False), atol=1e-4)


def test_a_sequential_model_is_read(tmp_path: Path) -> None:
    import keras

    layers = keras.layers
    stack = [layers.Input((24, 24, 3)), layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(7, "softmax")]
    keras.Sequential(stack).save(tmp_path / "mine.keras")
    trained = load_weights(tmp_path / "mine.keras", "pixels")
    assert isinstance(trained, UserModel) and trained.input_size == 24 and trained.rescales_itself


@pytest.mark.slow
@pytest.mark.parametrize("library", ["keras", "tf_keras"])
@pytest.mark.parametrize("kind", BEFORE)
def test_preprocessing_inside_is_exported(tmp_path: Path, kind: str, library: str) -> None:
    k = pytest.importorskip(library)
    model = network(k, KINDS["max pooling"], BEFORE[kind])
    exported(model, tmp_path, ".keras" if library == "keras" else ".h5", input_range="pixels")


@pytest.mark.slow
def test_mini_xception_is_exported(tmp_path: Path) -> None:
    """Arriaga et al. 2017: separable convolutions with residual connections, one channel of 48 pixels."""
    import tf_keras
    from tf_keras import layers

    tf_keras.utils.set_random_seed(1)
    x = inputs = layers.Input((48, 48, 1))
    for _ in range(2):
        x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(8, 3, use_bias=False)(x)))
    for width in (16, 32, 64):
        shortcut = layers.BatchNormalization()(layers.Conv2D(width, 1, strides=2, padding="same", use_bias=False)(x))
        for i in range(2):
            x = layers.BatchNormalization()(layers.SeparableConv2D(width, 3, padding="same", use_bias=False)(x))
            x = layers.ReLU()(x) if i == 0 else x
        x = layers.Add()([layers.MaxPooling2D(3, 2, padding="same")(x), shortcut])
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(7, 3, padding="same")(x))
    exported(tf_keras.Model(inputs, layers.Activation("softmax")(x)), tmp_path, ".h5", input_range="keras")


@pytest.mark.slow
@pytest.mark.parametrize("library", ["keras", "tf_keras"])
def test_efficientnet_lite_is_exported(tmp_path: Path, library: str) -> None:
    """Google's EfficientNet-Lite: inverted residuals with ReLU6, kernels of 3 and 5, no squeeze and excitation."""
    k = pytest.importorskip(library)
    k.utils.set_random_seed(2)

    def convolved(x: Any, layer: Any, *, active: bool = True) -> Any:
        x = k.layers.BatchNormalization()(layer(x))
        return k.layers.ReLU(6.0)(x) if active else x

    def block(x: Any, width: int, expand: int, stride: int, side: int) -> Any:
        before = x
        if expand > 1:
            x = convolved(x, k.layers.Conv2D(x.shape[-1] * expand, 1, use_bias=False))
        x = convolved(x, k.layers.DepthwiseConv2D(side, strides=stride, padding="same", use_bias=False))
        x = convolved(x, k.layers.Conv2D(width, 1, use_bias=False), active=False)
        return k.layers.Add()([before, x]) if before.shape == x.shape else x

    inputs = k.layers.Input((32, 32, 3))
    x = convolved(inputs, k.layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False))
    for width, expand, stride, side in ((8, 1, 1, 3), (12, 6, 2, 3), (12, 6, 1, 3), (16, 6, 2, 5), (16, 6, 1, 5)):
        x = block(x, width, expand, stride, side)
    x = k.layers.Dropout(0.2)(k.layers.GlobalAveragePooling2D()(convolved(x, k.layers.Conv2D(32, 1))))
    strong = k.initializers.RandomNormal(stddev=2.0)
    x = k.layers.Dense(7, activation="softmax", kernel_initializer=strong)(x)
    manifest = exported(k.Model(inputs, x), tmp_path, ".keras" if library == "keras" else ".h5", input_range="keras")
    assert manifest["onnx_quantiser"] == "fer-export"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["MobileNetV3Small"])
def test_well_known_networks_are_exported(tmp_path: Path, name: str) -> None:
    import keras

    keras.utils.set_random_seed(1)
    model = getattr(keras.applications, name)(input_shape=(64, 64, 3), weights=None, classes=7)
    exported(model, tmp_path, ".keras", input_range="pixels")
