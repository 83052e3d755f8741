"""The recipe that a command line of ``fer-train`` asks for: given options, defaults that follow from them, checks."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from fer_edge.command import did_you_mean
from fer_edge.errors import UsageError
from fer_edge.option_types import number, whole
from fer_train.disturbances import FOR_TRAINING, HELD_OUT
from fer_train.networks.build import IMAGENET_WIDTHS, NUM_BLOCKS, STUDENT
from fer_train.runs.option import OptionField
from fer_train.runs.recipe import FROM_BACKBONE, OPTIONS, WEIGHT_OF_VOTES, Recipe, load_recipe
from fer_train.runs.run_folder import RunFolder

__all__ = ["DEFAULTS", "QUICK", "add_option", "recipe_from", "resumed_recipe", "with_derived_defaults"]

DEFAULTS: Final = Recipe()
QUICK: Final[dict[str, Any]] = {
    "input_size": 64,
    "epochs": 5,
    "batch_size": 32,
    "train_images": 5000,
    "progressive_size": 0,
    "late_blocks": NUM_BLOCKS,
    "erase": 0.0,
    "qat_epochs": 1,
    "qat_learning_rate": 1e-4,
    "calibration_images": 512,
}
"""What ``--quick`` stands for: a first model that passes the gate, in minutes on two cores; options beside it win.

Erasing helps long trainings only, and QAT at its usual rate shakes so short a run: on synthetic faces it took INT8 from
89.6 to 72.9 %, at this rate INT8 stayed at 93.6 %."""
_TYPES: Final[dict[type, Any]] = {int: whole(least=None), float: number(), str: str, tuple: str}
"""Types for argparse; ranges are checked with the whole recipe, where one option may move another's."""


def add_option(group: argparse._ArgumentGroup, field: OptionField) -> None:
    """Give the parser the option of a field of the recipe.

    Args:
        group: a group of options of the parser.
        field: the field.
    """
    default = f" (default {field.default_text})" if field.default_text else ""
    help_text = (field.option.help + default).replace("%", "%%")
    if field.kind is bool:
        action = "store_false" if field.default else "store_true"
        group.add_argument(field.flag, dest=field.name, action=action, help=help_text)
        return
    group.add_argument(
        field.flag,
        type=_TYPES[field.kind],
        choices=field.option.choices or None,
        metavar=field.metavar,
        nargs="+" if field.kind is tuple else None,
        help=help_text,
    )


