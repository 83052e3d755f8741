"""The table of what each part of the recipe does: arithmetic, options and resuming, on runs that are already there."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fer_edge.errors import ModelError, UsageError
from fer_train.commands import ablation as effects
from fer_train.inputs.training_data import share_of_each_class


def finished_run(folder: Path, right: list[bool]) -> None:
    folder.mkdir(parents=True)
    labels = np.zeros(len(right), np.int64)
    probabilities = np.zeros((len(right), 7), np.float32)
    probabilities[np.arange(len(right)), [0 if each else 1 for each in right]] = 1
    np.savez(folder / "predictions.npz", labels=labels, float=probabilities)
    (folder / "summary.json").write_text("{}")


def test_gain_is_over_the_same_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finished_run(tmp_path / "base-seed-0", [True] * 60 + [False] * 40)
    finished_run(tmp_path / "no-flips-seed-0", [True] * 55 + [False] * 45)
    finished_run(tmp_path / "other-seed-0", [True] * 70 + [False] * 30)
    code = effects.main(
        ["--data", "d", "--run", str(tmp_path), "--only", "no flips", "--variant", "other=--erase 0.5", "--epochs", "2"]
    )
    assert code == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("|")[1].strip() for line in lines if line.startswith("|")] == [
        "change", "---", "base", "other", "no flips",
    ]  # fmt: skip
    base, flips, other = json.loads((tmp_path / "effects.json").read_text())
    assert base["gain_points"] == 0
    assert (flips["gain_points"], other["gain_points"]) == pytest.approx((-5.0, 10.0))
    low, high = other["gain_interval_points"]
    assert 0 < low < 10 < high < 20
    assert other["options"] == ["--erase", "0.5"]
    assert "+10.0" in (tmp_path / "effects.md").read_text()


def test_disturbed_faces_have_columns_of_their_own(tmp_path: Path) -> None:
    for name, disturbed in (("base", 0.6), ("other", 0.5), ("plain", None)):
        folder = tmp_path / name
        finished_run(folder, [True] * 7 + [False] * 3)
        figures = {"accuracy": disturbed, "accuracy_held_out_kinds": 0.4}
        summary = {"float": {"disturbed": figures}} if disturbed else {"float": {}}
        (folder / "summary.json").write_text(json.dumps(summary))
    base, other, plain = (
        effects.measure(name, [], [tmp_path / name], [tmp_path / "base"]) for name in ("base", "other", "plain")
    )
    assert (base.disturbed, base.held_out, plain.disturbed) == ([0.6], [0.4], None)
    table = effects.markdown([base, other, plain]).splitlines()
    assert table[0].endswith("| disturbed | held-out kinds |")
    assert table[2].endswith("| 60.0 % | 40.0 % |")
    assert {line.count("|") for line in table[:5]} == {7}
    assert "disturbed" not in effects.markdown([plain])
    (tmp_path / "base" / "summary.json").write_text("{")
    with pytest.raises(ModelError, match="summary"):
        effects.measure("base", [], [tmp_path / "base"], [tmp_path / "base"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["--only", "no such"], "no such"), (["--variant", "nameless"], "NAME=OPTIONS"), (["--epochs", "0"], "--epochs")],
)
def test_mistakes_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    code = effects.main(["--data", str(tmp_path / "none"), "--run", str(tmp_path), *arguments])
    assert code in (1, 2)
    assert words in capsys.readouterr().err


def test_a_variant_may_leave_a_switch_out() -> None:
    common = ["--epochs", "1", "--freeze-batchnorm"]
    assert effects._without(common, ["without", "--freeze-batchnorm", "--erase", "0"]) == [
        "--epochs",
        "1",
        "--erase",
        "0",
    ]
    assert effects._without(common, ["--erase", "0"]) == [*common, "--erase", "0"]
    with pytest.raises(UsageError, match="without --clean, which the runs do not have"):
        effects._without(common, ["without", "--clean"])


def test_a_share_of_every_class_always_the_same() -> None:
    labels = np.array([0] * 900 + [1] * 95 + [2] * 5)
    rows = share_of_each_class(labels, 100)
    assert np.bincount(labels[rows]).tolist() == [90, 10, 1]
    np.testing.assert_array_equal(rows, share_of_each_class(labels, 100))
