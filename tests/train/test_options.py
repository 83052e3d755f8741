"""Training options are written once: parser, checks and the page of documents follow the fields of the recipe."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from pathlib import Path
from typing import Any

import pytest

from fer_edge.command import CommandParser
from fer_edge.errors import UsageError
from fer_train.commands.option_table import markdown
from fer_train.commands.recipe import add_option, recipe_from, with_derived_defaults
from fer_train.commands.train import build_parser, main
from fer_train.runs.option import AT_LEAST_0, Range, option, options_of
from fer_train.runs.recipe import FROM_BACKBONE, GROUPS, OPTIONS, WEIGHT_OF_VOTES, Recipe, load_recipe

ROOT = Path(__file__).parents[2]


@dataclasses.dataclass(frozen=True)
class Toy:
    """A recipe of one number, one choice and one switch of each kind."""

    speed: float = option(1.5, "50 % of it", group="toy", within=Range(low=0, high=2, without_low=True))
    color: str = option("red", "of it", group="toy", choices=("red", "blue"))
    names: tuple[str, ...] = option((), "of it", group="toy", metavar="NAME")
    early: bool = option(False, "begin early", group="toy")
    late: bool = option(True, "do not end late", group="toy", flag="--not-late")
    count: int | None = option(None, "of it", group="toy", within=AT_LEAST_0)
    hidden: int = 3


def parse_toy(*arguments: str) -> dict[str, Any]:
    parser = CommandParser(prog="toy")
    group = parser.add_argument_group("toy")
    for field in options_of(Toy).values():
        add_option(group, field)
    return {key: value for key, value in vars(parser.parse_args(arguments)).items() if key in options_of(Toy)}


def test_a_field_is_all_that_an_option_takes(capsys: pytest.CaptureFixture[str]) -> None:
    parsed = parse_toy("--speed", "2", "--names", "a", "b", "--early", "--not-late", "--count", "4", "--color", "blue")
    assert Toy(**parsed | {"names": tuple(parsed["names"])}) == Toy(2.0, "blue", ("a", "b"), True, False, 4)
    with pytest.raises(SystemExit):
        parse_toy("--help")
    shown = capsys.readouterr().out
    assert "50 % of it (default 1.5)" in shown
    assert "begin early\n" in shown
    assert "hidden" not in shown


@pytest.mark.parametrize("text", ["x", "", "nan", "inf"])
def test_what_is_not_a_number_is_told_in_words(text: str) -> None:
    with pytest.raises(UsageError, match="--speed: expected a number, got"):
        parse_toy("--speed", text)


@pytest.mark.parametrize(
    ("within", "inside", "outside", "text"),
    [
        (Range(low=1), [1, 9], [0, math.inf], "at least 1"),
        (Range(low=0, without_low=True), [0.1], [0, -1, math.nan], "above 0"),
        (Range(low=0, high=1, without_high=True), [0, 0.99], [1, -0.1], "0 to below 1"),
        (Range(low=0, high=17), [0, 17], [18], "0 to 17"),
        (Range(low=0, multiple_of=32), [0, 64], [33, -32], "a multiple of 32, at least 0"),
    ],
)
def test_ranges(within: Range, inside: list[float], outside: list[float], text: str) -> None:
    assert str(within) == text
    assert all(value in within for value in inside)
    assert not any(value in within for value in outside)


def test_every_field_of_the_recipe_has_an_option_and_every_number_a_range() -> None:
    fields = {field.name for field in dataclasses.fields(Recipe)}
    assert fields - OPTIONS.keys() == {"data_fingerprint", "average_of"}
    assert {field.option.group for field in OPTIONS.values()} <= set(GROUPS)
    unbounded = [
        name
        for name, field in OPTIONS.items()
        if field.kind in (int, float) and field.option.within is None and not field.option.choices
    ]
    assert not unbounded
    flags = {text for action in build_parser()._actions for text in action.option_strings}
    assert {field.flag for field in OPTIONS.values()} <= flags


def test_defaults_are_within_their_ranges() -> None:
    assert not [field.problem(field.default) for field in OPTIONS.values() if field.problem(field.default)]


@pytest.mark.parametrize("name", [name for name, field in OPTIONS.items() if field.option.within is not None])
def test_a_value_out_of_range_is_refused_by_name(name: str) -> None:
    with pytest.raises(UsageError, match=f"--{name.replace('_', '-')} must be .*, got -1"):
        recipe_from({name: -1})
    if OPTIONS[name].kind is float:
        with pytest.raises(UsageError, match="got nan"):
            recipe_from({name: math.nan})


def test_the_page_of_options_is_the_one_made_from_the_fields() -> None:
    page = ROOT / "docs/reference/training-options.md"
    assert page.read_text(encoding="utf-8") == markdown(), (
        f"python -m fer_train.commands.option_table > {page.relative_to(ROOT)}"
    )
    assert all(f"`{field.flag}`" in markdown() for field in OPTIONS.values())


@pytest.mark.parametrize(
    ("given", "derived"),
    [
        ({}, FROM_BACKBONE),
        ({"backbone": "weights.h5"}, FROM_BACKBONE),
        ({"backbone": None}, {}),
        ({"late_blocks": 17}, {"progressive_size": 64}),
        ({"epochs": 1}, FROM_BACKBONE | {"head_epochs": 0}),
        ({"epochs": 1, "head_epochs": 1}, FROM_BACKBONE),
        ({"start_from": "runs/a"}, {"head_epochs": 0}),
        ({"network": "vgg"}, {"backbone": None, "qat_epochs": 0, "head_epochs": 0}),
        ({"network": "vgg", "head_epochs": 2}, {"backbone": None, "qat_epochs": 0}),
        ({"soft_labels": "v.csv"}, FROM_BACKBONE | {"soft_label_weight": WEIGHT_OF_VOTES}),
        ({"soft_labels": "v.csv", "soft_label_weight": 0.1}, FROM_BACKBONE),
        ({"teacher": ("a.npz",)}, FROM_BACKBONE),
        ({"teacher": (".",)}, {}),
    ],
)
def test_derived_defaults(given: dict[str, Any], derived: dict[str, Any]) -> None:
    before = dict(given)
    assert with_derived_defaults(given) == {**derived, **before}
    assert given == before


def test_the_order_of_what_is_given_plays_no_part() -> None:
    given = {"network": "vgg", "epochs": 1, "soft_labels": "v.csv", "teacher": ("a.npz",)}
    found = [with_derived_defaults(dict(order)) for order in itertools.permutations(given.items())]
    assert all(each == found[0] for each in found)


def test_a_recipe_of_an_old_run_is_still_read(tmp_path: Path) -> None:
    """Keys that came later are missing, a key is unknown, and a value lies where today's range would not let it."""
    record = json.loads(Recipe(epochs=7, zoom=4.0).as_json()) | {"gone_since": 1}
    for name in ("late_blocks", "checkpoint_seconds", "qat_min_agreement", "temperature_scaling"):
        del record[name]
    (tmp_path / "config.json").write_text(json.dumps(record))
    assert load_recipe(tmp_path / "config.json") == Recipe(epochs=7, zoom=4.0)


def test_a_place_for_logits_that_does_not_exist_is_refused_before_training(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    arguments = ["--run", str(tmp_path / "r"), "--data", "d", "--write-logits", str(tmp_path / "no/such/logits.npz")]
    assert main(arguments) == 2
    assert "--write-logits" in capsys.readouterr().err
    assert not (tmp_path / "r").exists()
