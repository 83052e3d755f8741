"""The phases of the float stage: what of the network learns in an epoch, and at which input size."""

from __future__ import annotations

from typing import Any, Final

from fer_train.networks.build import set_trainable_blocks
from fer_train.runs.recipe import Recipe

__all__ = ["FINE_TUNE", "HEAD", "LATE", "free_blocks", "peak_and_epochs", "phase_at", "size_at"]

HEAD: Final[str] = "head"
"""The dense layer alone."""
FINE_TUNE: Final[str] = "fine-tune"
"""With the backbone."""
LATE: Final[str] = "late"
"""With fewer of its blocks (FreezeOut, Brock et al. 2017)."""


def size_at(recipe: Recipe, epoch: int) -> int:
    """Input size of an epoch: smaller, and so faster, in the first ones when the recipe says so.

    Args:
        recipe: the recipe of the run.
        epoch: counted from 0.

    Returns:
        Side of the square input in pixels.
    """
    if recipe.progressive_size and epoch < _late_from(recipe):
        return min(recipe.progressive_size, recipe.input_size)
    return recipe.input_size


def phase_at(recipe: Recipe, epoch: int) -> str:
    """Phase of an epoch.

    Args:
        recipe: the recipe of the run.
        epoch: counted from 0.

    Returns:
        One of the three.
    """
    if epoch < recipe.head_epochs:
        return HEAD
    fewer = recipe.late_blocks < recipe.trainable_blocks
    return LATE if fewer and epoch >= _late_from(recipe) else FINE_TUNE


def free_blocks(recipe: Recipe, phase: str, network: Any) -> None:
    """Free and freeze layers for a phase.

    Args:
        recipe: the recipe of the run.
        phase: one of the three.
        network: changed in place.
    """
    blocks = {HEAD: 0, LATE: recipe.late_blocks}.get(phase, recipe.trainable_blocks)
    set_trainable_blocks(network, blocks, freeze_batchnorm=recipe.freeze_batchnorm)


def peak_and_epochs(recipe: Recipe, phase: str) -> tuple[float, int]:
    """Peak learning rate of a phase, and for how many epochs its schedule is made.

    Args:
        recipe: the recipe of the run.
        phase: one of the three.

    Returns:
        Rate and epochs.
    """
    if phase == HEAD:
        return recipe.head_learning_rate, min(recipe.head_epochs, recipe.epochs)
    return recipe.learning_rate, recipe.epochs - recipe.head_epochs


def _late_from(recipe: Recipe) -> int:
    return round(recipe.progressive_fraction * recipe.epochs)
