"""Random changes of training images, computed on the training device as a Keras layer."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from fer_edge.preprocess import INPUT_MAX, INPUT_MIN, INPUT_SCALE, PIXEL_ZERO
from fer_train.runs.recipe import Recipe

__all__ = ["Augment"]


class Augment(keras.layers.Layer):  # type: ignore[misc]
    """Grey faces ``(B, S, S)`` uint8 to network input ``(B, S, S, 3)`` float32 in [-1, 127/128].

    Several views of each face, ``(B, V, S, S)``, are changed alike, to ``(B, V, S, S, 3)``.

    In training: one affine sampling step (flip, rotation, zoom, shift; edges replicated, so that there are no black
    corners), contrast and brightness, and random erasing, each drawn for every image. Otherwise the plain scaling of
    :func:`fer_edge.preprocess.to_float_input`. Values stay in the range that the quantised input can hold.

    Args:
        recipe: how much of each change, and the seed.
        **kwargs: as for :class:`keras.layers.Layer`.
    """

    def __init__(self, recipe: Recipe, **kwargs: Any) -> None:
        super().__init__(dtype="float32", autocast=False, name="augment", **kwargs)
        self.recipe = recipe
        self.random = keras.random.SeedGenerator(recipe.seed)

    def _draw(self, count: Any, limit: float) -> Any:
        return keras.random.uniform((count,), -limit, limit, seed=self.random)

    def call(self, faces: Any, training: bool = False) -> Any:
        """Scale, and in training change, a batch of faces.

        Args:
            faces: ``(B, S, S)`` or ``(B, V, S, S)`` uint8, grey.
            training: whether to change them.

        Returns:
            ``(B, S, S, 3)`` or ``(B, V, S, S, 3)`` float32, ``(p - 128) / 128``.
        """
        views = len(faces.shape) == 4
        # Views take the place of channels, which all changes treat alike.
        pixels = ops.transpose(faces, (0, 2, 3, 1)) if views else ops.expand_dims(faces, -1)
        x = (ops.cast(pixels, "float32") - PIXEL_ZERO) * INPUT_SCALE
        if training:
            x = self._photometric(self._erase(self._affine(x)))
            x = ops.clip(x, INPUT_MIN, INPUT_MAX)
        if views:
            x = ops.expand_dims(ops.transpose(x, (0, 3, 1, 2)), -1)
        return ops.repeat(x, 3, axis=-1)

    def _affine(self, x: Any) -> Any:
        recipe = self.recipe
        count, size = ops.shape(x)[0], x.shape[1]
        angle = self._draw(count, math.radians(recipe.rotation_degrees))
        scale = ops.exp(self._draw(count, recipe.zoom))  # as often smaller as larger
        mirror = ops.where(keras.random.uniform((count,), seed=self.random) < recipe.flip, -1.0, 1.0)
        shift_x = self._draw(count, recipe.shift * size)
        shift_y = self._draw(count, recipe.shift * size)
        # Maps an output pixel to the input pixel that it shows, about the image's centre.
        cos, sin = ops.cos(angle) * scale, ops.sin(angle) * scale
        centre = (size - 1) / 2.0
        a0, a1, b0, b1 = cos * mirror, -sin, sin * mirror, cos
        a2 = centre - a0 * centre - a1 * centre + shift_x
        b2 = centre - b0 * centre - b1 * centre + shift_y
        zero = ops.zeros_like(a0)
        transform = ops.stack([a0, a1, a2, b0, b1, b2, zero, zero], axis=1)
        if keras.backend.backend() == "torch":
            from fer_train.networks.torch_fused import sample_affine

            return sample_affine(x, transform)
        return ops.image.affine_transform(
            x, transform, interpolation="bilinear", fill_mode="nearest", data_format="channels_last"
        )

    def _photometric(self, x: Any) -> Any:
        count = ops.shape(x)[0]
        gain = ops.exp(self._draw(count, self.recipe.contrast))[:, None, None, None]
        bias = self._draw(count, 2.0 * self.recipe.brightness)[:, None, None, None]
        mean = ops.mean(x, axis=(1, 2), keepdims=True)
        return (x - mean) * gain + mean + bias

    def _erase(self, x: Any) -> Any:
        """Random erasing (Zhong et al. 2020): a rectangle of a sixth to a half of each side turns mid-grey."""
        if not self.recipe.erase:
            return x
        count, size = ops.shape(x)[0], x.shape[1]
        on = keras.random.uniform((count, 1), seed=self.random) < self.recipe.erase
        inside = []
        for _ in range(2):
            length = keras.random.uniform((count, 1), size / 6.0, size / 2.0, seed=self.random)
            start = keras.random.uniform((count, 1), 0.0, 1.0, seed=self.random) * (size - length)
            position = ops.arange(size, dtype="float32")[None, :]
            inside.append(ops.logical_and(position >= start, position < start + length))
        mask = ops.logical_and(inside[0][:, :, None], inside[1][:, None, :])
        mask = ops.logical_and(mask, on[:, :, None])[..., None]
        return ops.where(mask, 0.0, x)
