"""The one place that reaches into Keras' optimizers, for what they do not show.

Plain training steps (:mod:`fer_train.training.torch_steps`) share the state of Keras' AdamW, so that checkpoints and
saving stay Keras' own, and the float stage evaluates with the averaged weights before training ends. Keras has no
public names for either; those used here are in 3.9 and in 3.15, and a version without them is refused instead of
training something else without a word.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from fer_edge.errors import MissingDependencyError

VERSIONS: Final[str] = "keras>=3.9,<3.16"
"""As in ``pyproject.toml``."""
_VARIABLES: Final[str] = "_trainable_variables"
_AVERAGES: Final[str] = "_model_variables_moving_average"
_UPDATE_AVERAGES: Final[str] = "_update_model_variables_moving_average"
_MOMENTS: Final[tuple[str, str]] = ("_momentums", "_velocities")
_USES_DECAY: Final[str] = "_use_weight_decay"
_RATE: Final[str] = "_learning_rate"
PRIVATE_NAMES: Final[tuple[str, ...]] = (_VARIABLES, _AVERAGES, _UPDATE_AVERAGES, *_MOMENTS, _USES_DECAY, _RATE)
"""Attributes of a built ``keras.optimizers.AdamW`` that begin with an underscore and are used here."""


def trained_variables(optimizer: Any) -> list[Any]:
    """The variables that a built optimizer changes, in its order."""
    return list(_private(optimizer, _VARIABLES))


def averages(optimizer: Any) -> list[Any]:
    """The averaged weights, one variable for each of :func:`trained_variables`; empty without ``use_ema``."""
    return _one_for_each(optimizer, _AVERAGES) if optimizer.use_ema else []


def average_by(optimizer: Any, update: Callable[[list[Any]], None]) -> None:
    """Let ``update(trained_variables)`` move the averages of this optimizer, in place of Keras' fixed decay.

    Keras calls it once in every step on each of its engines, before it counts the step.
    """
    _private(optimizer, _UPDATE_AVERAGES)
    setattr(optimizer, _UPDATE_AVERAGES, update)


def moments(optimizer: Any) -> list[tuple[Any, Any]]:
    """First and second moment of AdamW for each of :func:`trained_variables` (Kingma and Ba 2015, algorithm 1)."""
    first, second = (_one_for_each(optimizer, name) for name in _MOMENTS)
    return list(zip(first, second, strict=True))


def is_decayed(optimizer: Any, variable: Any) -> bool:
    """Whether weight decay takes hold of ``variable``."""
    return bool(_private(optimizer, _USES_DECAY)(variable))


def rate_at(optimizer: Any, step: int) -> float:
    """Learning rate of step ``step``, counted from 0, by the schedule or the constant that the optimizer was given."""
    import keras

    schedule = _private(optimizer, _RATE)
    if not callable(schedule):
        return float(keras.ops.convert_to_numpy(schedule))
    with keras.device("cpu"):  # a schedule asks which part it is in, which would wait for the device
        return float(schedule(step))


def _one_for_each(optimizer: Any, name: str) -> list[Any]:
    privates, variables = list(_private(optimizer, name)), trained_variables(optimizer)
    if [tuple(private.shape) for private in privates] != [tuple(variable.shape) for variable in variables]:
        raise _another_keras(f"{name} of its {type(optimizer).__name__} does not match the trained variables")
    return privates


def _private(optimizer: Any, name: str) -> Any:
    try:
        return getattr(optimizer, name)
    except AttributeError:
        raise _another_keras(f"its {type(optimizer).__name__} has no {name}") from None


def _another_keras(reason: str) -> MissingDependencyError:
    import keras

    return MissingDependencyError(f'Keras {keras.__version__} does not fit: {reason}; pip install "{VERSIONS}"')
