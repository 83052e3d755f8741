"""One training run from data to plots: both stages in turn, each resumable."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fer_edge.errors import UsageError
from fer_edge.files import atomic_path, write_text
from fer_train.config import TrainConfig
from fer_train.dataset import Dataset, load_dataset
from fer_train.devices import Devices
from fer_train.evaluate import Evaluation
from fer_train.fit import FloatStage, TrainingData
from fer_train.model import STUDENT
from fer_train.outlook import outlook
from fer_train.progress import console
from fer_train.run_folder import RunFolder
from fer_train.targets import blend, class_weights, hard_targets
from fer_train.temperature import RECORD, calibrate, describe, summarize


def prepare_data(config: TrainConfig, dataset: Dataset) -> TrainingData:
    """Images, targets and weights as the recipe wants them: cleaned, smoothed, with crowd labels and teacher."""
    train, validation = dataset.split("train"), dataset.split("validation")
    images, labels, names = train.images, train.labels, train.names
    if config.clean:
        from fer_train.cleaning import clean_train

        kept, _ = clean_train(dataset)
        images, labels, names = images[kept], labels[kept], tuple(names[i] for i in kept)
        console.print(f"clean: {len(kept)} of {len(train)} train images kept")
    if config.train_images:
        kept = share_of_each_class(labels, config.train_images)
        images, labels, names = images[kept], labels[kept], tuple(names[i] for i in kept)
    targets = hard_targets(labels, config.label_smoothing)
    if config.soft_labels:
        votes, known = _crowd_labels(config, names, labels)
        targets = blend(targets, votes, config.soft_label_weight, known)
    if config.stored_teachers:
        from fer_train.distill import ensemble_targets

        paths = config.stored_teachers
        soft, known = ensemble_targets(paths, images, config.teacher_temperature)
        targets = blend(targets, soft, config.teacher_weight, known)
        console.print(
            f"{len(paths)} teacher{'s' * (len(paths) > 1)} for {int(known.sum())} of {len(labels)} "
            f"images, weight {config.teacher_weight}"
        )
    return TrainingData(
        images, labels, targets, class_weights(labels, config.class_weighting), validation.images, validation.labels
    )


def _say_what_is_next(config: TrainConfig, folder: RunFolder, found: dict[str, Evaluation], steps: int) -> None:
    following = (
        f"fer-export --int8 --run {folder.root} --data {config.data}"
        if config.network == STUDENT
        else f"fer-train --teacher {folder.root} --data {config.data} --run runs/NAME"
    )
    if config.network == STUDENT and (warning := outlook(found, steps)):
        console.print(warning)
    console.print(f"plots in {folder.plots}, next: {following}")


def _present_teachers(stage: FloatStage) -> None:
    together = stage.evaluate_teachers()
    if together is not None:
        console.print(
            f"live teachers ({len(stage.config.live_teachers)}, weight {stage.config.teacher_weight}): "
            f"{together.accuracy:.2%} of {together.n_images} validation images"
        )


def _crowd_labels(
    config: TrainConfig, names: tuple[str, ...], labels: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    from fer_train.softlabels import load_votes
    from fer_train.vote_translation import log_loss, translated_votes

    path = Path(str(config.soft_labels))
    votes, known = translated_votes(path, names, labels) if config.translate_votes else load_votes(path, names)
    console.print(
        f"crowd labels{' (translated)' * config.translate_votes} for {int(known.sum())} of {len(labels)} images, "
        f"weight {config.soft_label_weight}; log-loss of the labels under them "
        f"{log_loss(votes[known], labels[known]):.3f}"
    )
    return votes, known


def share_of_each_class(labels: npt.NDArray[np.int64], wanted: int) -> npt.NDArray[np.int64]:
    """Rows of about ``wanted`` images, every class by its share and with one image at least; the same ones always."""
    rng = np.random.default_rng(0)
    parts = []
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        count = max(1, round(len(rows) * wanted / len(labels)))
        parts.append(rng.permutation(rows)[:count])
    return np.sort(np.concatenate(parts))


def train(
    config: TrainConfig,
    folder: RunFolder,
    *,
    resume: bool,
    cache_dir: str | None = None,
    write_logits: str | None = None,
    devices: Devices | None = None,
) -> int:
    """Run what is left of both stages; returns 0. Hosts other than the first end with the float stage."""
    is_first = devices is None or devices.hosts.is_first
    console.quiet = not is_first
    started = time.monotonic()
    dataset = load_dataset(config.data, cache_dir=Path(cache_dir) if cache_dir else None, seed=config.seed)
    if resume and config.data_fingerprint and config.data_fingerprint != dataset.fingerprint:
        raise UsageError(f"{config.data} is not the data set that this run was started with; start another --run")
    config = dataclasses.replace(config, data_fingerprint=dataset.fingerprint)
    if dataset.skipped:
        console.print(f"skipped: {len(dataset.skipped)}, the first: {dataset.skipped[0][0]}: {dataset.skipped[0][1]}")
    data = prepare_data(config, dataset)
    console.print(
        f"{len(data.labels)} train and {len(data.validation_labels)} validation images, "
        f"read in {time.monotonic() - started:.1f} s"
    )
    if is_first:
        config.save(folder.config)

    stage = FloatStage(config, data, folder, devices)
    if is_first:
        _present_teachers(stage)
    stage.run(resume=resume)
    stage.finish()
    if not is_first:
        return 0
    best = stage.evaluate()
    console.print(f"float: {best.accuracy:.2%} of {best.n_images} validation images")
    evaluations = {"float": best}
    history = list(stage.history)

    qat_network = None
    if config.qat_epochs:
        from fer_train.qat import QatStage

        qat = QatStage(config, data, folder, stage.network, history, best.decisions)
        evaluations |= qat.run(resume=resume)
        history = qat.history
        qat_network = qat.network
    summary = {name: evaluation.as_dict() for name, evaluation in evaluations.items()}
    if config.temperature_scaling:
        evaluations = calibrate(folder.root, data.validation_images, evaluations, qat_network)
        record = json.loads((folder.root / RECORD).read_text(encoding="utf-8"))
        summary = summarize(evaluations, record)
        console.print(f"temperature: {describe(record)}")

    from fer_train.plots import draw_confusion, draw_curves

    draw_curves(history, folder.plots)
    for name, evaluation in evaluations.items():
        draw_confusion(evaluation, folder.plots / f"confusion_{name}.png", name)
    with atomic_path(folder.predictions) as temporary, temporary.open("wb") as handle:
        each: dict[str, Any] = {name: evaluation.probabilities for name, evaluation in evaluations.items()}
        np.savez_compressed(handle, labels=data.validation_labels, **each)
    write_text(folder.summary, json.dumps(summary, indent=2) + "\n")
    if write_logits:
        from fer_train.distill import write_teacher_logits

        write_teacher_logits(Path(write_logits), stage.network, np.asarray(data.images))
        console.print(f"logits of {len(data.images)} train images in {write_logits}")
    _say_what_is_next(config, folder, evaluations, stage.steps * config.epochs)
    return 0
