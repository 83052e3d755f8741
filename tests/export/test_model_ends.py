"""TFLite and ONNX files of other people: which pixels they take is read from their quantisation, and what they give
must be probabilities, for every command that opens a model."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from fer_edge.errors import ModelError
from fer_edge.inference.input_range import INPUT_RANGES, InputRange, find_input_range, stored_levels
from fer_edge.inference.tensors import TensorSpec, to_model_input
from fer_edge.loading.open import open_classifier
from fer_edge.preprocess import resize_gray
from fer_train.synthetic.faces import synthetic_split

SIDE = 24
INT8, UINT8 = np.dtype(np.int8), np.dtype(np.uint8)
BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def faces() -> npt.NDArray[np.uint8]:
    return np.stack([resize_gray(image, SIDE) for image in synthetic_split(4, seed=3).images])


def network(chosen: InputRange, last: str | None = "softmax") -> Any:
    """One network: the first layer undoes the range, so that every range gives the same answers."""
    import tf_keras
    from tf_keras import layers

    tf_keras.utils.set_random_seed(3)
    x = inputs = layers.Input((SIDE, SIDE, 3))
    x = layers.Rescaling(chosen.divisor / 128.0, -(chosen.offset + 128.0) / 128.0)(x)
    x = layers.Conv2D(8, 3, strides=2, activation="relu")(x)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dense(7, kernel_initializer=tf_keras.initializers.RandomNormal(stddev=4.0))(x)
    return tf_keras.Model(inputs, layers.Activation(last)(x) if last else x)


def quantized(model: Any, chosen: InputRange, faces: npt.NDArray[np.uint8], dtype: str) -> bytes:
    """What anybody does: post-training quantisation with images in the range of the training."""
    import tensorflow as tf

    def representative() -> Iterator[list[Any]]:
        for face in (*faces, np.zeros_like(faces[0]), np.full_like(faces[0], 255)):
            yield [np.repeat(chosen.values()[face][None, ..., None], 3, axis=-1).astype(np.float32)]

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = representative
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = getattr(tf, dtype)
    content: bytes = converter.convert()
    return content


@pytest.fixture(scope="module")
def files(faces: npt.NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    for chosen in INPUT_RANGES:
        for dtype in ("int8", "uint8"):
            content = quantized(network(chosen), chosen, faces, dtype)
            (folder / f"{chosen.name}_{dtype}.tflite").write_bytes(content)
    return folder


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
@pytest.mark.parametrize("name", [r.name for r in INPUT_RANGES])
def test_each_range_gives_the_answers_of_the_float_network(
    files: Path, faces: npt.NDArray[np.uint8], name: str, dtype: str
) -> None:
    chosen = next(r for r in INPUT_RANGES if r.name == name)
    pixels = np.repeat(chosen.values()[faces][..., None], 3, axis=-1).astype(np.float32)
    want = network(chosen)(pixels).numpy()
    with open_classifier(files / f"{name}_{dtype}.tflite") as classifier:  # type: ignore[attr-defined]
        got = classifier.predict(faces)
    assert np.ptp(want, axis=0).max() > 0.1, "the comparison needs a network that looks at its input"
    np.testing.assert_allclose(got, want, atol=0.06)


def test_ours_is_bit_exact_as_ever() -> None:
    faces = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    signed = to_model_input(faces, TensorSpec("x", (1, 16, 16, 3), INT8, 1 / 128, 0))
    unsigned = to_model_input(faces, TensorSpec("x", (1, 16, 16, 3), UINT8, 1 / 128, 128))
    np.testing.assert_array_equal(signed[0, ..., 1].ravel(), np.arange(-128, 128))
    np.testing.assert_array_equal(unsigned[0, ..., 2].ravel(), np.arange(256))


@pytest.mark.parametrize("dtype", [INT8, UINT8])
def test_no_two_grey_levels_become_one(dtype: np.dtype[Any]) -> None:
    low = int(np.iinfo(dtype).min)
    for chosen, zero in zip(INPUT_RANGES[1:], (127, 0, 0, 128), strict=True):
        scale = float(np.float32(1 / chosen.divisor))
        levels = stored_levels(chosen, scale, low + zero, dtype)
        # p / 127.5 - 1 has 0 between two levels, so that one end saturates.
        assert len(np.unique(levels)) >= (255 if chosen.name == "keras" else 256)


@pytest.mark.parametrize(
    ("scale", "zero_point", "dtype", "name"),
    [
        (1.0, 0, UINT8, "pixels"),
        (1.0, -128, INT8, "pixels"),
        (0.94, -128, INT8, "pixels"),  # calibrated on faces that are not white
        (1 / 255, 0, UINT8, "unit"),
        (0.0035, -128, INT8, "unit"),
        (2 / 255, 127, UINT8, "keras"),
        (2 / 255, -1, INT8, "keras"),
        (1 / 128, 0, INT8, "ours"),
        (0.00778, 127, UINT8, "ours"),
        (1.0, 0, INT8, "centred"),
        (4.7 / 255, -14, INT8, None),  # ImageNet's mean and standard deviation
        (1.1, 0, INT8, None),
        (2 / 255, 0, UINT8, None),  # 0 to 2
        (1 / 255, 0, INT8, None),  # -0.5 to 0.5
    ],
)
def test_the_range_is_read_from_scale_and_zero_point(
    scale: float, zero_point: int, dtype: np.dtype[Any], name: str | None
) -> None:
    found = find_input_range(scale, zero_point, dtype)
    assert (found.name if found else None) == name


def test_another_range_is_refused_in_one_line(faces: npt.NDArray[np.uint8], tmp_path: Path) -> None:
    imagenet = InputRange("imagenet", "(p - 124) / 58", 58.0, -124.0)
    path = tmp_path / "imagenet.tflite"
    path.write_bytes(quantized(network(imagenet), imagenet, faces, "int8"))
    with pytest.raises(ModelError, match=r"takes -2\.\d+ to 2\.\d+, .*expected .*p / 255 \(0 to 1\)") as caught:
        open_classifier(path)
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def no_probabilities(faces: npt.NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Logits as float and INT8 TFLite and as ONNX; seven sigmoids, which are 0 to 1 but do not add up."""
    from fer_export.convert.onnx_files import float_onnx
    from fer_train.quantization.tflite import float_to_tflite

    folder = tmp_path_factory.mktemp("logits")
    ours = INPUT_RANGES[0]
    logits, sigmoids = network(ours, None), network(ours, "sigmoid")
    (folder / "float.tflite").write_bytes(float_to_tflite(logits))
    (folder / "int8.tflite").write_bytes(quantized(logits, ours, faces, "int8"))
    (folder / "float.onnx").write_bytes(float_onnx(logits, SIDE))
    (folder / "sigmoid_int8.tflite").write_bytes(quantized(sigmoids, ours, faces, "uint8"))
    (folder / "sigmoid.tflite").write_bytes(float_to_tflite(sigmoids))
    return folder


