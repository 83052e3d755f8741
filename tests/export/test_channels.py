"""Models of one channel, and with the channels first: fed the same grey face as those of three, and opened by every
command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from fer_edge.errors import ModelError
from fer_edge.inference.input_range import INPUT_RANGES, InputRange
from fer_edge.inference.tensors import TensorSpec, check_specs, input_layout, to_model_input
from fer_edge.loading.open import open_classifier
from fer_edge.preprocess import resize_gray, to_float_input
from fer_edge.verification.golden import read_golden
from fer_edge.verification.replay import verify_classifier
from fer_export.convert.keras_model import UserModel, load_weights
from fer_export.describe.golden_vectors import write_golden
from fer_train.quantization.tflite import float_to_tflite
from fer_train.synthetic.faces import synthetic_split

SIDE = 24
OURS, PIXELS = INPUT_RANGES[0], INPUT_RANGES[3]
SHAPES = {
    "one channel": (1, SIDE, SIDE, 1),
    "three channels first": (1, 3, SIDE, SIDE),
    "one channel first": (1, 1, SIDE, SIDE),
    "three channels": (1, SIDE, SIDE, 3),
}
FORMS = ("float.tflite", "int8.tflite", "uint8_pixels.tflite", "float.onnx", "qdq.onnx")
QUICK = ("float.tflite", "int8.tflite", "float.onnx")
EACH = [
    pytest.param(name, form, marks=() if form in QUICK and name in list(SHAPES)[:2] else pytest.mark.slow)
    for name in SHAPES
    for form in FORMS
]
BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def faces() -> npt.NDArray[np.uint8]:
    return np.stack([resize_gray(image, SIDE) for image in synthetic_split(4, seed=3).images])


def network(shape: tuple[int, ...], chosen: InputRange = OURS) -> Any:
    """One network behind each shape: its kernel is summed over equal channels, so that all answer alike."""
    import tensorflow as tf

    rng = np.random.default_rng(3)
    _, channels, first = input_layout(shape) or (0, 0, False)
    kernel = np.repeat(rng.normal(0, 0.3, (3, 3, 1, 8)) / channels, channels, axis=2).astype(np.float32)
    head = rng.normal(0, 4.0, (8, 7)).astype(np.float32)

    def answers(x: Any) -> Any:
        x = tf.transpose(x, (0, 2, 3, 1)) if first else x
        x = (x * chosen.divisor - chosen.offset - 128.0) / 128.0
        x = tf.nn.relu(tf.nn.conv2d(x, kernel, 2, "SAME"))
        return tf.nn.softmax(tf.reduce_mean(x, (1, 2)) @ head)

    return answers


def traced(shape: tuple[int, ...], chosen: InputRange = OURS) -> Any:
    import tensorflow as tf

    return tf.function(network(shape, chosen)).get_concrete_function(tf.TensorSpec(shape, tf.float32, name="x"))


def as_tflite(function: Any, shape: tuple[int, ...], chosen: InputRange, dtype: str, faces: Any) -> bytes:
    import tensorflow as tf

    spec = TensorSpec("x", shape, np.dtype(np.float32))

    def representative() -> Iterator[list[Any]]:
        for face in (*faces, np.zeros_like(faces[0]), np.full_like(faces[0], 255)):
            x = (to_model_input(face[None], spec) * 128.0 + 128.0 + chosen.offset) / chosen.divisor
            yield [x.astype(np.float32)]

    converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
    if dtype != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = representative
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = getattr(tf, dtype)
    content: bytes = converter.convert()
    return content


def as_onnx(shape: tuple[int, ...]) -> bytes:
    """As PyTorch writes it: NCHW inside, the batch left open under a name."""
    import tensorflow as tf
    import tf2onnx

    signature = [tf.TensorSpec((None, *shape[1:]), tf.float32, name="input")]
    proto, _ = tf2onnx.convert.from_function(tf.function(network(shape)), input_signature=signature, opset=13)
    content: bytes = proto.SerializeToString()
    return content


def as_qdq(content: bytes, shape: tuple[int, ...], faces: Any, folder: Path) -> bytes:
    """Static quantisation with float ends, as ONNX Runtime's own tool does it."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

    spec = TensorSpec("x", shape, np.dtype(np.float32))

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._faces = iter(faces)

        def get_next(self) -> dict[str, Any] | None:
            face = next(self._faces, None)
            return None if face is None else {"input": to_model_input(face[None], spec)}

    (folder / "plain.onnx").write_bytes(content)
    quantize_static(folder / "plain.onnx", folder / "q.onnx", Reader(), QuantFormat.QDQ)
    return (folder / "q.onnx").read_bytes()


