"""A table whose Usage column has words of its own: nothing that was meant for training is left out unnoticed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.train.data_sets import csv_rows, write_csv

from fer_edge.errors import DataError
from fer_edge.labels import EMOTIONS
from fer_train.commands.data import main
from fer_train.data.dataset import load_dataset
from fer_train.importing.importer import import_dataset


def table(tmp_path: Path, words: dict[str, str], usages: tuple[str, ...] = ()) -> Path:
    """Two images of each class for each Usage (of ``usages``, or all), whose words are exchanged."""
    rows = [row for row in csv_rows(size=12) if not usages or row[1] in usages]
    path = write_csv(tmp_path / "data.csv", rows)
    text = path.read_text(encoding="utf-8")
    for old, new in words.items():
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")
    return path


def test_without_train_unknown_words_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = table(tmp_path, {"Training": "Entra\u00eenement", "PublicTest": "dev", "PrivateTest": "Test"})
    assert main(["import", str(path), "--to", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err.strip()
    assert "has no row for train: its Usage column says 'Entra\u00eenement' in 14 rows, expected Training, " in error
    assert "or delete these rows to import validation and test alone" in error and "\n" not in error
    assert [p.name for p in tmp_path.iterdir()] == ["data.csv"]


def test_training_on_it_names_the_word(tmp_path: Path) -> None:
    """Read directly it stays what it is, a set for evaluation."""
    dataset = load_dataset(table(tmp_path, {"Training": "Exercise"}), cache_dir=tmp_path / "cache")
    assert list(dataset.splits) == ["validation", "test"] and len(dataset.split("test")) == 14
    with pytest.raises(DataError, match=r"no split 'train'; it has validation, test; 14 were skipped, .*'Exercise' is"):
        dataset.split("train")


@pytest.mark.parametrize("usage", ["PublicTest", "PrivateTest"])
def test_sets_for_evaluation_need_no_train(tmp_path: Path, usage: str) -> None:
    report = import_dataset(table(tmp_path, {}, (usage,)), tmp_path / "out")
    split = "validation" if usage == "PublicTest" else "test"
    assert report.counts == {split: dict.fromkeys(EMOTIONS, 2)} and not report.skipped


def test_each_reason_is_stated_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = table(tmp_path, {"PublicTest": "Probe", "PrivateTest": "?"})
    lines = path.read_text().splitlines()
    lines[1] = "9" + lines[1][1:]
    path.write_text("\n".join(lines) + "\n")
    assert main(["import", str(path), "--to", str(tmp_path / "out")]) == 0
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "warning: skipped 29 rows without a readable image: row 0: emotion '9' is not" in line
    assert "row 14, row 15, row 16 and 11 more: Usage 'Probe' is none of Training, PublicTest, PrivateTest" in line
    assert line.count("is none of") == 2 and "and 11 more: Usage '?'" in line
    assert len(json.loads((tmp_path / "out/manifest.json").read_text())["skipped"]) == 29
