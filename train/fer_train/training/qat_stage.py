"""The QAT stage: tf_keras and tfmot, from the best float weights, its best epoch chosen by the converted INT8 model."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tf_keras

from fer_edge.errors import CheckFailedError, ModelError
from fer_edge.files import atomic_path
from fer_edge.preprocess import resize_gray, to_float_input
from fer_train.evaluation.evaluate import EVALUATION_BATCH, cross_entropy, evaluate_classifier
from fer_train.inputs.augment import Augment
from fer_train.inputs.batches import Batches
from fer_train.inputs.disturbing import Disturbing, disturbed_validation
from fer_train.inputs.training_data import TrainingData
from fer_train.logs import LOG
from fer_train.networks.build import copy_weights
from fer_train.networks.engine import to_numpy
from fer_train.networks.keras_classifier import KerasClassifier
from fer_train.quantization.qat_network import (
    equalize_depthwise,
    measure_ranges,
    pin_input_range,
    seed_dropout,
    wrap_for_qat,
)
from fer_train.quantization.reference_kernels import reference_classifier
from fer_train.quantization.tflite import as_file, opened, qat_to_tflite
from fer_train.runs.history import EpochMetrics, rows_from_json, write_metrics
from fer_train.runs.network_of import network_of
from fer_train.runs.recipe import Recipe
from fer_train.runs.run_folder import RunFolder
from fer_train.runs.tensorboard import TensorBoardLog
from fer_train.runs.trained import load_trained
from fer_train.runs.weights import require_space
from fer_train.training.checkpoint import assign_all, load_checkpoint, save_checkpoint
from fer_train.training.epoch_sums import EpochSums
from fer_train.training.judging import Judged, judge
from fer_train.training.objective import divergence, views
from fer_train.training.stage_progress import StageProgress, stage_progress

__all__ = ["QatStage", "Quality", "consistent_cross_entropy"]

_RANGES_BATCH = 64
_MOMENTUM = 0.9


class Quality(NamedTuple):
    """What the best epoch is chosen by, the first field first."""

    agrees: bool = False
    """Whether INT8 gives the float model's answer often enough (``qat_min_agreement``), in both arithmetics."""
    score: float = -1.0
    """Of the INT8 model, the mean of both arithmetics (:attr:`fer_train.training.judging.Judged.score`)."""


