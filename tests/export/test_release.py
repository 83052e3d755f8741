"""A release writes all of its files or none; the export in it is stood in for, since it takes minutes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fer_edge.errors import CheckFailedError, ModelError
from fer_edge.verification.golden import GOLDEN_NAME
from fer_export import release as module
from fer_export.check.gate import Verdict
from fer_export.cli import main
from fer_export.describe.manifest import MANIFEST_NAME
from fer_export.file_names import FLOAT_TFLITE, INT8_ONNX, INT8_TFLITE
from fer_export.release import OPTIONAL
from fer_export.request import ExportRequest, ExportResult, Steps
from fer_train.evaluation.evaluate import Evaluation
from fer_train.evaluation.temperature import RECORD
from fer_train.runs.history import EpochMetrics, write_metrics
from fer_train.runs.recipe import Recipe
from fer_train.runs.trained import PACKED_FLOAT, PACKED_QAT
from fer_train.synthetic.folder import write_synthetic

ALWAYS = {
    "config.json", PACKED_FLOAT, PACKED_QAT, INT8_TFLITE, INT8_ONNX, GOLDEN_NAME, "report.md", MANIFEST_NAME,
    "summary.json", "recipes.json", "metrics.csv", "confusion_int8.png", "curves.png", "overview.png",
}  # fmt: skip


class Stage:
    """A run, synthetic data, and a folder with an earlier release; packing and exporting write a few bytes."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.run, self.data, self.target = folder / "runs/new", folder / "data", folder / "models"
        Recipe(data="/home/somebody/faces.zip").save(self.run / "config.json")
        rows = [EpochMetrics("float", "fine-tune", n, 1.5, 0.5, 1.4, 0.5 + n / 10, None, 1e-3, 9.0) for n in (1, 2)]
        write_metrics(self.run / "metrics.csv", rows)
        write_synthetic(str(self.data), {"train": 1, "validation": 2, "test": 0})
        self.target.mkdir()
        for name in (*ALWAYS, RECORD, "README.md"):
            (self.target / name).write_text(f"old {name}")
        self.requests: list[ExportRequest] = []
        self.packed = {"config.json": "{}", PACKED_FLOAT: "f", PACKED_QAT: "q"}
        monkeypatch.setattr(module, "load_trained", lambda run: run)
        monkeypatch.setattr(module, "pack", self._pack)
        monkeypatch.setattr(module, "export_models", self._export)

    def _pack(self, trained: Any, folder: Path) -> None:
        folder.mkdir()
        for name, text in self.packed.items():
            (folder / name).write_text(text)

    def _export(self, request: ExportRequest, steps: Steps) -> ExportResult:
        steps.begin("exporting")
        self.requests.append(request)
        request.out.mkdir()
        for name in (INT8_TFLITE, INT8_ONNX, GOLDEN_NAME, "report.md", FLOAT_TFLITE):
            (request.out / name).write_text(f"new {name}")
        (request.out / MANIFEST_NAME).write_text(json.dumps({"weights": request.origin, "data": request.data}))
        labels = request.split.labels
        found = Evaluation(request.split.name, np.eye(7, dtype=np.float32)[labels], labels)
        return ExportResult((), [], Verdict((), ()), None, "", {FLOAT_TFLITE: found, INT8_TFLITE: found})

    def release(self, *more: str) -> int:
        arguments = ["release", "--run", str(self.run), "--data", str(self.data), "--to", str(self.target)]
        return main([*arguments, *(more or ("--no-robustness",))])

    def content(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.target.iterdir()}


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(tmp_path, monkeypatch)


def test_all_files_are_of_the_new_release(stage: Stage) -> None:
    assert stage.release() == 0
    content = stage.content()
    assert set(content) == ALWAYS | {"README.md"}  # no temperature was fitted, so the record of the old one is gone
    assert not [name for name in ALWAYS if content[name].startswith(b"old")]
    assert content["README.md"] == b"old README.md"
    assert json.loads(content[MANIFEST_NAME]) == {"weights": "models", "data": "data"}
    assert json.loads(content["summary.json"])["int8"]["accuracy"] == 1.0
    assert b"somebody" not in b"".join(content.values())
    (request,) = stage.requests
    assert (request.split.name, len(request.split), request.representatives.name) == ("validation", 14, "train")


