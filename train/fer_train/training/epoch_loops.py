"""An epoch of the float stage: by Keras' own loop, or by steps in plain PyTorch. Both watch the loss."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np

from fer_edge.errors import CheckFailedError
from fer_train.inputs.batches import Batches
from fer_train.training.stage_progress import StageProgress

_LOSS_CHECK_STEPS = 50


def keras_epoch(trainer: Any, batches: Batches, epoch: int, progress: StageProgress) -> tuple[float, float]:
    """Mean loss and accuracy of a compiled Keras model over ``batches``.

    Raises :class:`CheckFailedError` soon after the loss is no longer a number.
    """
    optimizer = trainer.optimizer
    averaged = bool(optimizer.use_ema)

    class Watch(keras.callbacks.Callback):  # type: ignore[misc]
        """Moves the bar; stops at once when the loss is no longer a number."""

        def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
            note = ""
            if logs and batch % _LOSS_CHECK_STEPS == 0:  # reading the loss waits for the device
                loss = float(keras.ops.convert_to_numpy(logs["loss"]))
                _require_finite(loss, epoch)
                note = f"loss {loss:.3f}"
            progress.step(note)

        def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
            # fit() would overwrite the weights by their average at its end; we swap them in for evaluation only.
            optimizer.use_ema = False

    logs = trainer.fit(
        batches.for_keras(keras),
        epochs=epoch + 1,
        initial_epoch=epoch,
        shuffle=False,  # the batches have their own seeded order, which a resumed run must see again
        verbose=0,
        callbacks=[Watch()],
    ).history
    optimizer.use_ema = averaged
    loss = float(logs["loss"][-1])
    _require_finite(loss, epoch)
    return loss, float(logs["accuracy"][-1])


def torch_epoch(steps: Any, batches: Batches, seed: int, epoch: int, progress: StageProgress) -> tuple[float, float]:
    """The same by :class:`~fer_train.training.torch_steps.TorchSteps`; ``seed`` and ``epoch`` decide what it draws."""

    def after_batch(loss: float | None) -> None:
        if loss is not None:
            _require_finite(loss, epoch)
        progress.step("" if loss is None else f"loss {loss:.3f}")

    own = int(np.random.SeedSequence([seed, epoch, batches.first]).generate_state(1)[0])
    loss, accuracy = steps.epoch(batches, own, after_batch)
    _require_finite(loss, epoch)
    return loss, accuracy


def _require_finite(loss: float, epoch: int) -> None:
    if not math.isfinite(loss):
        raise CheckFailedError(
            f"the loss became {loss} in epoch {epoch + 1}; the last checkpoint and the best weights are kept: "
            "try a lower --learning-rate or --precision float32"
        )
