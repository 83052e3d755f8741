"""The float stage: Keras 3 on any of its engines; the head alone first, then the backbone too."""

from __future__ import annotations

import contextlib
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
from fer_train.evaluation.evaluate import Evaluation, cross_entropy
from fer_train.inputs.augment import Augment
from fer_train.inputs.batches import Batches
from fer_train.inputs.disturbing import Disturbing, disturbed_validation
from fer_train.inputs.mixing import Mixing
from fer_train.inputs.training_data import TrainingData
from fer_train.logs import LOG
from fer_train.networks.build import copy_weights
from fer_train.networks.engine import choose_precision, on_cpu, runner, to_numpy
from fer_train.networks.keras_classifier import KerasClassifier
from fer_train.runs.history import EpochMetrics, rows_from_json, write_metrics
from fer_train.runs.network_of import network_of
from fer_train.runs.packed_weights import write_packed
from fer_train.runs.recipe import Recipe
from fer_train.runs.run_folder import RunFolder
from fer_train.runs.tensorboard import TensorBoardLog
from fer_train.runs.trained import begin_with
from fer_train.runs.weights import save_weights
from fer_train.training.checkpoint import Checkpoint, assign_all, load_checkpoint, save_checkpoint
from fer_train.training.devices import Devices
from fer_train.training.epoch_loops import keras_epoch, torch_epoch
from fer_train.training.epoch_sums import EpochSums
from fer_train.training.judging import Judged, judge
from fer_train.training.live_teachers import LiveTeachers, load_teachers
from fer_train.training.objective import Objective
from fer_train.training.optimizer import make_optimizer
from fer_train.training.phases import FINE_TUNE, LATE, free_blocks, peak_and_epochs, phase_at, size_at
from fer_train.training.stage_progress import StageProgress, stage_progress
from fer_train.training.weight_average import averaged_weights

