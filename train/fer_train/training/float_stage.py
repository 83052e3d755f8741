"""The float stage: Keras 3 on any of its engines; the head alone first, then the backbone too."""

from __future__ import annotations

import dataclasses
import math
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from fer_edge.arrays import FloatArray
from fer_edge.errors import UsageError
from fer_train.evaluation.evaluate import EVALUATION_BATCH, Evaluation, cross_entropy, evaluate_classifier
from fer_train.inputs.augment import Augment
from fer_train.inputs.batches import Batches
from fer_train.inputs.mixing import Mixing
from fer_train.inputs.training_data import TrainingData
from fer_train.logs import LOG
from fer_train.networks.build import build_network, copy_weights, set_trainable_blocks
from fer_train.networks.engine import choose_precision, on_cpu, runner, to_numpy
from fer_train.networks.keras_classifier import KerasClassifier
from fer_train.runs.history import EpochMetrics, rows_from_json, write_metrics
from fer_train.runs.recipe import Recipe
from fer_train.runs.run_folder import RunFolder
from fer_train.runs.tensorboard import TensorBoardLog
from fer_train.runs.trained import load_float_weights
from fer_train.runs.weights import save_weights
from fer_train.training.checkpoint import Checkpoint, assign_all, load_checkpoint, save_checkpoint
from fer_train.training.devices import Devices
from fer_train.training.epoch_loops import keras_epoch, torch_epoch
from fer_train.training.live_teachers import LiveTeachers, accuracy, load_teachers, taught_cross_entropy
from fer_train.training.optimizer import make_optimizer
from fer_train.training.stage_progress import StageProgress, stage_progress
from fer_train.training.weight_average import averaged_weights

__all__ = ["FINE_TUNE", "HEAD", "LATE", "FloatStage"]

HEAD, FINE_TUNE, LATE = "head", "fine-tune", "late"
"""Phases: the dense layer alone; with the backbone; with fewer of its blocks (FreezeOut, Brock et al. 2017)."""
_EVALUATION_BATCH_GPU = 512


