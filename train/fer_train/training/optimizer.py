"""Optimizer, learning-rate schedule and weight average of the float stage, from Keras' own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fer_train.training.weight_average import average_from_the_first_step

if TYPE_CHECKING:
    from fer_train.runs.recipe import Recipe

_MOMENTUM: Final[float] = 0.9
_LEAST_RATE: Final[float] = 0.01


def make_optimizer(recipe: Recipe, peak: float, steps: int, warmup_steps: int) -> Any:
    """A Keras optimizer for ``steps`` steps, of which the first ``warmup_steps`` rise linearly to the rate ``peak``.

    ``cosine`` then falls to a hundredth of ``peak`` (Loshchilov and Hutter 2017), ``constant`` stays. ``adamw`` is
    Loshchilov and Hutter 2019, ``sgd`` has Nesterov momentum 0.9; weight decay is decoupled in both, times the rate,
    and spares offsets and BatchNorm. With ``ema_decay`` the optimizer also averages the weights, with the growing
    memory of :func:`fer_train.training.weight_average.average_decay`.
    """
    import keras

    schedule = keras.optimizers.schedules.CosineDecay(
        peak / 20.0,
        max(steps - warmup_steps, 1),
        alpha=_LEAST_RATE if recipe.schedule == "cosine" else 1.0,
        warmup_target=peak,
        warmup_steps=warmup_steps,
    )
    common: dict[str, Any] = {
        "weight_decay": recipe.weight_decay,
        "use_ema": recipe.ema_decay > 0,
        "ema_momentum": recipe.ema_decay or 0.99,
        "global_clipnorm": recipe.clip_gradients or None,
    }
    optimizer = (
        keras.optimizers.AdamW(schedule, **common)
        if recipe.optimizer == "adamw"
        else keras.optimizers.SGD(schedule, momentum=_MOMENTUM, nesterov=True, **common)
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    if recipe.ema_decay > 0:
        average_from_the_first_step(optimizer)
    return optimizer