__all__ = ["FloatStage"]

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
        self._so_far = EpochSums()
        self.objective = Objective.of(recipe)
        self.disturbing = Disturbing.of(recipe, with_clean=not self.objective.is_plain)
        self.disturbed = disturbed_validation(recipe, data)
        self.size = size_at(recipe, 0)
        self.teachers: LiveTeachers | None = None
        if recipe.live_teachers:
            self.teachers = load_teachers(recipe.live_teachers, self.size, recipe.teacher_temperature, runner)
        self.network, self.trainer = self._build(self.size, None if recipe.start_from else recipe.backbone)
        if recipe.start_from and not self._has_checkpoint():
            LOG.debug(f"first weights: {recipe.start_from}")
            begin_with(Path(recipe.start_from), recipe, self.network, data.images)
        self.history: list[EpochMetrics] = []
        self.best_score = -1.0
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
            self.best_score = float(checkpoint.record["best_accuracy"])
            self._so_far = EpochSums(**checkpoint.record.get("epoch_so_far", {}))
            LOG.debug(f"resuming from {self.folder.float_checkpoint}")
        self.devices.require_equal(start * self.steps + self._so_far.steps, "how many batches are done")
        if start >= self.recipe.epochs:
            if self.history and self.devices.hosts.is_first:
                write_metrics(self.folder.metrics, self.history)  # a kill may have come just before
            if self.recipe.epochs == 0 and self.devices.hosts.is_first and not self.folder.float_weights.exists():
                self._save_best()  # what --start-from gave is the float network
            return
        first = self.devices.hosts.is_first
        log = TensorBoardLog(self.folder.tensorboard, "float") if first else None
        with stage_progress("float", self.recipe.epochs, self.steps, start) as progress:
            if start or self._so_far.steps:
                within = f" and {self._so_far.steps} batches" if self._so_far.steps else ""
                progress.say(f"float stage continues after epoch {start} of {self.recipe.epochs}{within}")
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
                    f"accuracy {row.accuracy:.1%}  validation loss {row.val_loss:.3f} accuracy {row.val_accuracy:.2%}"
                    f"{self._judged.words} (best {self.best_score:.2%})  {row.seconds:.0f} s, "
                    f"{self._fresh_steps * self.recipe.batch_size / row.seconds:.0f} images/s"
                )
        if log is not None:
            log.close()

    def evaluate(self) -> Evaluation:
        """The network as it is now, over the validation split.

        Returns:
            Probabilities and labels.
        """
        return self.judge().clean

    def judge(self) -> Judged:
        """The network as it is now, over the validation split, and over disturbed faces of it where training has some.

        Returns:
            Its answers.
        """
        if self._steps is not None and not on_cpu():
            return judge(self._steps, self.data, self.disturbed, _EVALUATION_BATCH_GPU)
        with self.devices.local():
            return judge(KerasClassifier(runner(self._on_one_device())), self.data, self.disturbed)

    def evaluate_teachers(self) -> Evaluation | None:
        """The live teachers' mean answer over the validation split; None without any.

        Returns:
            Probabilities and labels, or None.
        """
        return None if self.teachers is None else judge(self.teachers, self.data, None).clean

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
        shape = (2, size, size) if self.disturbing and self.disturbing.with_clean else (size, size)
        raw = keras.layers.Input(shape, dtype="uint8", name="raw")
        self._augment, self._runner = Augment(self.recipe), runner(network)
        answers = self.objective.answers(self._augment(raw), self._runner, self.teachers)
        return network, keras.Model(raw, answers, name="trainer")

    @property
    def _state(self) -> list[Any]:
        """The trainer's variables that training changes: all but those of live teachers."""
        fixed = {id(variable) for variable in self.teachers.variables} if self.teachers is not None else set()
        return [variable for variable in self.trainer.variables if id(variable) not in fixed]

    def _network(self, size: int, backbone: str | None) -> Any:
        return network_of(self.recipe, keras, input_size=size, backbone=backbone)

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
            disturbing=self.disturbing,
            part=self.devices.part,
        )

    def _compile(self, phase: str) -> None:
        """Free and freeze layers for a phase. Its optimizer and schedule are new, but the late phase goes on with those
        of fine-tuning, for what is still trained."""
        recipe = self.recipe
        free_blocks(recipe, phase, self.network)
        former = self.trainer.optimizer if (self.phase, phase) == (FINE_TUNE, LATE) else None
        rate, epochs = peak_and_epochs(recipe, phase)
        total = max(epochs * self.steps, 1)
        warmup = min(int(recipe.warmup_epochs * self.steps), total // 4)
        # Where epochs have few steps, hundreds of them are a long time.
        memory = min(recipe.ema_decay, 1.0 - 1.0 / (2 * self.steps))
        optimizer = make_optimizer(dataclasses.replace(recipe, ema_decay=memory), rate, total, warmup)
        plain = self.objective.is_plain
        self.trainer.compile(
            optimizer=optimizer,
            loss="categorical_crossentropy" if plain else self.objective.loss,
            weighted_metrics=["accuracy" if plain else self.objective.accuracy],
        )
        optimizer.build(self.trainer.trainable_variables)
        if former is not None:
            state = {variable.name: to_numpy(variable) for variable in former.variables}
            assign_all(optimizer.variables, [state[slot.name] for slot in optimizer.variables], "optimizer")
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

            optimizer = self.trainer.optimizer
            self._steps = TorchSteps(self._runner, self._augment, optimizer, self.objective, teachers=self.teachers)
        return self._steps

    def _enter(self, epoch: int, checkpoint: Checkpoint | None) -> None:
        """Get ready for an epoch; with a checkpoint, put everything back as it was when that was written."""
        self._enter_size(size_at(self.recipe, epoch))
        if checkpoint is not None:
            self._compile(checkpoint.record["phase"])
            assign_all(self._state, checkpoint.network, "network")
            assign_all(self.trainer.optimizer.variables, checkpoint.optimizer, "optimizer")
        phase = phase_at(self.recipe, epoch)
        if phase != self.phase:
            self._compile(phase)

    def _epoch(self, epoch: int, progress: StageProgress) -> EpochMetrics:
        started = time.monotonic()
        loss, accuracy = self.fit_epoch(epoch, progress)
        self._judged = self._judge_and_keep_best()
        evaluation = self._judged.clean
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
            **self._judged.accuracies,
        )

    def _judge_and_keep_best(self) -> Judged:
        """Of the plain weights and their average the better, which is saved where it is the best so far."""
        plain = self.judge()
        if self.trainer.optimizer.use_ema:
            with averaged_weights(self.trainer):
                averaged = self.judge()
                if averaged.score >= plain.score:
                    self._keep_if_best(averaged)
                    return averaged
        self._keep_if_best(plain)
        return plain

    def _keep_if_best(self, judged: Judged) -> None:
        """Save the weights as they are now, of which this is the evaluation."""
        if judged.score > self.best_score:
            self.best_score = judged.score
            if self.devices.hosts.is_first:
                self._save_best()

    def fit_epoch(self, epoch: int, progress: StageProgress) -> tuple[float, float]:
        """Train on all batches of an epoch that are left. Evaluation and the checkpoint after it are for the caller.

        Args:
            epoch: counted from 0.
            progress: shows every batch.

        Returns:
            Mean loss in nats and accuracy, 0 to 1.
        """
        progress.start_epoch(epoch, self._so_far.steps)
        self._fresh_steps = self.steps - self._so_far.steps
        steps, batches = self.plain_steps(), self._batches(epoch)
        while (start := self._so_far.steps) < len(batches):
            piece = batches.piece(start, start + (self.recipe.checkpoint_steps or len(batches)))
            if steps is None:
                loss, accuracy = keras_epoch(self.trainer, piece, epoch, progress)
            else:
                loss, accuracy = torch_epoch(steps, piece, self.recipe.seed, epoch, progress)
            self._so_far.add(loss, accuracy, steps=len(piece))
            if self._so_far.steps < len(batches):
                self._save_checkpoint(epoch)
        done, self._so_far = self._so_far, EpochSums()
        return done.means()

    def _save_best(self) -> None:
        network = self._on_one_device()
        save_weights(network, self.folder.float_weights)
        if self.recipe.half_weights:
            write_packed(self.folder.best_half, network.get_weights())

    def _save_latest(self) -> None:
        average = averaged_weights(self.trainer) if self.trainer.optimizer.use_ema else contextlib.nullcontext()
        with average:
            write_packed(self.folder.latest_half, self._on_one_device().get_weights())

    def _keep(self, row: EpochMetrics) -> None:
        write_metrics(self.folder.metrics, self.history)
        self._save_checkpoint(row.epoch)

    def _save_checkpoint(self, epochs_done: int) -> None:
        now = time.monotonic()
        if not self.devices.hosts.is_first or (
            epochs_done < self.recipe.epochs and now - self._kept_at < self.recipe.checkpoint_seconds
        ):
            return
        self._kept_at = now
        if self.recipe.half_weights:
            self._save_latest()
        save_checkpoint(
            self.folder.float_checkpoint,
            [to_numpy(variable) for variable in self._state],
            [to_numpy(variable) for variable in self.trainer.optimizer.variables],
            {
                "epochs_done": epochs_done,
                "epoch_so_far": dataclasses.asdict(self._so_far),
                "phase": self.phase,
                "best_accuracy": self.best_score,
                "history": [dataclasses.asdict(epoch) for epoch in self.history],
            },
        )