def with_derived_defaults(given: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of the recipe that were given, and those whose defaults follow from them; what was given stays.

    - A network that only teaches is trained from scratch and in float: no backbone, no head epochs, no QAT stage.
    - No head epoch where the only epoch would go into it, or where another run's head is there already.
    - Smaller faces at first and fewer blocks at last where training begins at a backbone, unless live teachers, which
      know one input size, look at the same faces.
    - Votes that were given count by :data:`WEIGHT_OF_VOTES`.

    Args:
        given: values that were given, by field name.

    Returns:
        Values by field name.
    """
    derived: dict[str, Any] = {}
    if given.get("network", STUDENT) != STUDENT:
        derived = {"backbone": None, "qat_epochs": 0, "head_epochs": 0}
    if given.get("epochs") == 1 or given.get("start_from"):
        derived["head_epochs"] = 0
    backbone = {"backbone": DEFAULTS.backbone, **derived, **given}["backbone"]
    taught_live = any(Path(name).is_dir() for name in given.get("teacher", ()))
    if backbone and not given.get("start_from") and not taught_live:
        derived |= FROM_BACKBONE
    if given.get("soft_labels"):
        derived["soft_label_weight"] = WEIGHT_OF_VOTES
    return {**derived, **given}


def recipe_from(options: Mapping[str, Any]) -> Recipe:
    """The recipe that the given options make, checked.

    Args:
        options: Values by field name; other names are ignored.

    Returns:
        The recipe with all defaults.

    Raises:
        UsageError: For values that make no sense, alone or together; the message names all that are out of range.
    """
    given = _given(options)
    if given.get("network", STUDENT) != STUDENT and (given.get("backbone") or given.get("qat_epochs")):
        raise UsageError(
            f"--network {given['network']} is trained from scratch and in float only: no --backbone, "
            "no --qat-epochs; it can teach with --teacher"
        )
    if given.get("translate_votes") and not given.get("soft_labels"):
        raise UsageError("--translate-votes needs the votes; give --soft-labels")
    recipe = Recipe(**with_derived_defaults(given))
    if recipe.live_teachers and (recipe.stored_teachers or recipe.progressive_size):
        raise UsageError(
            "live teachers (folders) cannot be combined with files or --progressive-size; give one of them"
        )
    problems = {name: text for name, field in OPTIONS.items() if (text := field.problem(getattr(recipe, name)))}
    if recipe.epochs < 1 and not recipe.start_from:
        problems["epochs"] = f"--epochs must be at least 1 (0 with --start-from: QAT only), got {recipe.epochs}"
    if problems:
        raise UsageError("; ".join(problems.values()))
    _check_width(recipe)
    _check_disturbances(recipe)
    return recipe


def resumed_recipe(options: Mapping[str, Any], folder: RunFolder) -> Recipe:
    """The recipe of a run that goes on.

    Args:
        options: values that were given, by field name.
        folder: the folder of the run.

    Returns:
        The recipe of the run, with the place of the data set as given.

    Raises:
        UsageError: an option would change the recipe.
    """
    saved = load_recipe(folder.config)
    given = recipe_from({"data": saved.data, **options})
    names = {field.name for field in dataclasses.fields(Recipe)} & options.keys() - {"data"}
    changed = [name for name in sorted(names) if getattr(given, name) != getattr(saved, name)]
    if changed:
        raise UsageError(
            f"--resume continues with the recipe in {folder.config}; changed: {', '.join(changed)}. "
            "Leave these options out, or start another --run"
        )
    return dataclasses.replace(saved, data=given.data)


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of the recipe among the options, as the recipe holds them."""
    known = {field.name for field in dataclasses.fields(Recipe)}
    given = {key: value for key, value in options.items() if key in known}
    if options.get("quick"):
        if given.get("network", STUDENT) != STUDENT:
            raise UsageError("--quick is a recipe for MobileNetV2; leave out --network, or --quick")
        given = {**QUICK, **given}
    if given.get("backbone") == "none":
        given["backbone"] = None
    return {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}


def _check_width(recipe: Recipe) -> None:
    own = (recipe.width, recipe.last_channels) != (DEFAULTS.width, DEFAULTS.last_channels)
    if own and recipe.network != STUDENT:
        raise UsageError(
            f"--width and --last-channels are of MobileNetV2; leave them out with --network {recipe.network}"
        )
    if recipe.backbone == "imagenet" and not recipe.start_from and recipe.width not in IMAGENET_WIDTHS:
        known = ", ".join(f"{width:g}" for width in IMAGENET_WIDTHS)
        raise UsageError(
            f"there are no ImageNet weights for --width {recipe.width:g}, only for {known}; begin with "
            "--start-from RUN (fitted to a wider run) or --backbone none"
        )


def _check_disturbances(recipe: Recipe) -> None:
    for name in recipe.disturb_kinds:
        if name in HELD_OUT:
            raise UsageError(
                f"--disturb-kinds {name}: this kind is held out of training, so that the benchmark is fair"
            )
        if name not in FOR_TRAINING:
            hint = did_you_mean(name, FOR_TRAINING) or f"; there are {', '.join(FOR_TRAINING)}"
            raise UsageError(f"--disturb-kinds: unknown kind of disturbance {name!r}{hint}")
    if recipe.disturb_weakest > recipe.disturb_strongest:
        raise UsageError(
            f"--disturb-weakest {recipe.disturb_weakest:g} is above --disturb-strongest {recipe.disturb_strongest:g}"
        )
    if (recipe.consistency > 0 or recipe.disturb_kinds) and not recipe.disturb:
        raise UsageError("nothing is disturbed; give --disturb, for example 0.8, or leave the other options of it out")
