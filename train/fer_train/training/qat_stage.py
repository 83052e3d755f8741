"""The QAT stage: tf_keras and tfmot, from the best float weights, its best epoch chosen by the converted INT8 model."""

from __future__ import annotations

import dataclasses
import math
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tf_keras

from fer_edge.errors import CheckFailedError, ModelError
from fer_edge.files import atomic_path
from fer_edge.preprocess import resize_gray, to_float_input
from fer_train.evaluation.evaluate import EVALUATION_BATCH, Evaluation, cross_entropy, evaluate_classifier
from fer_train.inputs.augment import Augment
from fer_train.inputs.batches import Batches
from fer_train.inputs.training_data import TrainingData
from fer_train.logs import LOG
from fer_train.networks.build import build_network, copy_weights
from fer_train.networks.engine import to_numpy
from fer_train.networks.keras_classifier import KerasClassifier
from fer_train.quantization.qat_network import equalize_depthwise, measure_ranges, pin_input_range, wrap_for_qat
from fer_train.quantization.tflite import evaluate_int8
from fer_train.runs.history import EpochMetrics, rows_from_json, write_metrics
from fer_train.runs.recipe import Recipe
from fer_train.runs.run_folder import RunFolder
from fer_train.runs.tensorboard import TensorBoardLog
from fer_train.runs.trained import load_trained
from fer_train.runs.weights import require_space
from fer_train.training.checkpoint import assign_all, load_checkpoint, save_checkpoint
from fer_train.training.stage_progress import StageProgress, stage_progress

__all__ = ["QatStage", "Quality"]

_RANGES_BATCH = 64
_MOMENTUM = 0.9


class Quality(NamedTuple):
    """What the best epoch is chosen by, the first field first."""

    agrees: bool = False
    """Whether the INT8 model gives the float model's answer often enough (``qat_min_agreement``)."""
    accuracy: float = -1.0
    """Of the INT8 model on the validation split."""


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
        tf_keras.utils.set_random_seed(recipe.seed)
        self.teacher = build_network(tf_keras, recipe.input_size, dropout=recipe.dropout)
        copy_weights(float_network, self.teacher)
        equalized = build_network(tf_keras, recipe.input_size, dropout=recipe.dropout)
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
            loss="categorical_crossentropy",
            weighted_metrics=["accuracy"],
        )
        self.network.optimizer.build(self.network.trainable_variables)

    def run(self, *, resume: bool) -> dict[str, Evaluation]:
        """Measure ranges, train what is left, and evaluate the best epoch as the INT8 model that it converts to.

        Args:
            resume: go on after the last complete epoch.

        Returns:
            The evaluation of ``int8``.
        """
        start = 0
        if resume and self.folder.qat_checkpoint.exists():
            start = self._restore()
            write_metrics(self.folder.metrics, self.history)  # a kill may have come between checkpoint and table
        log = TensorBoardLog(self.folder.tensorboard, "qat")
        with stage_progress("QAT", self.recipe.qat_epochs, self.steps, start) as progress:
            if start or self.best.accuracy >= 0:
                progress.say(f"QAT stage continues after epoch {start} of {self.recipe.qat_epochs}")
            else:
                self._begin()
                self._finish_epoch(0, None, None, time.monotonic(), log, progress)
            for epoch in range(start, self.recipe.qat_epochs):
                started = time.monotonic()
                loss, accuracy = self._epoch(epoch, progress)
                self._finish_epoch(epoch + 1, loss, accuracy, started, log, progress)
        log.close()
        self.network.load_weights(self.folder.qat_weights)
        return {"int8": self._evaluate_int8()}

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
        progress.start_epoch(epoch)
        self.network.reset_metrics()
        loss = accuracy = math.nan
        share = self.recipe.qat_distill
        for step, (faces, targets, weights) in enumerate(self._batches(epoch)):
            # The Keras 3 layer may run on another engine than TensorFlow; numpy is what all engines share.
            x = to_numpy(self.augment(faces, training=True))
            if share:
                soft = self.teacher.predict_on_batch(x)
                targets = ((1.0 - share) * targets + share * soft).astype(np.float32)  # noqa: PLW2901
            loss, accuracy = self.network.train_on_batch(x, targets, sample_weight=weights, reset_metrics=False)
            if not math.isfinite(loss):
                raise CheckFailedError(
                    f"the loss became {loss} in QAT epoch {epoch + 1}; the last checkpoint and the best weights are "
                    "kept: try a lower --qat-learning-rate"
                )
            progress.step(f"loss {loss:.3f}" if step % 10 == 0 else "")
        return float(loss), float(accuracy)

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
        int8 = self._evaluate_int8()
        agreement = float((int8.decisions == self.float_answers).mean())
        quality = Quality(agreement >= self.recipe.qat_min_agreement, int8.accuracy)
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
            val_accuracy_int8=int8.accuracy,
            learning_rate=float(self.network.optimizer.learning_rate),
            seconds=time.monotonic() - started,
        )
        self.history.append(row)
        save_checkpoint(
            self.folder.qat_checkpoint,
            [np.asarray(variable) for variable in self.network.variables],
            [np.asarray(variable) for variable in self.network.optimizer.variables],
            {
                "epochs_done": epoch,
                "best": list(self.best),
                "history": [dataclasses.asdict(each) for each in self.history],
                "augment": [to_numpy(variable).tolist() for variable in self.augment.variables],
            },
        )
        write_metrics(self.folder.metrics, self.history)
        log.add(row)
        begun = "ranges measured" if row.phase == "calibrated" else row.phase  # the value in metrics.csv stays
        trained = f"{begun}, no step yet" if loss is None else f"loss {loss:.3f} accuracy {accuracy:.1%}"
        progress.say(
            f"QAT   {epoch:3d}/{self.recipe.qat_epochs} {trained}  validation: simulated {simulated.accuracy:.2%}, "
            f"INT8 {int8.accuracy:.2%}, {agreement:.1%} as float (best {self.best.accuracy:.2%})  {row.seconds:.0f} s"
        )

    def _evaluate_int8(self) -> Evaluation:
        data = self.data
        return evaluate_int8(self.network, data.validation_images, data.validation_labels, "validation")

    def _restore(self) -> int:
        checkpoint = load_checkpoint(self.folder.qat_checkpoint)
        assign_all(self.network.variables, checkpoint.network, "QAT network")
        assign_all(self.network.optimizer.variables, checkpoint.optimizer, "QAT optimizer")
        for variable, value in zip(self.augment.variables, checkpoint.record["augment"], strict=True):
            variable.assign(np.asarray(value, dtype=variable.dtype))
        self.history = rows_from_json(checkpoint.record["history"])
        agrees, accuracy = checkpoint.record["best"]
        self.best = Quality(bool(agrees), float(accuracy))
        return int(checkpoint.record["epochs_done"])