class FloatStage:
    """Trains the float network epoch by epoch; every epoch ends with a checkpoint from which ``--resume`` goes on.

    Args:
        recipe: the recipe of the run.
        data: what to train on.
        folder: where weights, checkpoints and tables go.
        devices: what to train on; None takes the one that Keras takes.

    Raises:
        UsageError: a batch does not split over the devices, or there are no images.
    """

    def __init__(self, recipe: Recipe, data: TrainingData, folder: RunFolder, devices: Devices | None = None) -> None:
        self.recipe, self.data, self.folder = recipe, data, folder
        self.devices = devices or Devices()
        batch = min(recipe.batch_size, len(data.images))
        if batch % self.devices.count:
            raise UsageError(f"a batch of {batch} images does not split over {self.devices.count} devices")
        keras.utils.set_random_seed(recipe.seed)
        keras.config.set_dtype_policy(choose_precision(recipe.precision))
        self.devices.enter()
        self._local: Any = None
        self._steps: Any = None
        self._kept_at = -math.inf
        self.size = self._size_at(0)
        self.teachers: LiveTeachers | None = None
        if recipe.live_teachers:
            self.teachers = load_teachers(recipe.live_teachers, self.size, recipe.teacher_temperature, runner)
        self.network, self.trainer = self._build(self.size, None if recipe.start_from else recipe.backbone)
        if recipe.start_from and not self._has_checkpoint():
            LOG.debug(f"first weights: {recipe.start_from}")
            load_float_weights(Path(recipe.start_from), self.network)
        self.history: list[EpochMetrics] = []
        self.best_accuracy = -1.0
        self.phase = ""
        self.steps = len(self._batches(0))
        if self.steps == 0:
            raise UsageError("the train split has no images")

    def run(self, *, resume: bool) -> None:
        """Train the remaining epochs. Leaves ``float.weights.h5`` of the best epoch and ``metrics.csv``.

        Args:
            resume: go on after the last complete epoch.
        """
        checkpoint = load_checkpoint(self.folder.float_checkpoint) if resume and self._has_checkpoint() else None
        start = 0
        if checkpoint is not None:
            start = int(checkpoint.record["epochs_done"])
            self.history = rows_from_json(checkpoint.record["history"])
            self.best_accuracy = float(checkpoint.record["best_accuracy"])
            LOG.debug(f"resuming from {self.folder.float_checkpoint}")
        self.devices.require_equal(start, "the last complete epoch")
        if start >= self.recipe.epochs:
            if self.history and self.devices.hosts.is_first:
                write_metrics(self.folder.metrics, self.history)  # a kill may have come just before
            if self.recipe.epochs == 0 and self.devices.hosts.is_first and not self.folder.float_weights.exists():
                self._save_best()  # what --start-from gave is the float network
            return
        first = self.devices.hosts.is_first
        log = TensorBoardLog(self.folder.tensorboard, "float") if first else None
        with stage_progress("float", self.recipe.epochs, self.steps, start) as progress:
            if start:
                progress.say(f"float stage continues after epoch {start} of {self.recipe.epochs}")
            for epoch in range(start, self.recipe.epochs):
                self._enter(epoch, checkpoint)
                checkpoint = None
                row = self._epoch(epoch, progress)
                self.history.append(row)
                if log is None:
                    continue
                self._keep(row)
                log.add(row)
                progress.say(
                    f"float {epoch + 1:3d}/{self.recipe.epochs} {row.phase:9s} loss {row.loss:.3f} "
                    f"accuracy {row.accuracy:.1%}  validation loss {row.val_loss:.3f} accuracy {row.val_accuracy:.2%} "
                    f"(best {self.best_accuracy:.2%})  {row.seconds:.0f} s, "
                    f"{self.steps * self.recipe.batch_size / row.seconds:.0f} images/s"
                )
        if log is not None:
            log.close()

    def evaluate(self) -> Evaluation:
        """The network as it is now, over the validation split.

        Returns:
            Probabilities and labels.
        """
        if self._steps is not None and not on_cpu():
            return self._evaluate(self._steps, _EVALUATION_BATCH_GPU)
        with self.devices.local():
            return self._evaluate(KerasClassifier(runner(self._on_one_device())))

    def evaluate_teachers(self) -> Evaluation | None:
        """The live teachers' mean answer over the validation split; None without any.

        Returns:
            Probabilities and labels, or None.
        """
        return None if self.teachers is None else self._evaluate(self.teachers)

    def _evaluate(self, classifier: Any, batch: int = EVALUATION_BATCH) -> Evaluation:
        images, labels = self.data.validation_images, self.data.validation_labels
        return evaluate_classifier(classifier, images, labels, "validation", batch=batch)

    def finish(self) -> Any:
        """The network with its best weights, on one device; several devices and hosts are done with.

        Returns:
            The network.
        """
        with self.devices.local():
            network = self._on_one_device()
            if self.devices.hosts.is_first:
                network.load_weights(self.folder.float_weights)
        self.devices.leave()
        self.network, self._steps = network, None
        self.devices = Devices()
        return network

    def get_ready(self) -> None:
        """Compile for the first epoch, for those who call :meth:`fit_epoch` themselves."""
        self._enter(0, None)

    def first_batch(self) -> tuple[npt.NDArray[np.uint8], FloatArray, FloatArray]:
        """Faces, targets and weights of the first batch of the first epoch.

        Returns:
            Faces ``(B, S, S)`` uint8, targets ``(B, 7)`` float32, weights ``(B,)`` float32.
        """
        return self._batches(0)[0]

    def _on_one_device(self) -> Any:
        """The network itself, or its copy where the network is spread over several devices."""
        if self.devices.distribution is None:
            return self.network
        if self._local is None or self._local.input_shape != self.network.input_shape:
            self._local = self._network(self.size, None)
        copy_weights(self.network, self._local)
        return self._local

    def _build(self, size: int, backbone: str | None) -> tuple[Any, Any]:
        """The network, and the model that is trained: raw grey faces in, then augmentation and network."""
        network = self._network(size, backbone)
        # Augmentation is a layer in front of the network: it runs on the training device, inside the compiled step.
        raw = keras.layers.Input((size, size), dtype="uint8", name="raw")
        self._augment, self._runner = Augment(self.recipe), runner(network)
        faces = self._augment(raw)
        answers = self._runner(faces)
        if self.teachers is not None:
            answers = keras.layers.Concatenate(dtype="float32", name="taught")([answers, self.teachers(faces)])
        return network, keras.Model(raw, answers, name="trainer")

    @property
    def _state(self) -> list[Any]:
        """The trainer's variables that training changes: all but those of live teachers."""
        fixed = {id(variable) for variable in self.teachers.variables} if self.teachers is not None else set()
        return [variable for variable in self.trainer.variables if id(variable) not in fixed]

    def _network(self, size: int, backbone: str | None) -> Any:
        recipe = self.recipe
        return build_network(
            keras,
            size,
            network=recipe.network,
            backbone=backbone,
            dropout=recipe.dropout,
            bn_momentum=recipe.bn_momentum,
        )

    def _size_at(self, epoch: int) -> int:
        """Input size of an epoch: smaller, and so faster, in the first ones when the recipe says so."""
        recipe = self.recipe
        if recipe.progressive_size and epoch < self._late_from:
            return min(recipe.progressive_size, recipe.input_size)
        return recipe.input_size

    @property
    def _late_from(self) -> int:
        return round(self.recipe.progressive_fraction * self.recipe.epochs)

    def _phase_at(self, epoch: int) -> str:
        if epoch < self.recipe.head_epochs:
            return HEAD
        fewer = self.recipe.late_blocks < self.recipe.trainable_blocks
        return LATE if fewer and epoch >= self._late_from else FINE_TUNE

    def _enter_size(self, size: int) -> None:
        """Rebuild for another input size; every weight and all optimizer state fit, since convolutions slide."""
        if size == self.size:
            return
        old, compiled = self.trainer, bool(self.phase)
        state = [to_numpy(variable) for variable in self._state]
        optimizer_state = [to_numpy(variable) for variable in old.optimizer.variables] if compiled else []
        self.size = size
        self.network, self.trainer = self._build(size, None)
        assign_all(self._state, state, "network")
        if compiled:
            phase, self.phase = self.phase, ""
            self._compile(phase)
            assign_all(self.trainer.optimizer.variables, optimizer_state, "optimizer")

    def _has_checkpoint(self) -> bool:
        return self.folder.float_checkpoint.exists()

    def _batches(self, epoch: int) -> Batches:
        return Batches(
            self.data.images,
            self.data.targets,
            self.data.weights,
            input_size=self.size,
            batch_size=self.recipe.batch_size,
            seed=self.recipe.seed,
            epoch=epoch,
            mixing=Mixing(self.recipe.mixup, self.recipe.cutmix),
            part=self.devices.part,
        )

    def _compile(self, phase: str) -> None:
        """Free and freeze layers for a phase. Its optimizer and schedule are new, but the late phase goes on with those
        of fine-tuning, for what is still trained."""
        recipe = self.recipe
        head = phase == HEAD
        set_trainable_blocks(
            self.network, 0 if head else recipe.late_blocks if phase == LATE else recipe.trainable_blocks
        )
        former = self.trainer.optimizer if (self.phase, phase) == (FINE_TUNE, LATE) else None
        epochs = min(recipe.head_epochs, recipe.epochs) if head else recipe.epochs - recipe.head_epochs
        rate = recipe.head_learning_rate if head else recipe.learning_rate
        total = max(epochs * self.steps, 1)
        warmup = min(int(recipe.warmup_epochs * self.steps), total // 4)
        # Where epochs have few steps, hundreds of them are a long time.
        memory = min(recipe.ema_decay, 1.0 - 1.0 / (2 * self.steps))
        optimizer = make_optimizer(dataclasses.replace(recipe, ema_decay=memory), rate, total, warmup)
        taught = self.teachers is not None
        self.trainer.compile(
            optimizer=optimizer,
            loss=taught_cross_entropy(recipe.teacher_weight) if taught else "categorical_crossentropy",
            weighted_metrics=[accuracy if taught else "accuracy"],
        )
        optimizer.build(self.trainer.trainable_variables)
        if former is not None:
            state = {variable.name: to_numpy(variable) for variable in former.variables}
            assign_all(optimizer.variables, [state[each.name] for each in optimizer.variables], "optimizer")
        self.phase = phase
        self._steps = None

    def plain_steps(self) -> Any | None:
        """Steps in plain PyTorch, which a GPU replays as one graph; None where Keras' own loop trains.

        Returns:
            A :class:`fer_train.training.torch_steps.TorchSteps`, or None.
        """
        fused = self._runner is not self.network and keras.backend.backend() == "torch"
        if not fused or self.recipe.optimizer != "adamw":
            return None
        if self._steps is None:
            from fer_train.training.torch_steps import TorchSteps

            self._steps = TorchSteps(
                self._runner,
                self._augment,
                self.trainer.optimizer,
                teachers=self.teachers,
                teacher_weight=self.recipe.teacher_weight,
            )
        return self._steps

    def _enter(self, epoch: int, checkpoint: Checkpoint | None) -> None:
        """Get ready for an epoch; with a checkpoint, put everything back as it was when that was written."""
        self._enter_size(self._size_at(epoch))
        if checkpoint is not None:
            self._compile(checkpoint.record["phase"])
            assign_all(self._state, checkpoint.network, "network")
            assign_all(self.trainer.optimizer.variables, checkpoint.optimizer, "optimizer")
        phase = self._phase_at(epoch)
        if phase != self.phase:
            self._compile(phase)

    def _epoch(self, epoch: int, progress: StageProgress) -> EpochMetrics:
        started = time.monotonic()
        loss, accuracy = self.fit_epoch(epoch, progress)
        evaluation = self._evaluate_and_keep_best()
        return EpochMetrics(
            stage="float",
            phase=self.phase,
            epoch=epoch + 1,
            loss=loss,
            accuracy=accuracy,
            val_loss=cross_entropy(evaluation),
            val_accuracy=evaluation.accuracy,
            val_accuracy_int8=None,
            learning_rate=float(to_numpy(self.trainer.optimizer.learning_rate)),
            seconds=time.monotonic() - started,
        )

    def _evaluate_and_keep_best(self) -> Evaluation:
        """Of the plain weights and their average the better, which is saved where it is the best so far."""
        plain = self.evaluate()
        if self.trainer.optimizer.use_ema:
            with averaged_weights(self.trainer):
                averaged = self.evaluate()
                if averaged.accuracy >= plain.accuracy:
                    self._keep_if_best(averaged)
                    return averaged
        self._keep_if_best(plain)
        return plain

    def _keep_if_best(self, evaluation: Evaluation) -> None:
        """Save the weights as they are now, of which this is the evaluation."""
        if evaluation.accuracy > self.best_accuracy:
            self.best_accuracy = evaluation.accuracy
            if self.devices.hosts.is_first:
                self._save_best()

    def fit_epoch(self, epoch: int, progress: StageProgress) -> tuple[float, float]:
        """Train on all batches of an epoch. Evaluation and checkpoint are for the caller.

        Args:
            epoch: counted from 0.
            progress: shows every batch.

        Returns:
            Mean loss in nats and accuracy, 0 to 1.
        """
        progress.start_epoch(epoch)
        steps = self.plain_steps()
        if steps is None:
            return keras_epoch(self.trainer, self._batches(epoch), epoch, progress)
        return torch_epoch(steps, self._batches(epoch), self.recipe.seed, epoch, progress)

    def _save_best(self) -> None:
        save_weights(self._on_one_device(), self.folder.float_weights)

    def _keep(self, row: EpochMetrics) -> None:
        write_metrics(self.folder.metrics, self.history)
        now = time.monotonic()
        if row.epoch < self.recipe.epochs and now - self._kept_at < self.recipe.checkpoint_seconds:
            return
        self._kept_at = now
        save_checkpoint(
            self.folder.float_checkpoint,
            [to_numpy(variable) for variable in self._state],
            [to_numpy(variable) for variable in self.trainer.optimizer.variables],
            {
                "epochs_done": row.epoch,
                "phase": row.phase,
                "best_accuracy": self.best_accuracy,
                "history": [dataclasses.asdict(each) for each in self.history],
            },
        )
