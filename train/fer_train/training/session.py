"""One training run from data to plots: both stages in turn, each resumable."""

from __future__ import annotations

import dataclasses
import json
import logging
import time
from pathlib import Path
from typing import Any

import numpy as np

from fer_edge.errors import UsageError
from fer_edge.files import atomic_path, write_text
from fer_train.data.dataset import Dataset, load_dataset
from fer_train.evaluation.evaluate import Evaluation
from fer_train.evaluation.temperature import RECORD, describe, summarize
from fer_train.inputs.training_data import TrainingData, prepare_data
from fer_train.logs import LOG
from fer_train.networks.build import STUDENT
from fer_train.runs.history import EpochMetrics
from fer_train.runs.recipe import Recipe
from fer_train.runs.run_folder import RunFolder
from fer_train.training.devices import Devices
from fer_train.training.float_stage import FloatStage
from fer_train.training.judging import Judged
from fer_train.training.outlook import outlook
from fer_train.training.temperature_scaling import fit_temperatures

__all__ = ["train"]


def _tell_how_it_was_read(dataset: Dataset) -> None:
    for line in dataset.notes:
        LOG.info(f"note: {line}")
    if dataset.skipped:
        LOG.warning(f"skipped: {len(dataset.skipped)}, the first: {dataset.skipped[0][0]}: {dataset.skipped[0][1]}")


def _say_what_is_next(recipe: Recipe, folder: RunFolder, evaluations: dict[str, Evaluation], steps: int) -> None:
    following = (
        f"fer-export --int8 --run {folder.root} --data {recipe.data}"
        if recipe.network == STUDENT
        else f"fer-train --teacher {folder.root} --data {recipe.data} --run runs/NAME"
    )
    if recipe.network == STUDENT and (warning := outlook(evaluations, steps)):
        LOG.warning(warning)
    LOG.info(f"plots in {folder.plots}, next: {following}")


def _present_teachers(stage: FloatStage) -> None:
    together = stage.evaluate_teachers()
    if together is not None:
        LOG.info(
            f"live teachers ({len(stage.recipe.live_teachers)}, weight {stage.recipe.teacher_weight}): "
            f"{together.accuracy:.2%} of {together.n_images} validation images"
        )


def train(
    recipe: Recipe,
    folder: RunFolder,
    *,
    resume: bool,
    cache_dir: str | None = None,
    write_logits: str | None = None,
    devices: Devices | None = None,
) -> None:
    """Run what is left of both stages, each resumable, and write weights, tables and plots to the folder of the run.

    Hosts other than the first end with the float stage.

    Args:
        recipe: the recipe of the run.
        folder: the folder of the run.
        resume: go on after the last complete epoch.
        cache_dir: where decoded images are kept.
        write_logits: a file for this model's logits of train, for ``--teacher``.
        devices: what the float stage trains on.

    Raises:
        UsageError: the data set is not the one that the run was started with.
    """
    is_first = devices is None or devices.hosts.is_first
    if not is_first:
        LOG.setLevel(logging.WARNING)  # every host would say the same
    recipe, data = _read(recipe, resume=resume, cache_dir=cache_dir)
    if is_first:
        recipe.save(folder.config)
    stage = FloatStage(recipe, data, folder, devices)
    if is_first:
        _present_teachers(stage)
    stage.run(resume=resume)
    stage.finish()
    if not is_first:
        return
    judged = {"float": stage.judge()}
    best = judged["float"].clean
    LOG.info(f"float: {best.accuracy:.2%} of {best.n_images} validation images{judged['float'].words}")
    history = list(stage.history)

    qat_network = None
    if recipe.qat_epochs:
        from fer_train.training.qat_stage import QatStage

        qat = QatStage(recipe, data, folder, stage.network, history, best.decisions)
        judged["int8"] = qat.run(resume=resume)
        history = qat.history
        qat_network = qat.network
    evaluations = _finish(recipe, folder, history, judged, data, qat_network)
    if write_logits:
        _write_logits(Path(write_logits), stage, data)
    _say_what_is_next(recipe, folder, evaluations, stage.steps * recipe.epochs)


def _finish(
    recipe: Recipe,
    folder: RunFolder,
    history: list[EpochMetrics],
    judged: dict[str, Judged],
    data: TrainingData,
    qat_network: Any,
) -> dict[str, Evaluation]:
    """Temperatures, then the results; returns the evaluations with temperatures folded."""
    evaluations = {name: model.clean for name, model in judged.items()}
    summary = {name: evaluation.as_dict() for name, evaluation in evaluations.items()}
    if recipe.temperature_scaling:
        evaluations = fit_temperatures(folder.root, data.validation_images, evaluations, qat_network)
        record = json.loads((folder.root / RECORD).read_text(encoding="utf-8"))
        summary = summarize(evaluations, record)
        LOG.info(f"temperature: {describe(record)}")
    for name, model in judged.items():
        summary[name] |= model.as_dict()
    _write_results(folder, history, evaluations, data, summary)
    return evaluations


def _write_logits(path: Path, stage: FloatStage, data: TrainingData) -> None:
    from fer_train.inputs.stored_teachers import write_teacher_logits

    write_teacher_logits(path, stage.network, np.asarray(data.images))
    LOG.info(f"logits of {len(data.images)} train images in {path}")


def _read(recipe: Recipe, *, resume: bool, cache_dir: str | None) -> tuple[Recipe, TrainingData]:
    """The data set that the recipe names, and the recipe with its fingerprint."""
    started = time.monotonic()
    dataset = load_dataset(recipe.data, cache_dir=Path(cache_dir) if cache_dir else None, seed=recipe.seed)
    if resume and recipe.data_fingerprint and recipe.data_fingerprint != dataset.fingerprint:
        raise UsageError(f"{recipe.data} is not the data set that this run was started with; start another --run")
    recipe = dataclasses.replace(recipe, data_fingerprint=dataset.fingerprint)
    _tell_how_it_was_read(dataset)
    data = prepare_data(recipe, dataset)
    LOG.info(
        f"{len(data.labels)} train and {len(data.validation_labels)} validation images, "
        f"read in {time.monotonic() - started:.1f} s"
    )
    return recipe, data


def _write_results(
    folder: RunFolder,
    history: list[EpochMetrics],
    evaluations: dict[str, Evaluation],
    data: TrainingData,
    summary: dict[str, Any],
) -> None:
    """Plots, predictions and the summary of a finished run."""
    from fer_train.runs.plots import draw_confusion, draw_curves

    if history:  # --epochs 0 --qat-epochs 0 only judges what --start-from gives
        draw_curves(history, folder.plots)
    for name, evaluation in evaluations.items():
        draw_confusion(evaluation, folder.plots / f"confusion_{name}.png", name)
    with atomic_path(folder.predictions) as temporary, temporary.open("wb") as handle:
        probabilities: dict[str, Any] = {name: evaluation.probabilities for name, evaluation in evaluations.items()}
        np.savez_compressed(handle, labels=data.validation_labels, **probabilities)
    write_text(folder.summary, json.dumps(summary, indent=2) + "\n")