class QatStage:
    """Trains the wrapped network; epoch 0 is the network with measured ranges, before any step, and a candidate too.

    Args:
        recipe: the recipe of the run.
        data: what to train on.
        folder: where weights, checkpoints and tables go.
        float_network: the network after the float stage.
        history: rows of the float stage.
        float_answers: ``(N,)`` classes that the float network gives the validation images.
    """

    def __init__(
        self,
        recipe: Recipe,
        data: TrainingData,
        folder: RunFolder,
        float_network: Any,
        history: list[EpochMetrics],
        float_answers: npt.NDArray[np.int64],
    ) -> None:
        tf.get_logger().setLevel("ERROR")  # its notes on retracing mean the two evaluations, which are wanted
        self.recipe, self.data, self.folder = recipe, data, folder
        self.history = [row for row in history if row.stage == "float"]
        self.float_answers = float_answers
        self.best = Quality()
        self.disturbing = Disturbing.of(recipe, with_clean=bool(recipe.qat_distill or recipe.consistency))
        self.disturbed = disturbed_validation(recipe, data)
        self._so_far, self._kept_at = EpochSums(), -math.inf
        tf_keras.utils.set_random_seed(recipe.seed)
        self.teacher = network_of(recipe, tf_keras)
        copy_weights(float_network, self.teacher)
        equalized = network_of(recipe, tf_keras)
        copy_weights(float_network, equalized)
        equalize_depthwise(equalized)
        self._equalized = equalized
        self.network = wrap_for_qat(equalized)
        self.augment = Augment(recipe)
        self.steps = len(self._batches(0))
        total = max(recipe.qat_epochs * self.steps, 1)
        schedule = tf_keras.optimizers.schedules.CosineDecay(recipe.qat_learning_rate, total, alpha=0.02)
        self.network.compile(
            optimizer=tf_keras.optimizers.SGD(schedule, momentum=_MOMENTUM),
            loss=consistent_cross_entropy(recipe.consistency) if recipe.consistency else "categorical_crossentropy",
            weighted_metrics=["accuracy"],
        )
        self.network.optimizer.build(self.network.trainable_variables)

    def run(self, *, resume: bool) -> Judged:
        """Measure ranges, train what is left, and evaluate the best epoch as the INT8 model that it converts to.

        Args:
            resume: go on after the last complete epoch.

        Returns:
            The answers of the INT8 model.
        """
        start = 0
        if resume and self.folder.qat_checkpoint.exists():
            start = self._restore()
            write_metrics(self.folder.metrics, self.history)  # a kill may have come between checkpoint and table
        log = TensorBoardLog(self.folder.tensorboard, "qat")
        with stage_progress("QAT", self.recipe.qat_epochs, self.steps, start) as progress:
            if start or self.best.score >= 0:
                within = f" and {self._so_far.steps} batches" if self._so_far.steps else ""
                progress.say(f"QAT stage continues after epoch {start} of {self.recipe.qat_epochs}{within}")
            else:
                self._begin()
                self._finish_epoch(0, None, None, time.monotonic(), log, progress)
            for epoch in range(start, self.recipe.qat_epochs):
                started = time.monotonic()
                loss, accuracy = self._epoch(epoch, progress)
                self._finish_epoch(epoch + 1, loss, accuracy, started, log, progress)
        log.close()
        self.network.load_weights(self.folder.qat_weights)
        return self._judge_int8()

    def _begin(self) -> None:
        """Measured ranges around the float weights, or the weights and ranges that another QAT stage ended with."""
        if self.recipe.qat_start_from is None:
            measure_ranges(self.network, self._equalized, self._batches_for_ranges())
            return
        path = Path(self.recipe.qat_start_from)
        earlier = load_trained(path, fold=False)
        if earlier.recipe is None or earlier.input_size != self.recipe.input_size:
            raise ModelError(
                f"--qat-start-from needs a run of fer-train with an input of {self.recipe.input_size} pixels, "
                f"{path} is {'a model file' if earlier.recipe is None else f'one of {earlier.input_size}'}"
            )
        LOG.debug(f"first weights and ranges of the QAT stage: {path}")
        network = earlier.qat_model()
        if network is None:
            raise ModelError(f"--qat-start-from: {path} holds no QAT weights; has its QAT stage finished an epoch?")
        self.network.set_weights(network.get_weights())

    def _batches(self, epoch: int) -> Batches:
        return Batches(
            self.data.images,
            self.data.targets,
            self.data.weights,
            input_size=self.recipe.input_size,
            batch_size=self.recipe.batch_size,
            seed=self.recipe.seed,
            epoch=self.recipe.epochs + epoch,  # another order than the float stage's
            disturbing=self.disturbing,
        )

    def _batches_for_ranges(self) -> list[npt.NDArray[np.float32]]:
        """Plain training faces, drawn alike from every class."""
        rng = np.random.default_rng(self.recipe.seed)
        labels = self.data.labels
        per_class = max(1, self.recipe.calibration_images // len(np.unique(labels)))
        chosen = np.concatenate(
            [rng.permutation(np.flatnonzero(labels == label))[:per_class] for label in np.unique(labels)]
        )
        rng.shuffle(chosen)
        faces = np.stack([resize_gray(self.data.images[i], self.recipe.input_size) for i in chosen])
        return [to_float_input(faces[i : i + _RANGES_BATCH]) for i in range(0, len(faces), _RANGES_BATCH)]

    def _epoch(self, epoch: int, progress: StageProgress) -> tuple[float, float]:
        progress.start_epoch(epoch, self._so_far.steps)
        share, both, often = self.recipe.qat_distill, self.recipe.consistency > 0, self.recipe.checkpoint_steps
        for faces, targets, weights in self._batches(epoch).piece(self._so_far.steps, self.steps):
            # The Keras 3 layer may run on another engine than TensorFlow; numpy is what all engines share.
            x, clean = views(to_numpy(self.augment(faces, training=True)), both=both)
            if share:
                soft = self.teacher.predict_on_batch(clean)
                targets = ((1.0 - share) * targets + share * soft).astype(np.float32)  # noqa: PLW2901
            if both:
                targets, weights = np.repeat(targets, 2, axis=0), np.repeat(weights, 2)  # noqa: PLW2901
            seed_dropout(self.network, self._seed_of(epoch))
            loss, accuracy = self.network.train_on_batch(x, targets, sample_weight=weights)
            if not math.isfinite(loss):
                raise CheckFailedError(
                    f"the loss became {loss} in QAT epoch {epoch + 1}; the last checkpoint and the best weights are "
                    "kept: try a lower --qat-learning-rate"
                )
            progress.step(f"loss {loss:.3f}" if self._so_far.steps % 10 == 0 else "")
            self._so_far.add(float(loss), float(accuracy), weight=float(weights.sum()))
            if often and self._so_far.steps % often == 0 and self._so_far.steps < self.steps:
                self._save_checkpoint(epoch)
        done, self._so_far = self._so_far, EpochSums()
        return done.means()

    def _seed_of(self, epoch: int) -> int:
        """What the next step of an epoch draws from."""
        return int(np.random.SeedSequence([self.recipe.seed, epoch, self._so_far.steps]).generate_state(1)[0])

    def _finish_epoch(
        self,
        epoch: int,
        loss: float | None,
        accuracy: float | None,
        started: float,
        log: TensorBoardLog,
        progress: StageProgress,
    ) -> None:
        """Evaluate as Keras and as converted model, keep the weights when INT8 is the best so far, write the state."""
        pin_input_range(self.network)
        simulated = evaluate_classifier(
            KerasClassifier(self.network),
            self.data.validation_images,
            self.data.validation_labels,
            "validation",
            batch=EVALUATION_BATCH,
        )
        int8 = self._judge_int8()
        agreement = int8.agreement(self.float_answers)
        quality = Quality(agreement >= self.recipe.qat_min_agreement, int8.score)
        if quality > self.best:
            self.best = quality
            require_space(self.folder.qat_weights, self.network.get_weights())
            with atomic_path(self.folder.qat_weights) as temporary:
                self.network.save_weights(temporary, save_format="h5")
        row = EpochMetrics(
            stage="qat",
            phase="qat" if epoch else "begun" if self.recipe.qat_start_from else "calibrated",
            epoch=epoch,
            loss=loss,
            accuracy=accuracy,
            val_loss=cross_entropy(simulated),
            val_accuracy=simulated.accuracy,
            val_accuracy_int8=int8.clean.accuracy,
            learning_rate=float(self.network.optimizer.learning_rate),
            seconds=time.monotonic() - started,
            **int8.accuracies,
        )
        self.history.append(row)
        self._save_checkpoint(epoch)
        write_metrics(self.folder.metrics, self.history)
        log.add(row)
        begun = "ranges measured" if row.phase == "calibrated" else row.phase  # the value in metrics.csv stays
        trained = f"{begun}, no step yet" if loss is None else f"loss {loss:.3f} accuracy {accuracy:.1%}"
        progress.say(
            f"QAT   {epoch:3d}/{self.recipe.qat_epochs} {trained}  validation: simulated {simulated.accuracy:.2%}, "
            f"INT8 {int8.clean.accuracy:.2%}, {agreement:.1%} as float{int8.words} (best {self.best.score:.2%})  "
            f"{row.seconds:.0f} s"
        )

    def _save_checkpoint(self, epochs_done: int) -> None:
        now = time.monotonic()
        if self._so_far.steps and now - self._kept_at < self.recipe.checkpoint_seconds:
            return
        self._kept_at = now
        save_checkpoint(
            self.folder.qat_checkpoint,
            [np.asarray(variable) for variable in self.network.variables],
            [np.asarray(variable) for variable in self.network.optimizer.variables],
            {
                "epochs_done": epochs_done,
                "epoch_so_far": dataclasses.asdict(self._so_far),
                "best": list(self.best),
                "history": [dataclasses.asdict(epoch) for epoch in self.history],
                "augment": [to_numpy(variable).tolist() for variable in self.augment.variables],
            },
        )

    def _judge_int8(self) -> Judged:
        """The network as the INT8 model that it converts to, in both arithmetics that devices compute it in."""
        with as_file(qat_to_tflite(self.network)) as path:
            with opened(path) as classifier:
                judged = judge(classifier, self.data, self.disturbed)
            if not self.recipe.qat_reference_kernels:
                return judged
            images, labels = self.data.validation_images, self.data.validation_labels
            try:
                with reference_classifier(path, workers=len(images)) as classifier:
                    reference = evaluate_classifier(classifier, images, labels, "validation", batch=EVALUATION_BATCH)
            except (ModelError, RuntimeError) as error:
                LOG.warning(f"judged on XNNPACK alone, the reference kernels do not compute this network: {error}")
                return judged
            return dataclasses.replace(judged, reference=reference)

    def _restore(self) -> int:
        checkpoint = load_checkpoint(self.folder.qat_checkpoint)
        assign_all(self.network.variables, checkpoint.network, "QAT network")
        assign_all(self.network.optimizer.variables, checkpoint.optimizer, "QAT optimizer")
        for variable, value in zip(self.augment.variables, checkpoint.record["augment"], strict=True):
            variable.assign(np.asarray(value, dtype=variable.dtype))
        self.history = rows_from_json(checkpoint.record["history"])
        agrees, score = checkpoint.record["best"]
        self.best = Quality(bool(agrees), float(score))
        self._so_far = EpochSums(**checkpoint.record.get("epoch_so_far", {}))
        return int(checkpoint.record["epochs_done"])


def consistent_cross_entropy(weight: float) -> Callable[[Any, Any], Any]:
    """Loss of two views of each face in turn: the cross-entropy and the weighted divergence between the answers.

    As :meth:`fer_train.training.objective.Objective.loss`, in tf_keras.

    Args:
        weight: of the divergence.

    Returns:
        Of targets ``(2 B, 7)`` and answers ``(2 B, 7)`` the loss ``(2 B,)`` in nats, whose mean over the two rows of a
        face is the face's.
    """

    def loss(targets: Any, answers: Any) -> Any:
        entropy = tf_keras.losses.categorical_crossentropy(targets, answers)
        apart = divergence(answers[::2], answers[1::2], tf.math.log, lambda x: tf.reduce_sum(x, axis=-1))
        return entropy + weight * tf.repeat(apart, 2)

    return loss
