"""Every option of fer-train: its help in plain words, and values that make no sense refused in one line."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import pytest

from fer_train.commands.options import FROM_BACKBONE
from fer_train.commands.recipe import recipe_from
from fer_train.commands.train import build_parser, main
from fer_train.runs.config import TrainConfig

ACTIONS = [action for action in build_parser()._actions if action.dest != "help"]
NUMBERS = [action for action in ACTIONS if action.type in (int, float)]
FIELDS = {field.name for field in dataclasses.fields(TrainConfig)}
NUMBER_OPTIONS = [action.option_strings[0] for action in NUMBERS if action.dest in FIELDS]


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.dest)
def test_help_says_what_the_option_is_and_its_default(action: argparse.Action) -> None:
    text = str(action.help)
    assert len(text.split()) >= 4 or action.dest in ("data", "soft_labels", "optimizer"), "a default alone is no help"
    assert text[0] not in "(`%" and "``" not in text and "(default: " not in text.replace("(default: the user", "")
    assert "{" not in text and text.count("(") == text.count(")")
    if action.dest in FIELDS and action.type in (int, float):
        default = getattr(TrainConfig(), action.dest)
        shown = {f"{default:g}", str(default), str(FROM_BACKBONE.get(action.dest)), "0.4 with --soft-labels"}
        assert any(f"default {value}" in text for value in shown), text
    if action.nargs != 0 and not action.choices:
        assert action.metavar and action.metavar != action.dest.upper()


def test_the_whole_help_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert "%%" not in printed and "``" not in printed and "None" not in printed
    assert all(action.option_strings[0] in printed for action in ACTIONS)


def recipe(*arguments: str) -> TrainConfig:
    return recipe_from(vars(build_parser().parse_args(["--run", "r", "--data", "d", *arguments])))


@pytest.mark.parametrize("option", NUMBER_OPTIONS)
def test_numbers_that_make_no_sense_are_one_line(
    option: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for value in ("-1", "nan", "inf", "x", ""):
        assert main(["--run", "r", "--data", "d", f"{option}={value}"]) == 2, value
        error = capsys.readouterr().err
        assert option in error
        assert error.count("\n") == 1 and "Traceback" not in error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("option", NUMBER_OPTIONS)
def test_every_default_may_be_given(option: str) -> None:
    name = option[2:].replace("-", "_")
    default = getattr(recipe(), name)
    assert getattr(recipe(f"{option}={default}"), name) == default


def test_a_place_for_logits_that_does_not_exist_is_refused_before_training(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    arguments = ["--run", str(tmp_path / "r"), "--data", "d", "--write-logits", str(tmp_path / "no/such/logits.npz")]
    assert main(arguments) == 2
    assert "--write-logits" in capsys.readouterr().err
    assert not (tmp_path / "r").exists()