class Files:
    """The files, each made when it is first asked for."""

    def __init__(self, folder: Path, faces: npt.NDArray[np.uint8]) -> None:
        self._folder, self._faces = folder, faces

    def __call__(self, name: str, form: str) -> Path:
        folder = self._folder / name
        folder.mkdir(exist_ok=True)
        path = folder / form
        if not path.exists():
            path.write_bytes(self._content(SHAPES[name], form, path.with_suffix("")))
        return path

    def _content(self, shape: tuple[int, ...], form: str, scratch: Path) -> bytes:
        if form == "float.onnx":
            return as_onnx(shape)
        if form == "qdq.onnx":
            scratch.mkdir()
            return as_qdq(as_onnx(shape), shape, self._faces, scratch)
        chosen = PIXELS if "pixels" in form else OURS
        dtype = form.partition(".")[0].partition("_")[0].replace("float", "float32")
        return as_tflite(traced(shape, chosen), shape, chosen, dtype, self._faces)


@pytest.fixture(scope="module")
def files(faces: npt.NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("channels"), faces)


@pytest.mark.parametrize(("name", "form"), EACH)
def test_each_layout_answers_as_the_network(files: Files, faces: npt.NDArray[np.uint8], name: str, form: str) -> None:
    want = network((1, SIDE, SIDE, 3))(to_float_input(faces)).numpy()
    with open_classifier(files(name, form)) as classifier:  # type: ignore[attr-defined]
        assert classifier.input_spec.shape == SHAPES[name] and classifier.input_size == SIDE
        got = classifier.predict(faces)
    assert np.ptp(want, axis=0).max() > 0.1, "the comparison needs a network that looks at its input"
    np.testing.assert_allclose(got, want, atol=1e-5 if form.startswith("float") else 0.06)


@pytest.mark.parametrize("quantised", [None, (np.int8, 1 / 128, 0), (np.uint8, 1 / 255, 0), (np.uint8, 1.0, 0)])
def test_every_channel_holds_the_one_plane(quantised: tuple[Any, float, int] | None) -> None:
    faces = np.random.default_rng(1).integers(0, 256, (3, 16, 16), np.uint8)
    dtype, scale, zero = quantised or (np.float32, 0.0, 0)

    def tensor(*shape: int) -> npt.NDArray[Any]:
        made = to_model_input(faces, TensorSpec("x", (1, *shape), np.dtype(dtype), scale, zero))
        assert made.shape == (3, *shape) and made.dtype == dtype and made.flags.c_contiguous
        return made

    three = tensor(16, 16, 3)
    np.testing.assert_array_equal(tensor(16, 16, 1), three[..., :1])
    np.testing.assert_array_equal(tensor(3, 16, 16), three.transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(tensor(1, 16, 16), three.transpose(0, 3, 1, 2)[:, :1])


@pytest.mark.parametrize(
    "shape",
    [(1, 3, 3, 1), (1, 3, 3, 3), (1, 1, 1, 1), (1, 1, 3, 3), (1, 1, 1, 3), (1, 48, 48, 2), (1, 4, 48, 48),
     (1, 48, 32, 1), (1, 1, 48, 32), (2, 48, 48, 1), (48, 48, 1), (1, 48, 48), (1, 2304), (1, -1, -1, 1),
     (1, 1, -1, -1), (1, 48, 1, 48)],
)  # fmt: skip
def test_what_is_no_picture_or_could_be_two_is_refused(shape: tuple[int, ...]) -> None:
    float32 = np.dtype(np.float32)
    with pytest.raises(ModelError, match=r"expected an input of shape \(1, S, S, 3\), .*the model has") as caught:
        check_specs(Path("m.onnx"), TensorSpec("x", shape, float32), TensorSpec("y", (1, 7), float32))
    assert str(shape) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", list(SHAPES)[:3])
def test_golden_vectors_replay_on_other_layouts(files: Files, tmp_path: Path, name: str) -> None:
    """Recorded from the file of three channels."""
    with (
        open_classifier(files("three channels", "int8.tflite")) as three,  # type: ignore[attr-defined]
        open_classifier(files(name, "float.tflite")) as floating,  # type: ignore[attr-defined]
        open_classifier(files(name, "int8.tflite")) as other,  # type: ignore[attr-defined]
    ):
        write_golden(tmp_path / "golden.npz", three, floating, {})
        golden = read_golden(tmp_path / "golden.npz")
        stages = {stage.name: stage for stage in verify_classifier(other, golden).stages}
        assert stages["preprocessing"].passed and stages["quantisation"].passed, stages
        assert verify_classifier(floating, golden).passed


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {"HOME": str(folder), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
    return subprocess.run(
        [str(BIN / command[0]), *command[1:]],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=folder,
        env=environment,
        check=False,
    )


COMMANDS = [
    ("one channel", "int8.tflite"),
    ("three channels first", "float.onnx"),
    ("one channel first", "float.tflite"),
]


@pytest.mark.parametrize(("name", "form"), COMMANDS)
def test_the_camera_takes_them(files: Files, tmp_path: Path, name: str, form: str) -> None:
    cv2.imwrite(str(tmp_path / "photo.png"), np.full((64, 64, 3), 128, np.uint8))
    model = str(files(name, form))
    done = run(tmp_path, "fer-camera", "--source", "photo.png", "--jsonl", "a.jsonl", "--model", model)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "a.jsonl").read_text().splitlines()[0])["faces"] == []


