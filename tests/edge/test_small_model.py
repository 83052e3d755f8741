"""``--model small``: a second released model, with a manifest and golden vectors of its own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from fer_bench.measure.choose_models import choose_contenders
from fer_edge.errors import ModelError
from fer_edge.loading import model_files
from fer_edge.loading.model_files import RELEASED_MODELS, companion, find_model, read_manifest
from fer_edge.loading.open import open_classifier
from fer_edge.verification.golden import find_golden
from fer_edge.verification.replay import verify

MODELS = Path(__file__).parents[2] / "models"
SMALL = MODELS / RELEASED_MODELS["small"]
released = pytest.mark.skipif(not SMALL.is_file(), reason="the small model has not been released in this checkout")


def test_a_model_has_companions_of_its_own_where_there_are_some(tmp_path: Path) -> None:
    small, other = tmp_path / "fer_small_int8.tflite", tmp_path / "fer_int8.tflite"
    for name in ("golden.npz", "fer_small_golden.npz", "manifest.json"):
        (tmp_path / name).touch()
    assert find_golden(small) == tmp_path / "fer_small_golden.npz"
    assert find_golden(tmp_path / "fer_small_int8.onnx") == tmp_path / "fer_small_golden.npz"
    assert find_golden(other) == tmp_path / "golden.npz"
    assert companion(small, "manifest.json") == tmp_path / "manifest.json"
    assert companion(tmp_path / "mine.tflite", "golden.npz") == tmp_path / "golden.npz"


def test_the_word_is_looked_up_with_the_package_and_a_missing_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(model_files, "PACKAGED_MODELS", tmp_path / "package")
    monkeypatch.setattr(model_files, "_CHECKOUT_MODELS", tmp_path / "checkout")
    with pytest.raises(ModelError, match=r"no model file fer_small_int8\.tflite in .*package"):
        find_model("small")
    (tmp_path / "checkout").mkdir()
    path = tmp_path / "checkout" / "fer_small_int8.tflite"
    path.write_bytes(b"x")
    (tmp_path / "small").mkdir()  # a folder of that name is not meant
    assert find_model("small") == path
    assert choose_contenders(["small"], "auto", 1)[0][1].path == path


@released
def test_the_released_small_model_is_small_and_computes_its_golden_vectors() -> None:
    assert SMALL.stat().st_size < 800_000
    with open_classifier("small") as classifier:  # type: ignore[attr-defined]
        assert classifier.input_size == 64
    entry = read_manifest(SMALL)
    assert entry is not None and entry["bytes"] == SMALL.stat().st_size
    report = verify("small")
    assert report.passed and report.golden == MODELS / "fer_small_golden.npz"


@released
def test_a_copy_without_its_golden_vectors_says_so(tmp_path: Path) -> None:
    shutil.copy(SMALL, tmp_path)
    shutil.copy(MODELS / "golden.npz", tmp_path)
    from fer_edge.errors import InputError

    with pytest.raises(InputError, match="input size 96"):
        verify(tmp_path / SMALL.name, tmp_path / "golden.npz")