@pytest.mark.parametrize("name", ["float.tflite", "int8.tflite", "float.onnx", "sigmoid_int8.tflite", "sigmoid.tflite"])
def test_what_gives_no_probabilities_is_not_opened(no_probabilities: Path, name: str) -> None:
    with pytest.raises(ModelError, match="put a softmax at the end of the network") as caught:
        open_classifier(no_probabilities / name)
    assert "\n" not in str(caught.value)
    assert ("these look like logits" in str(caught.value)) == (not name.startswith("sigmoid"))
    assert "add up to 0," not in str(caught.value)


def test_float_models_say_what_they_are_fed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from fer_train.quantization.tflite import float_to_tflite

    said = {}
    for chosen in INPUT_RANGES:
        (tmp_path / "m.tflite").write_bytes(float_to_tflite(network(chosen)))
        caplog.clear()
        open_classifier(tmp_path / "m.tflite").close()
        (line,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        said[chosen.name] = line
    assert all("does not say which pixels p it takes; it is fed (p - 128) / 128" in line for line in said.values())
    assert "when fed p (0 to 255): was it trained on that?" in said["pixels"]
    assert "fer-export --input-range pixels, or convert it to INT8 TFLite" in said["pixels"]
    assert "when fed" not in said["ours"] + said["keras"] + said["unit"]


OTHER_ENDS: dict[str, tuple[str, Callable[[Any, Any], Any], tuple[int, ...] | None]] = {
    "two channels": (
        r"\(1, 1, S, S\), the model has \(1, 24, 24, 2\)",
        lambda m, x: m(tf_repeat(x[..., :1])),
        (1, SIDE, SIDE, 2),
    ),
    "four channels first": (r"has \(1, 4, 24, 24\)", lambda m, x: m(tf_last(x)[..., :3]), (1, 4, SIDE, SIDE)),
    "two outputs": ("one input and one output, the model has 1 and 2", lambda m, x: (m(x), x[:, 0, 0]), None),
    "eight classes": (r"\(1, 7\), one value an emotion, the model has \(1, 8\)", lambda m, x: pad(m(x)), None),
}


def tf_repeat(x: Any) -> Any:
    import tensorflow as tf

    return tf.repeat(x, 3, axis=-1)


def tf_last(x: Any) -> Any:
    import tensorflow as tf

    return tf.transpose(x, (0, 2, 3, 1))


def pad(x: Any) -> Any:
    import tensorflow as tf

    return tf.pad(x, [[0, 0], [0, 1]])


@pytest.mark.parametrize("kind", OTHER_ENDS)
def test_other_ends_are_refused(tmp_path: Path, kind: str) -> None:
    import tensorflow as tf

    expected, function, shape = OTHER_ENDS[kind]
    model = network(INPUT_RANGES[0])
    spec = tf.TensorSpec(shape or (1, SIDE, SIDE, 3), tf.float32)
    traced = tf.function(lambda x: function(model, x)).get_concrete_function(spec)
    path = tmp_path / "m.tflite"
    path.write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([traced], model).convert())
    with pytest.raises(ModelError, match=expected):
        open_classifier(path)