@pytest.mark.slow
@pytest.mark.parametrize(("name", "form"), COMMANDS)
def test_the_benchmark_takes_them(files: Files, tmp_path: Path, name: str, form: str) -> None:
    model = str(files(name, form))
    quick = ("--seconds", "0.1", "--processes", "1", "--limit", "14", "--profile", "--json", "b.json")
    measured = run(tmp_path, "fer-bench", "--model", model, *quick)
    assert measured.returncode == 0, measured.stderr
    assert json.loads((tmp_path / "b.json").read_text())["results"][0]["input_size_px"] == SIDE
    few = ("--kind", "bright", "--limit", "14", "--json", "r.json")
    disturbed = run(tmp_path, "fer-bench", "robustness", "--model", model, *few)
    assert disturbed.returncode == 0, disturbed.stderr


def keras_network(shape: tuple[int | None, ...]) -> Any:
    import keras

    keras.utils.set_random_seed(2)
    layers = keras.layers
    x = inputs = layers.Input(shape)
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(8, 3, strides=2, activation="relu")(x))
    return keras.Model(inputs, layers.Dense(7, "softmax", kernel_initializer="random_normal")(x))


@pytest.mark.parametrize("form", ["m.keras", "m.h5", "saved"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_size_left_open_is_chosen(tmp_path: Path, form: str, channels: int) -> None:
    model = keras_network((None, None, channels))
    path = tmp_path / form
    model.export(path, verbose=False) if form == "saved" else model.save(path)
    with pytest.raises(ModelError, match=r"leaves the size of its input open.*--input-size") as caught:
        load_weights(path)
    assert "\n" not in str(caught.value)
    face = np.random.default_rng(0).integers(0, 256, (1, 40, 40), np.uint8)
    trained = load_weights(path, input_size=40)
    assert isinstance(trained, UserModel) and trained.input_size == 40
    want = np.asarray(model(to_float_input(face, channels)))
    np.testing.assert_allclose(trained.float_model()(to_float_input(face)), want, atol=1e-5)
    (tmp_path / "m.tflite").write_bytes(float_to_tflite(trained.float_model()))
    with open_classifier(tmp_path / "m.tflite") as classifier:  # type: ignore[attr-defined]
        np.testing.assert_allclose(classifier.predict(face), want, atol=1e-4)


def test_another_size_than_the_networks_own_is_refused(tmp_path: Path) -> None:
    keras_network((48, 48, 1)).save(tmp_path / "m.keras")
    with pytest.raises(ModelError, match="takes 48x48 pixels; leave --input-size 64 out"):
        load_weights(tmp_path / "m.keras", input_size=64)
    assert load_weights(tmp_path / "m.keras", input_size=48).input_size == 48


@pytest.mark.slow
def test_one_channel_is_exported_with_all_that_belongs_to_it(tmp_path: Path) -> None:
    """The exported files take three equal channels, as the contract has it: the network reads the first."""
    keras_network((None, None, 1)).save(tmp_path / "m.keras")
    options = ["--int8", "--weights", "m.keras", "--input-size", "48", "--allow-chance", "--min-agreement", "0"]
    done = run(tmp_path, "fer-export", *options, "--max-recall-loss", "100", "--out", "out")
    assert done.returncode == 0, done.stderr
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert {tuple(entry["input"]["shape"]) for entry in manifest["models"].values()} == {(1, 48, 48, 3)}
    for name in ("fer_int8.tflite", "fer_float.tflite", "fer_int8.onnx", "fer_float.onnx"):
        verified = run(tmp_path, "fer-camera", "--verify", "--model", f"out/{name}")
        assert verified.returncode == 0, verified.stdout + verified.stderr