def test_what_a_run_does_not_have_does_not_stay_from_an_earlier_one(stage: Stage) -> None:
    stage.packed[RECORD] = "new record"
    del stage.packed[PACKED_QAT]
    assert stage.release() == 0
    assert stage.content()[RECORD] == b"new record"
    assert PACKED_QAT not in stage.content()
    assert set(OPTIONAL) == {RECORD, PACKED_QAT}


def failing(error: Exception) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail


@pytest.mark.parametrize(
    ("step", "error", "code"),
    [
        ("pack", ModelError("no weights"), 2),
        ("export_models", CheckFailedError("the gate failed"), 1),
        ("draw_confusion", OSError(28, "No space left on device"), 2),
        ("draw_overview", ModelError("no picture"), 2),
    ],
)
def test_a_failure_changes_nothing(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, step: str, error: Exception, code: int
) -> None:
    before = stage.content()
    monkeypatch.setattr(module, step, failing(error))
    assert stage.release() == code
    assert stage.content() == before


def test_a_full_disk_at_the_last_file_changes_nothing(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    before, write = stage.content(), Path.write_bytes

    def until_the_manifest(path: Path, content: bytes) -> int:
        if path.parent == stage.target and "manifest" in path.name:
            raise OSError(28, "No space left on device")
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", until_the_manifest)
    assert stage.release() == 2
    assert stage.content() == before


def test_disturbed_faces_are_measured_and_documents_written_after_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commands: list[list[str]] = []

    def fer_bench(command: list[str], **_: Any) -> Any:
        commands.append(command)
        for option in ("--json", "--markdown", "--picture"):
            Path(command[command.index(option) + 1]).write_text(f"of {option}")
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(module.subprocess, "run", fer_bench)
    written: list[Path] = []
    monkeypatch.setattr("fer_export.describe.figures.update_documents", lambda root: written.append(root) or [])
    assert stage.release("--split", "validation") == 0
    (command,) = commands
    assert command[1:4] == ["-m", "fer_bench", "robustness"]
    assert command[command.index("--model") + 1] == str(stage.target / INT8_TFLITE)
    assert {stage.content()[f"robustness.{suffix}"] for suffix in ("json", "md", "png")} == {
        b"of --json", b"of --markdown", b"of --picture",
    }  # fmt: skip
    assert written == [stage.target.resolve().parent]
    # Another model's measurement does not stay.
    assert stage.release() == 0
    assert "robustness.json" not in stage.content()
    monkeypatch.setattr(module.subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=1))
    assert stage.release("--split", "validation") == 1
    assert "--figures-only" in capsys.readouterr().err
    assert main(["release", "--data", str(stage.data)]) == 2


def test_a_second_model_has_names_of_its_own(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    before = stage.content()
    plain = stage._export

    def export(request: ExportRequest, steps: Steps) -> ExportResult:
        result = plain(request, steps)
        info = {"model": INT8_TFLITE, "format": 1}
        np.savez(request.out / GOLDEN_NAME, info=np.asarray(json.dumps(info)), boxes=np.zeros((2, 4)))
        manifest = {"models": {INT8_TFLITE: {"bytes": 3}, FLOAT_TFLITE: {}}, "weights": request.origin}
        (request.out / MANIFEST_NAME).write_text(json.dumps(manifest))
        (request.out / "report.md").write_text(f"| {INT8_TFLITE} | 3 |")
        return result

    monkeypatch.setattr(module, "export_models", export)
    assert stage.release("--name", "small", "--no-robustness") == 0
    after = {path.name: path.read_bytes() for path in stage.target.iterdir() if path.is_file()}
    assert {name: after[name] for name in before} == before  # the first model is as it was
    assert set(after) - set(before) == {
        "fer_small_int8.tflite", "fer_small_int8.onnx", "fer_small_golden.npz", "fer_small_manifest.json",
    }  # fmt: skip
    manifest = json.loads(after["fer_small_manifest.json"])
    assert list(manifest["models"]) == ["fer_small_int8.tflite", "fer_small_float.tflite"]
    assert manifest["weights"] == "models/small"
    with np.load(stage.target / "fer_small_golden.npz") as golden:
        assert json.loads(str(golden["info"]))["model"] == "fer_small_int8.tflite"
        assert golden["boxes"].shape == (2, 4)
    home = {path.name for path in (stage.target / "small").iterdir()}
    assert home == (ALWAYS - {INT8_TFLITE, INT8_ONNX, GOLDEN_NAME, MANIFEST_NAME})
    assert "fer_small_int8.tflite" in (stage.target / "small" / "report.md").read_text(encoding="utf-8")