def test_a_size_left_open_is_named(tmp_path: Path) -> None:
    """Runtimes take an open side for 1, and the first convolution fails somewhere inside them."""
    import tensorflow as tf
    import tf2onnx
    import tf_keras

    inputs = tf_keras.layers.Input((None, None, 3))
    x = tf_keras.layers.GlobalAveragePooling2D()(tf_keras.layers.Conv2D(8, 3)(inputs))
    model = tf_keras.Model(inputs, tf_keras.layers.Dense(7, activation="softmax")(x))
    (tmp_path / "m.tflite").write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    signature = [tf.TensorSpec((None, None, None, 3), tf.float32)]
    proto, _ = tf2onnx.convert.from_function(tf.function(model), input_signature=signature, opset=13)
    (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
    batch, _ = tf2onnx.convert.from_function(
        tf.function(network(INPUT_RANGES[0])), input_signature=[tf.TensorSpec((None, SIDE, SIDE, 3))], opset=13
    )
    (tmp_path / "batch.onnx").write_bytes(batch.SerializeToString())
    assert open_classifier(tmp_path / "batch.onnx").input_spec.shape == (1, SIDE, SIDE, 3)
    for name in ("m.tflite", "m.onnx"):
        with pytest.raises(ModelError, match=r"expected an input of shape \(1, S, S, 3\), .*-1, -1, 3\)"):
            open_classifier(tmp_path / name)


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [("int8", "its input is int8, and ONNX files do not say"), ("uint8", "its input is uint8, and"),
     ("float16", r"is a tensor\(float16\); expected tensor\(float\)")],
)  # fmt: skip
def test_onnx_of_other_types_is_refused(tmp_path: Path, dtype: str, expected: str) -> None:
    """The file may be meant for other scales than ours: nothing in it tells."""
    import tensorflow as tf
    import tf2onnx

    model = network(INPUT_RANGES[0])
    signature = [tf.TensorSpec((1, SIDE, SIDE, 3), getattr(tf, dtype))]
    function = tf.function(lambda x: model(tf.cast(x, tf.float32) / 64.0))
    proto, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=13)
    (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
    with pytest.raises(ModelError, match=expected) as caught:
        open_classifier(tmp_path / "m.onnx")
    assert "\n" not in str(caught.value)


COMMANDS = {
    "camera": ("fer-camera", "--source", "photo.png", "--quiet", "--model"),
    "verify": ("fer-camera", "--verify", "--model"),
    "bench": ("fer-bench", "--seconds", "1", "--model"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_refuses_logits(no_probabilities: Path, tmp_path: Path, command: str) -> None:
    import cv2

    cv2.imwrite(str(tmp_path / "photo.png"), np.full((64, 64, 3), 128, np.uint8))
    program, *options = COMMANDS[command]
    environment = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
    done = subprocess.run(
        [str(BIN / program), *options, str(no_probabilities / "float.tflite")],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        env=environment,
        check=False,
    )
    assert done.returncode not in (0, None)
    assert "put a softmax at the end of the network" in done.stderr and "Traceback" not in done.stderr
    assert "happy" not in done.stdout
