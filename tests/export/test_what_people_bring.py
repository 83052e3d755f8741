"""Networks of other people: fed and read as they were trained, whatever layers they have; none that carry code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.export.tiny import TINY_SIZE, Tiny

from fer_edge.errors import ModelError, UsageError
from fer_edge.labels import EMOTIONS
from fer_edge.preprocess import resize_gray, to_float_input
from fer_edge.verification.replay import verify
from fer_export.check.gate import Limits
from fer_export.check.plausible import ignores_its_input, knows_nothing
from fer_export.convert.class_order import ORDERS, class_order
from fer_export.convert.keras_model import INPUT_RANGES, UserModel, load_weights
from fer_export.export import export_models
from fer_export.file_names import INT8_ONNX, MODEL_FILES
from fer_export.judge import plausible as _plausible
from fer_export.request import ExportRequest, Steps
from fer_train.data.dataset import Split
from fer_train.evaluation.evaluate import Evaluation
from fer_train.runs.keras_file import load_keras_file
from fer_train.synthetic.faces import judging_split, synthetic_split

SEEN: dict[str, tuple[float, float]] = {
    "ours": (1.0, 0.0),
    "keras": (127.5 / 128, 127.5 / 128 - 1),
    "unit": (255 / 128, -1.0),
    "pixels": (1 / 128, -1.0),
}
"""What undoes each input range: ``x * a + b`` is ours again."""


@pytest.fixture(scope="module")
def faces() -> Split:
    split = synthetic_split(30, seed=3)
    return Split("validation", split.images, split.labels, split.names)


@pytest.fixture(scope="module")
def able(tiny: Tiny) -> Any:
    """The tiny network, trained until it tells most classes apart: a wrong order must cost it something."""
    import tf_keras

    model = tf_keras.models.clone_model(tiny.model)
    model.set_weights(tiny.model.get_weights())
    model.compile(tf_keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    model.fit(to_float_input(tiny.faces), synthetic_split(30, seed=3).labels, batch_size=30, epochs=25, verbose=0)
    return model


def trained_otherwise(able: Any, path: Path, input_range: str, order: tuple[int, ...]) -> Path:
    """The tiny network as if it had been trained with another input range and another order of classes."""
    import tf_keras
    from tf_keras import layers

    inputs = layers.Input((TINY_SIZE, TINY_SIZE, 3))
    features = tf_keras.Model(able.inputs, able.layers[-2].output)
    last = layers.Dense(7, activation="softmax")
    model = tf_keras.Model(inputs, last(features(layers.Rescaling(*SEEN[input_range])(inputs))))
    kernel, bias = able.layers[-1].get_weights()
    last.set_weights([kernel[:, list(order)], bias[list(order)]])
    model.save(path)
    return path


def judged(path: Path, split: Split, input_range: str, labels: str) -> tuple[str, ...]:
    """What the gate says of the float network itself."""
    order = class_order(labels)
    trained = load_weights(path, input_range, order)
    assert isinstance(trained, UserModel)
    small = np.stack([resize_gray(image, trained.input_size) for image in split.images])
    reference = Evaluation("validation", trained.predict_with(input_range, small), split.labels)
    request = ExportRequest(path, path.parent, split, split, input_range=input_range, order=order)
    return _plausible(request, trained, reference, Steps()).failures


@pytest.mark.parametrize("truth", ["keras", "unit", "pixels"])
def test_a_wrong_input_range_is_refused_and_the_right_one_named(
    able: Any, faces: Split, tmp_path: Path, truth: str
) -> None:
    path = trained_otherwise(able, tmp_path / "m.h5", truth, ORDERS["ours"])
    assert judged(path, faces, truth, "ours") == ()
    if truth != "keras":  # half a grey level from ours: no answer changes
        assert f"--input-range {truth} " in judged(path, faces, "ours", "ours")[-1]


def test_ours_fed_with_pixels_is_refused(able: Any, faces: Split, tmp_path: Path) -> None:
    path = trained_otherwise(able, tmp_path / "m.h5", "ours", ORDERS["ours"])
    assert "--input-range ours " in judged(path, faces, "pixels", "ours")[-1]


@pytest.mark.parametrize(
    ("labels", "input_range"),
    [
        ("fer2013", "ours"),
        ("affectnet", "ours"),
        ("rafdb", "ours"),
        ("sad,happy,neutral,fear,angry,surprise,disgust", "ours"),
        ("fer2013", "pixels"),
    ],
)
def test_another_order_of_classes_is_refused_and_named(
    able: Any, faces: Split, tmp_path: Path, labels: str, input_range: str
) -> None:
    path = trained_otherwise(able, tmp_path / "m.h5", input_range, class_order(labels))
    assert judged(path, faces, input_range, labels) == ()
    line = judged(path, faces, "ours", "ours")[-1]
    assert f"--labels {labels}" in line and (f"--input-range {input_range}" in line) == (input_range != "ours")


def test_the_exported_network_answers_in_our_order(able: Any, faces: Split, tmp_path: Path) -> None:
    path = trained_otherwise(able, tmp_path / "m.h5", "ours", ORDERS["affectnet"])
    trained = load_weights(path, "ours", class_order("Neutral,happiness,Sadness,surprise,fear,disgust,anger"))
    x = to_float_input(np.stack([resize_gray(image, TINY_SIZE) for image in faces.images[:1]]))
    np.testing.assert_allclose(trained.float_model()(x).numpy(), able(x).numpy(), atol=1e-5)


@pytest.mark.parametrize(
    "text", ["fer2014", "angry,sad", "angry,angry,fear,happy,neutral,sad,surprise", "a,b,c,d,e,f,g"]
)
def test_an_unknown_order_is_one_line(text: str) -> None:
    with pytest.raises(UsageError, match="--labels: ") as caught:
        class_order(text)
    assert "\n" not in str(caught.value)


def test_chance_and_one_class_are_told(faces: Split) -> None:
    rng = np.random.default_rng(0)
    chance = rng.dirichlet(np.ones(7), len(faces)).astype(np.float32)
    stuck = np.tile(np.eye(7, dtype=np.float32)[3], (len(faces), 1))
    right = np.eye(7, dtype=np.float32)[faces.labels]
    assert "no better than chance (14" in str(knows_nothing(Evaluation("validation", chance, faces.labels)))
    assert "answers happy for 100%" in str(knows_nothing(Evaluation("validation", stuck, faces.labels)))
    assert knows_nothing(Evaluation("validation", right, faces.labels)) is None
    mostly = np.where((np.arange(len(faces)) % 4 == 0)[:, None], right, chance)
    assert knows_nothing(Evaluation("validation", mostly, faces.labels)) is None
    assert ignores_its_input(stuck) and not ignores_its_input(chance)


# -- layers -----------------------------------------------------------------------------------------------------------

Layers = Callable[[Any, Any], Any]


def squeeze(k: Any, x: Any) -> Any:
    gate = k.layers.GlobalAveragePooling2D()(x)
    gate = k.layers.Dense(4, activation="relu")(k.layers.Reshape((1, 1, 8))(gate))
    return k.layers.Multiply()([x, k.layers.Dense(8, activation="sigmoid")(gate)])


def hard_swish(k: Any, x: Any) -> Any:
    return k.layers.Multiply()([x, k.layers.ReLU(6.0)(x + 3.0) * (1.0 / 6.0)])


def conv(k: Any, x: Any) -> Any:
    return k.layers.Conv2D(8, 3, padding="same")(x)


KINDS: dict[str, Layers] = {
    "max pooling": lambda k, x: k.layers.MaxPooling2D()(x),
    "average pooling": lambda k, x: k.layers.AveragePooling2D(3, 2, padding="same")(x),
    "global max pooling": lambda k, x: k.layers.GlobalMaxPooling2D()(x),
    "flatten": lambda k, x: k.layers.Flatten()(k.layers.MaxPooling2D(3)(x)),
    "swish": lambda k, x: k.layers.Activation("swish")(conv(k, x)),
    "leaky relu": lambda k, x: k.layers.LeakyReLU(0.1)(conv(k, x)),
    "elu": lambda k, x: k.layers.ELU()(conv(k, x)),
    "gelu": lambda k, x: k.layers.Activation("gelu")(conv(k, x)),
    "hard swish": lambda k, x: hard_swish(k, conv(k, x)),
    "squeeze and excitation": squeeze,
    "concatenate": lambda k, x: k.layers.Concatenate()([x, k.layers.Conv2D(4, 3, padding="same")(x)]),
    "padding before pooling": lambda k, x: k.layers.MaxPooling2D(3, 2)(k.layers.ZeroPadding2D(1)(x)),
    "dense on pixels": lambda k, x: k.layers.Dense(6, activation="relu")(x),
    "transposed convolution": lambda k, x: k.layers.Conv2DTranspose(8, 3, strides=2, padding="same")(x),
}
QUICK = ("max pooling", "elu")
"""The others are slow tests: an export takes three seconds."""


def network(k: Any, layers: Layers, before: Layers | None = None, channels: int = 3) -> Any:
    k.utils.set_random_seed(4)
    inputs = k.layers.Input((24, 24, channels))
    x = before(k, inputs) if before else inputs
    x = layers(k, k.layers.Conv2D(8, 3, strides=2, activation="relu")(x))
    if len(x.shape) == 4:
        x = k.layers.GlobalAveragePooling2D()(x)
    strong = k.initializers.RandomNormal(stddev=2.0)
    return k.Model(inputs, k.layers.Dense(7, activation="softmax", kernel_initializer=strong)(x))


def exported(model: Any, folder: Path, suffix: str, **options: Any) -> dict[str, Any]:
    """Export an untrained network on drawn faces, replay its golden vectors, and give its manifest."""
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
    assert manifest["onnx_quantiser"] == ("onnxruntime" if kind in OTHERS else "fer-export"), manifest["remarks"]


OTHERS = (
    "elu",
    "gelu",
    "squeeze and excitation",
    "padding before pooling",
    "dense on pixels",
    "transposed convolution",
)


BEFORE: dict[str, Layers] = {
    "rescaling": lambda k, x: k.layers.Rescaling(1 / 127.5, -1)(x),
    "normalization": lambda k, x: k.layers.Normalization(mean=[128.0] * 3, variance=[3600.0] * 3)(x),
    "preprocess_input": lambda k, x: k.applications.mobilenet_v2.preprocess_input(x),
    "arithmetic": lambda k, x: x / 127.5 - 1.0,
}


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
@pytest.mark.parametrize("name", ["MobileNetV3Small"])
def test_well_known_networks_are_exported(tmp_path: Path, name: str) -> None:
    import keras

    keras.utils.set_random_seed(1)
    model = getattr(keras.applications, name)(input_shape=(64, 64, 3), weights=None, classes=7)
    exported(model, tmp_path, ".keras", input_range="pixels")


# -- code -------------------------------------------------------------------------------------------------------------


def with_lambda(library: str, folder: Path, suffix: str, *, nested: bool) -> tuple[Path, Path]:
    """A file whose Lambda layer would create a file beside it when it is loaded or run."""
    k = pytest.importorskip(library)
    ran = folder / "ran"
    target = str(ran)

    def leave_a_trace(x: Any) -> Any:
        open(target, "w").close()  # noqa: PTH123
        return x

    def before(k: Any, x: Any) -> Any:
        if not nested:
            return k.layers.Lambda(leave_a_trace, name="trace", output_shape=(24, 24, 3))(x)
        inner = k.layers.Input((24, 24, 3))
        traced = k.layers.Lambda(leave_a_trace, name="trace", output_shape=(24, 24, 3))(inner)
        return k.Model(inner, traced, name="inner")(x)

    path = folder / f"mine{suffix}"
    network(k, KINDS["max pooling"], before).save(path)
    ran.unlink(missing_ok=True)  # building it ran it
    return path, ran


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize(
    ("library", "suffix"), [("keras", ".keras"), ("keras", ".h5"), ("tf_keras", ".keras"), ("tf_keras", ".h5")]
)
def test_a_lambda_layer_is_refused_and_never_run(tmp_path: Path, library: str, suffix: str, nested: bool) -> None:
    path, ran = with_lambda(library, tmp_path, suffix, nested=nested)
    with pytest.raises(ModelError, match=r"carries code in a (Lambda|__lambda__) layer") as caught:
        load_keras_file(path)
    assert not ran.exists() and "\n" not in str(caught.value)


@pytest.mark.parametrize("form", ["operation layer", "foreign class", "saved model"])
def test_other_code_is_refused_and_never_run(tmp_path: Path, form: str) -> None:
    import tensorflow as tf
    import tf_keras

    ran = tmp_path / "ran"
    if form == "saved model":

        class Module(tf.Module):  # type: ignore[misc]
            @tf.function(input_signature=[tf.TensorSpec((None, 24, 24, 3), tf.float32)])  # type: ignore[untyped-decorator]
            def __call__(self, x: Any) -> Any:
                tf.io.write_file(str(ran), "trace")
                return tf.nn.softmax(tf.reduce_mean(x, [1, 2, 3])[:, None] * tf.ones((1, 7)))

        path = tmp_path / "saved"
        module = Module()
        tf.saved_model.save(module, str(path), signatures=module.__call__)
    else:
        path = tmp_path / "mine.h5"
        network(tf_keras, KINDS["max pooling"], lambda k, x: tf.math.multiply(x, 0.5)).save(path)
        edit_description(path, form, str(ran))
    expected = {
        "operation layer": r"calls tf\.io\.write_file",
        "foreign class": "wants the Python module subprocess",
        "saved model": "holds the operation WriteFile",
    }[form]
    with pytest.raises(ModelError, match=expected) as caught:
        load_weights(path)
    assert not ran.exists() and "\n" not in str(caught.value)


def edit_description(path: Path, form: str, target: str) -> None:
    import h5py

    with h5py.File(path, "r+") as file:
        text = file.attrs["model_config"]
        description = json.loads(text.decode() if isinstance(text, bytes) else text)
        for layer in description["config"]["layers"]:
            if layer["class_name"] == "TFOpLambda" and form == "operation layer":
                layer["config"]["function"] = "io.write_file"
                layer["inbound_nodes"] = [[layer["inbound_nodes"][0][0][0], 0, 0, {"contents": target}]]
            elif layer["class_name"] == "Conv2D" and form == "foreign class":
                layer |= {"class_name": "Popen", "module": "subprocess"}
        file.attrs["model_config"] = json.dumps(description)


def test_arithmetic_of_tf_keras_is_no_code(tmp_path: Path) -> None:
    import tf_keras

    path = tmp_path / "mine.h5"
    network(tf_keras, KINDS["max pooling"], BEFORE["arithmetic"]).save(path)
    assert load_keras_file(path).output_shape == (None, len(EMOTIONS))
    assert set(INPUT_RANGES) == set(SEEN)
