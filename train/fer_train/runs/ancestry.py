"""The runs that a run was started from, and the whole history of a network over all of them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, Final

from fer_edge.errors import ModelError
from fer_train.runs.history import EpochMetrics, read_metrics
from fer_train.runs.recipe import Recipe, load_recipe
from fer_train.runs.run_folder import RunFolder

__all__ = ["RECIPES", "ancestry", "recipes", "whole_history"]

RECIPES: Final[str] = "recipes.json"
"""In a released folder such as ``models/``: the recipes of all runs that led to it, the oldest first."""


def ancestry(run: Path) -> list[Path]:
    """The runs that a run went on from, as ``--start-from`` chained them.

    It stops at what is no longer one of our runs on this disk.

    Args:
        run: the folder of a run.

    Returns:
        Folders of runs, the oldest first and ``run`` itself last.

    Raises:
        ModelError: the chain is circular.
    """
    chain = [run]
    while (start := load_recipe(RunFolder(chain[0]).config).start_from) is not None:
        folder = Path(start)
        if any(folder.resolve() == known.resolve() for known in chain):
            raise ModelError(f"{chain[0]} claims to start from {folder}, which started from it")
        if not RunFolder(folder).config.is_file():
            break
        chain.insert(0, folder)
    return chain


def whole_history(chain: list[Path]) -> list[EpochMetrics]:
    """The epochs of all float stages, numbered through, and of the last run's QAT stage with those it went on from.

    A narrower network that was fitted to a wider one begins a history of its own.

    Args:
        chain: folders of runs, the oldest first, as :func:`ancestry` gives them.

    Returns:
        One row per epoch.

    Raises:
        ModelError: a table cannot be read.
    """
    rows: list[EpochMetrics] = []
    last = load_recipe(RunFolder(chain[-1]).config)
    for folder in chain:
        recipe = load_recipe(RunFolder(folder).config)
        if recipe.average_of or recipe.width != last.width:
            continue
        done = len(rows)
        own = [row for row in read_metrics(RunFolder(folder).metrics) if row.stage == "float"]
        rows += [dataclasses.replace(row, epoch=row.epoch + done) for row in own]
    return rows + _qat_history(chain[-1])


def _qat_history(folder: Path) -> list[EpochMetrics]:
    own = [row for row in read_metrics(RunFolder(folder).metrics) if row.stage == "qat"]
    start = load_recipe(RunFolder(folder).config).qat_start_from
    if start is None or not RunFolder(Path(start)).metrics.is_file() or Path(start).resolve() == folder.resolve():
        return own
    earlier = [row for row in read_metrics(RunFolder(Path(start)).metrics) if row.stage == "qat"]
    done = max((row.epoch for row in earlier), default=0)
    return earlier + [dataclasses.replace(row, epoch=row.epoch + done) for row in own if row.epoch > 0]


def recipes(chain: list[Path]) -> list[dict[str, Any]]:
    """The recipe of each run, without what is a path of one machine: data, backbone, and where the others stood.

    A released folder stands for the runs that it was made of.

    Args:
        chain: folders of runs, the oldest first, as :func:`ancestry` gives them.

    Returns:
        The fields of each recipe, with the name of its ``run``.

    Raises:
        ModelError: the list of a released folder is damaged.
    """
    records: list[dict[str, Any]] = []
    for folder in chain:
        if (folder / RECIPES).is_file():
            records += _released(folder / RECIPES)
            continue
        config: Recipe = load_recipe(RunFolder(folder).config)
        config = dataclasses.replace(
            config.without_paths(),
            start_from=_name_of(Path(config.start_from)) if config.start_from else None,
            qat_start_from=_name_of(Path(config.qat_start_from)) if config.qat_start_from else None,
            teacher=tuple(_name_of(Path(name)) for name in config.teacher),
            average_of=tuple(_name_of(Path(name)) for name in config.average_of),
        )
        records.append({"run": folder.name} | dataclasses.asdict(config))
    return records


def _name_of(folder: Path) -> str:
    return str(_released(folder / RECIPES)[-1]["run"]) if (folder / RECIPES).is_file() else folder.name


def _released(path: Path) -> list[dict[str, Any]]:
    try:
        records = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(records, list) or not all(isinstance(record, dict) and "run" in record for record in records):
        raise ModelError(f"{path} is not a list of recipes")
    return records
