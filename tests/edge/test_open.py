"""Which backend opens a model file, and which files are checked before."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from fer_edge.command import did_you_mean
from fer_edge.errors import MissingDependencyError, ModelError, UsageError
from fer_edge.inference.backend import BackendSpec
from fer_edge.inference.backends import backend_for, backend_spec, backends, backends_for, model_suffixes
from fer_edge.inference.classifier import FunctionClassifier
from fer_edge.inference.input_range import INPUT_RANGES
from fer_edge.inference.tensors import TensorSpec
from fer_edge.loading import check
from fer_edge.loading.open import open_classifier
from fer_edge.loading.trial import try_model
from fer_edge.verification.replay import verify
from fer_export.cli import _parser

Values = npt.NDArray[Any]
MODELS = Path(__file__).parents[2] / "models"


@pytest.mark.parametrize(
    ("name", "fitting"),
    [
        ("fer_int8.tflite", ["litert", "tflite-runtime"]),
        ("fer_int8_edgetpu.tflite", ["coral"]),
        ("fer_int8.onnx", ["onnx"]),
        ("fer_int8_edgetpu.onnx", ["onnx"]),
    ],
)
def test_the_longest_ending_decides(name: str, fitting: list[str]) -> None:
    assert [spec.name for spec in backends_for(Path(name))] == fitting


def test_other_endings_are_refused_with_those_that_work() -> None:
    assert set(model_suffixes()) == {".tflite", ".rknn", ".onnx"}
    with pytest.raises(ModelError, match=r"m\.pb: expected a model file ending in \.tflite, \.rknn or \.onnx"):
        backend_for(Path("m.pb"))


def test_the_installed_runtime_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BackendSpec, "is_installed", lambda spec: spec.name == "tflite-runtime")
    assert backend_for(Path("m.tflite")) == backend_spec("tflite").name == "tflite-runtime"
    assert backend_for(Path("m.onnx")) == "onnx"  # the only one: it says itself what is missing
    monkeypatch.setattr(BackendSpec, "is_installed", lambda spec: False)
    with pytest.raises(MissingDependencyError, match=r"no TFLite runtime is installed.*pip install ai-edge-litert"):
        backend_for(Path("m.tflite"))


def test_unknown_backends_name_those_for_users() -> None:
    with pytest.raises(UsageError, match=r"unknown backend 'onx'; did you mean onnx\? Known: litert, ") as caught:
        backend_spec("onx")
    assert "fake" not in str(caught.value)
    assert backends()["fake"].offered is False
    assert did_you_mean("zzz", ["litert"]) == ""


def test_only_files_of_others_are_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("fer_int8.tflite", "golden.npz"):  # and no manifest.json
        shutil.copy(MODELS / name, tmp_path)
    tried = []
    monkeypatch.setattr(check, "_try_in_child", lambda path, backend: tried.append((path.name, backend)))
    open_classifier(tmp_path / "fer_int8.tflite", trusted=True).close()
    assert verify(tmp_path / "fer_int8.tflite", trusted=True).passed
    assert tried == []
    with open_classifier(tmp_path / "fer_int8.tflite") as classifier:  # type: ignore[attr-defined]
        assert tried == [("fer_int8.tflite", classifier.backend)]


def logits(x: Values) -> Values:
    """Without biases: 0 each for a black picture of ``p`` and for a grey one of ``p - 128``."""
    values: Values = x.mean() * np.linspace(-1, 1, 7) + x.std() * np.linspace(3, -2, 7)
    return values


def softmax(values: Values) -> Values:
    powers: Values = np.exp(values - values.max())
    return np.asarray(powers / powers.sum())


def tried(monkeypatch: pytest.MonkeyPatch, answer: Callable[[Values], Values]) -> str | None:
    float32 = np.dtype(np.float32)
    ends = TensorSpec("x", (1, 16, 16, 1), float32), TensorSpec("y", (1, 7), float32)
    made = FunctionClassifier("made", Path("m.onnx"), *ends, "1", lambda x: answer(x)[None].astype(np.float32))
    monkeypatch.setattr("fer_edge.inference.backends.load_backend", lambda name: lambda path, threads: made)
    return try_model(Path("m.onnx"), "fake")


@pytest.mark.parametrize("gain", [4.0, 8.0])
def test_raw_pixels_are_preferred_where_several_ranges_wake_a_network(
    monkeypatch: pytest.MonkeyPatch, gain: float
) -> None:
    """It scales by itself; with a gain of 4 ``p - 128`` spreads its answers more than ``p``."""
    said = tried(monkeypatch, lambda x: softmax(gain * logits(x / 255)))
    assert said is not None and "it is fed (p - 128) / 128 and gives nearly the same answer to everything" in said
    assert said.endswith(
        "but not when fed p (0 to 255): was it trained on that? Then export the Keras model with fer-export "
        "--input-range pixels, or convert it to INT8 TFLite, which says what it takes"
    )


def test_only_ranges_of_fer_export_are_given_as_its_option(monkeypatch: pytest.MonkeyPatch) -> None:
    said = tried(monkeypatch, lambda x: softmax(np.arange(7) * (abs(x.mean()) > 8) * (x.min() < -2) * 1.0))
    assert said is not None and "when fed p - 128 (-128 to 127): was it trained on that? Then convert it to" in said
    choices = next(action.choices for action in _parser()._actions if action.dest == "input_range")
    assert set(choices or ()) == {range_.name for range_ in INPUT_RANGES if range_.is_exported}


def test_logits_show_numbers_of_a_picture_that_is_not_grey(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match=r"add up to -?[1-9]\S*, the smallest is -\d.*: these look like logits; put a"):
        tried(monkeypatch, lambda x: 10 * logits(x))
    with pytest.raises(ModelError, match=r"add up to 0, .* add up to 1: put a softmax at the end of the network$"):
        tried(monkeypatch, lambda x: np.zeros(7, np.float32))


def test_an_evaluated_conversion_is_trusted_and_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    tflite = pytest.importorskip("fer_train.quantization.tflite")
    from fer_edge.inference.classifier import ClassifierBase
    from fer_train.synthetic.faces import synthetic_split

    content, closed = (MODELS / "fer_int8.tflite").read_bytes(), []
    monkeypatch.setattr(tflite, "qat_to_tflite", lambda network: content)
    monkeypatch.setattr(check, "check_file", lambda *_: pytest.fail("our own file is checked"))
    monkeypatch.setattr(ClassifierBase, "close", lambda classifier: closed.append(classifier.model_path.name))
    faces = synthetic_split(1, 0)
    assert tflite.evaluate_int8(None, faces.images, faces.labels, "drawn").n_images == 7
    assert closed == ["model.tflite"]
