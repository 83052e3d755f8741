"""Model files that carry code, or would read and write files, are refused and never run."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from tests.export.kinds import BEFORE, KINDS, network

from fer_edge.errors import ModelError
from fer_edge.labels import EMOTIONS
from fer_export.convert.keras_model import load_weights
from fer_train.runs.keras_file import load_keras_file


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


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("library", ["keras", "tf_keras"])
@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("activation", "carries code, a Python lambda"),
        ("class", "(needs|wants) .* and give the SavedModel folder"),
    ],
)
def test_code_outside_lambda_layers_is_named(
    tmp_path: Path, library: str, suffix: str, kind: str, expected: str
) -> None:
    k = pytest.importorskip(library)

    class Mine(k.layers.Layer):  # type: ignore[misc, name-defined]
        def call(self, x: Any) -> Any:
            return x

    def before(k: Any, x: Any) -> Any:
        return Mine()(x) if kind == "class" else k.layers.Dense(3, activation=lambda x: x)(x)

    path = tmp_path / f"mine{suffix}"
    network(k, KINDS["max pooling"], before).save(path)
    with pytest.raises(ModelError, match=expected) as caught:
        load_keras_file(path)
    assert "\n" not in str(caught.value)


FORMS = {
    "operation layer": r"calls tf\.io\.write_file",
    "foreign class": "wants the Python module subprocess",
    "saved model": "holds the operation WriteFile",
    "saved model that prints": "holds the operation PrintV2",
    "saved model that saves": "holds the operation SaveV2",
}


@pytest.mark.parametrize("form", FORMS)
def test_other_code_is_refused_and_never_run(tmp_path: Path, form: str) -> None:
    import tensorflow as tf
    import tf_keras

    ran = tmp_path / "ran"
    if form.startswith("saved model"):

        class Module(tf.Module):  # type: ignore[misc]
            @tf.function(input_signature=[tf.TensorSpec((None, 24, 24, 3), tf.float32)])  # type: ignore[untyped-decorator]
            def __call__(self, x: Any) -> Any:
                if form == "saved model":
                    tf.io.write_file(str(ran), "trace")
                elif form == "saved model that prints":
                    tf.print("trace", output_stream=f"file://{ran}")
                else:
                    tf.raw_ops.SaveV2(prefix=str(ran), tensor_names=["x"], shape_and_slices=[""], tensors=[x])
                return tf.nn.softmax(tf.reduce_mean(x, [1, 2, 3])[:, None] * tf.ones((1, 7)))

        path = tmp_path / "saved"
        module = Module()
        tf.saved_model.save(module, str(path), signatures=module.__call__)
    else:
        path = tmp_path / "mine.h5"
        network(tf_keras, KINDS["max pooling"], lambda k, x: tf.math.multiply(x, 0.5)).save(path)
        edit_description(path, form, str(ran))
    with pytest.raises(ModelError, match=FORMS[form]) as caught:
        load_weights(path)
    assert not [*tmp_path.glob("ran*")] and "\n" not in str(caught.value)


FUNCTION = {"module": "keras.utils", "class_name": "function", "config": "get_file", "registered_name": "get_file"}


@pytest.mark.parametrize("library", ["keras", "tf_keras"])
@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        ({"config": {"name": "last", "units": 7, "activation": FUNCTION}}, "wants keras.utils, of which no network"),
        ({"class_name": "TFSMLayer", "config": {"filepath": "beside"}}, "carries code in a TFSMLayer layer"),
        ({"class_name": "TorchModuleWrapper", "config": {"module": "gASV"}}, "carries code in a TorchModuleWrapper"),
        ({"class_name": "StringLookup", "config": {"vocabulary": "/etc/hostname"}}, "which reads files"),
    ],
)
def test_code_and_files_in_other_places_are_refused(
    tmp_path: Path, library: str, layer: dict[str, Any], expected: str
) -> None:
    k = pytest.importorskip(library)
    path = tmp_path / "mine.keras"
    network(k, KINDS["max pooling"]).save(path)
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    description = json.loads(entries["config.json"])
    description["config"]["layers"][-1] |= layer
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (entries | {"config.json": json.dumps(description)}).items():
            archive.writestr(name, content)
    with pytest.raises(ModelError, match=expected) as caught:
        load_keras_file(path)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_both_zip_and_hdf5_is_judged_as_both(tmp_path: Path) -> None:
    """The zip is harmless; tf_keras reads the other half, whose Lambda layer it would run."""
    import keras

    path, ran = with_lambda("tf_keras", tmp_path, ".h5", nested=False)
    harmless = tmp_path / "harmless.keras"
    network(keras, KINDS["max pooling"]).save(harmless)
    with zipfile.ZipFile(harmless) as source, zipfile.ZipFile(path, "a") as both:
        for name in source.namelist():
            both.writestr(name, source.read(name))
    assert zipfile.is_zipfile(path)
    with pytest.raises(ModelError, match="carries code in a Lambda layer"):
        load_keras_file(path)
    assert not ran.exists()


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
