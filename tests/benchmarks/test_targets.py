"""Which files on which runtimes a command line means."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from fer_bench.measure import choose_models as contenders
from fer_bench.measure.choose_models import choose_contenders
from fer_edge.errors import ModelError, UsageError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with models in it and in ``out/``, and none elsewhere."""
    (tmp_path / "out").mkdir()
    for name in ("fer_int8.tflite", "out/fer_int8.tflite", "out/fer_float.onnx"):
        (tmp_path / name).write_bytes(b"model")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("fer_edge.loading.model_files.PACKAGED_MODELS", tmp_path / "none")
    monkeypatch.setattr("fer_edge.loading.model_files._CHECKOUT_MODELS", tmp_path / "none")
    monkeypatch.setattr(contenders, "OLD_RUNTIME_PYTHON", tmp_path / "none")
    return tmp_path


def pairs(*models: str, **options: object) -> list[tuple[str, str]]:
    chosen = choose_contenders(list(models), "auto", 1, **options)  # type: ignore[arg-type]
    return [(str(contender.path), contender.backend) for _, contender in chosen]


def test_a_bare_name_is_looked_up_here_first(folder: Path) -> None:
    assert pairs("fer_int8.tflite", "fer_float.onnx") == [
        ("fer_int8.tflite", "litert"),
        ("out/fer_float.onnx", "onnx"),
    ]


def test_the_same_twice_is_measured_once(folder: Path) -> None:
    assert len(pairs("fer_int8.tflite", "fer_int8.tflite")) == 1


def test_a_backend_by_name(folder: Path) -> None:
    assert pairs("fer_float.onnx@opencv", "fer_int8.tflite@tflite-runtime") == [
        ("out/fer_float.onnx", "opencv"),
        ("fer_int8.tflite", "tflite-runtime"),
    ]


def test_a_file_name_may_hold_an_at(folder: Path) -> None:
    (folder / "odd@onnx.tflite").write_bytes(b"model")
    assert pairs("odd@onnx.tflite") == [("odd@onnx.tflite", "litert")]


def test_everything_that_is_found_on_everything_installed(folder: Path) -> None:
    found = pairs(everything=True)
    assert ("fer_int8.tflite", "litert") in found
    assert ("out/fer_float.onnx", "onnx") in found
    assert ("out/fer_float.onnx", "opencv") in found
    assert all("fer_float.tflite" not in path for path, _ in found)
    with_old = choose_contenders([], "auto", 1, everything=True, pythons={"tflite-runtime": "/opt/old/python"})
    assert [t.python for _, t in with_old if t.backend == "tflite-runtime"] == ["/opt/old/python"]
    assert {t.python for _, t in with_old if t.backend != "tflite-runtime"} == {sys.executable}


def test_nothing_found(folder: Path) -> None:
    for path in folder.rglob("fer_*"):
        path.unlink()
    with pytest.raises(ModelError, match="--all found none of"):
        pairs(everything=True)


def test_unknown_runtimes(folder: Path) -> None:
    with pytest.raises(UsageError, match="did you mean onnx"):
        pairs("fer_float.onnx@onx")
    with pytest.raises(UsageError, match="unknown backend"):
        pairs("fer_float.onnx", pythons={"nothing": "/python"})
