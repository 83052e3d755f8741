"""The average of the weights over the steps (float stage): how fast it forgets, and how it takes the weights' place."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fer_train.runs.packed_weights import write_packed
from fer_train.training import keras_optimizer


def average_decay(step: int, decay: float) -> float:
    """Share that the average of the weights keeps of itself at optimizer step ``step`` (from 0): ``decay`` in the end.

    It is ``min(decay, (1 + step) / (10 + step))``, so the average reaches back over about a ninth of the steps so far
    until ``decay`` is reached, and the untrained weights of the first steps are soon forgotten. With a fixed 0.998 the
    first value would still weigh 82 % after 100 steps. Source: ``num_updates`` of TensorFlow's
    ``tf.train.ExponentialMovingAverage`` (https://www.tensorflow.org/api_docs/python/tf/train/ExponentialMovingAverage).

    Args:
        step: Steps that the optimizer has made before this one; at 0 the new weights are the whole average.
        decay: Upper bound of the result, in [0, 1).

    Returns:
        A share in [0, 1).
    """
    return min(decay, (1 + step) / (10 + step)) if step else 0.0


def average_from_the_first_step(optimizer: Any) -> None:
    """Replace a Keras optimizer's average of fixed decay, on this object alone, by that of :func:`average_decay`.

    Keras calls this method once in every step on each of its engines, before it counts the step.
    """
    from keras import ops

    def update(trainable_variables: list[Any]) -> None:
        step = ops.cast(optimizer.iterations, "float32")
        kept = ops.minimum(float(optimizer.ema_momentum), (1.0 + step) / (10.0 + step))
        kept = ops.where(step > 0, kept, 0.0)
        for variable, average in zip(trainable_variables, keras_optimizer.averages(optimizer), strict=True):
            share = ops.cast(1.0 - kept, average.dtype)
            average.assign(average + share * (ops.convert_to_tensor(variable) - average))

    keras_optimizer.average_by(optimizer, update)


@contextlib.contextmanager
def averaged_weights(trainer: Any) -> Iterator[None]:
    """Within the block a compiled Keras model has the averages as its weights; after it the plain ones again."""
    import keras

    to_numpy = keras.ops.convert_to_numpy
    variables = trainer.trainable_variables
    # Copies: on JAX variable and average would share a buffer that is given away later.
    plain = [np.array(to_numpy(variable)) for variable in variables]
    averages = [np.array(to_numpy(average)) for average in keras_optimizer.averages(trainer.optimizer)]
    _assign(variables, averages)
    try:
        yield
    finally:
        _assign(variables, plain)


def write_averaged(trainer: Any, network: Callable[[], Any], path: Path) -> None:
    """Write a network's weights in half precision, averaged where its optimizer averages.

    Args:
        trainer: The compiled Keras model.
        network: Gives the network, on one device, with the weights that the trainer then has.
        path: The ``.npz`` file.
    """
    with averaged_weights(trainer) if trainer.optimizer.use_ema else contextlib.nullcontext():
        write_packed(path, network().get_weights())


def _assign(variables: list[Any], values: list[Any]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
