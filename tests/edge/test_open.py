"""Which backend opens a model file, and which files are checked before."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from fer_edge.command import did_you_mean
from fer_edge.errors import MissingDependencyError, ModelError, UsageError
from fer_edge.inference.backend import BackendSpec
from fer_edge.inference.backends import backend_for, backend_spec, backends, backends_for, model_suffixes
from fer_edge.loading import check
from fer_edge.loading.open import open_classifier
from fer_edge.verification.replay import verify

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
