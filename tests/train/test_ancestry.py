"""Runs that go on from one another: the chain, its recipes and its history."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fer_edge.errors import ModelError
from fer_train.runs.ancestry import RECIPES, ancestry, recipes, whole_history
from fer_train.runs.history import EpochMetrics, read_metrics, write_metrics
from fer_train.runs.recipe import Recipe


def run(folder: Path, epochs: int, start_from: Path | None) -> Path:
    folder.mkdir()
    start = str(start_from) if start_from else None
    Recipe(
        epochs=epochs,
        data="/home/me/faces.zip",
        start_from=start,
        teacher=("/home/me/a.npz",),
        soft_labels="/home/me/v.csv",
    ).save(folder / "config.json")
    rows = [
        EpochMetrics("float", "fine-tune", n + 1, 1.5, 0.5, 1.4, 0.5 + n / 100, None, 1e-3, 9.0) for n in range(epochs)
    ]
    rows.append(EpochMetrics("qat", "calibrated", 0, None, None, 1.4, 0.5, 0.51, 1e-3, 9.0))
    write_metrics(folder / "metrics.csv", rows)
    assert read_metrics(folder / "metrics.csv") == rows
    return folder


def test_a_chain_of_runs_is_one_history(tmp_path: Path) -> None:
    first = run(tmp_path / "first", 3, None)
    second = run(tmp_path / "second", 2, first)
    chain = ancestry(second)
    assert chain == [first, second]
    history = whole_history(chain)
    assert [(row.stage, row.epoch) for row in history] == [
        ("float", 1), ("float", 2), ("float", 3), ("float", 4), ("float", 5), ("qat", 0),
    ]  # fmt: skip
    told = recipes(chain)
    assert [(each["run"], each["start_from"], each["epochs"]) for each in told] == [
        ("first", None, 3), ("second", "first", 2),
    ]  # fmt: skip
    assert "/home/me" not in str(told)


def test_a_qat_stage_that_went_on_from_another_tells_both(tmp_path: Path) -> None:
    first = run(tmp_path / "first", 2, None)
    last = EpochMetrics("qat", "qat", 1, 0.8, 0.9, 1.4, 0.5, 0.52, 1e-3, 9.0)
    write_metrics(first / "metrics.csv", [*read_metrics(first / "metrics.csv"), last])
    second = run(tmp_path / "second", 0, first)
    Recipe(epochs=0, start_from=str(first), qat_start_from=str(first)).save(second / "config.json")
    begun = EpochMetrics("qat", "begun", 0, None, None, 1.4, 0.5, 0.52, 1e-3, 9.0)
    write_metrics(second / "metrics.csv", [begun, last])
    history = whole_history(ancestry(second))
    assert [(row.stage, row.phase, row.epoch) for row in history[2:]] == [
        ("qat", "calibrated", 0), ("qat", "qat", 1), ("qat", "qat", 2),
    ]  # fmt: skip
    assert recipes(ancestry(second))[-1]["qat_start_from"] == "first"


def test_a_released_folder_stands_for_its_runs(tmp_path: Path) -> None:
    first = run(tmp_path / "first", 3, None)
    second = run(tmp_path / "second", 2, first)
    models = run(tmp_path / "models", 2, Path("runs/gone"))  # what a release of the second leaves
    write_metrics(models / "metrics.csv", whole_history(ancestry(second)))
    (models / RECIPES).write_text(json.dumps(recipes(ancestry(second))))
    third = run(tmp_path / "third", 1, models)
    told = recipes(ancestry(third))
    assert [(each["run"], each["start_from"]) for each in told] == [
        ("first", None), ("second", "first"), ("third", "second"),
    ]  # fmt: skip
    epochs = [row.epoch for row in whole_history(ancestry(third)) if row.stage == "float"]
    assert epochs == [1, 2, 3, 4, 5, 6]
    for content in ("[{}]", "{}", "no JSON"):
        (models / RECIPES).write_text(content)
        with pytest.raises(ModelError, match=RECIPES):
            recipes(ancestry(third))


def test_a_chain_ends_where_the_disk_does_and_never_circles(tmp_path: Path) -> None:
    lone = run(tmp_path / "lone", 1, tmp_path / "gone")
    assert ancestry(lone) == [lone]
    run(tmp_path / "a", 1, tmp_path / "b")
    run(tmp_path / "b", 1, tmp_path / "a")
    with pytest.raises(ModelError, match="started from it"):
        ancestry(tmp_path / "a")


def test_other_files_are_no_metrics(tmp_path: Path) -> None:
    for content in (b"a,b\n1,2\n", b"\xff\xfe\x00", b"stage,phase,epoch\nfloat,x,y\n"):
        (tmp_path / "metrics.csv").write_bytes(content)
        with pytest.raises(ModelError, match=r"not a metrics\.csv"):
            read_metrics(tmp_path / "metrics.csv")
