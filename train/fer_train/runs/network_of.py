"""The network that a recipe describes."""

from __future__ import annotations

from typing import Any

from fer_train.networks.build import build_network
from fer_train.runs.recipe import Recipe

__all__ = ["network_of"]


def network_of(recipe: Recipe, keras: Any, *, input_size: int | None = None, backbone: str | None = None) -> Any:
    """Build the network of a recipe.

    Args:
        recipe: the recipe.
        keras: the module to build with, ``keras`` (3) or ``tf_keras``.
        input_size: side of the square input in pixels; None is the recipe's.
        backbone: weights to begin with, as of :func:`fer_train.networks.build.build_network`; None is random.

    Returns:
        The network.

    Raises:
        UsageError: the size does not work.
        ModelError: the backbone's weights do not load.
    """
    return build_network(
        keras,
        input_size or recipe.input_size,
        network=recipe.network,
        width=recipe.width,
        last_channels=recipe.last_channels,
        backbone=backbone,
        dropout=recipe.dropout,
        bn_momentum=recipe.bn_momentum,
    )
