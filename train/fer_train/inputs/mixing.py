"""Mixing two training images into one, with the targets blended to match: mixup and CutMix.

Done on the batch in numpy, drawn from the seed, the epoch and the batch's number alone: a resumed run mixes the same
pairs, and every Keras engine gets the same batches. It costs about a millisecond a batch, beside the device's work.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fer_edge.arrays import FloatArray

__all__ = ["Batch", "Mixing", "mix"]

Batch = tuple[npt.NDArray[np.uint8], FloatArray, FloatArray]


@dataclass(frozen=True)
class Mixing:
    """Parameters of the two Beta distributions; 0 switches either off. With both on, each image gets one of them."""

    mixup: float = 0.0
    """Alpha of mixup."""
    cutmix: float = 0.0
    """Alpha of CutMix."""

    def __bool__(self) -> bool:
        return self.mixup > 0 or self.cutmix > 0


def mix(batch: Batch, mixing: Mixing, rng: np.random.Generator) -> Batch:
    """Mix every image of a batch with another one of it.

    mixup (Zhang et al. 2018, equation 1): ``share * a + (1 - share) * b``, share from Beta(alpha, alpha). CutMix (Yun
    et al. 2019, section 3.1): a rectangle of ``b`` with the area 1 - share, anywhere, cut off at the borders; the share
    is then what is left of ``a``. Both are drawn for each image instead of once per batch. The loss is the mean of the
    two images' losses by share, their sample weights included: the new weight is the mean of the two weights, and the
    new target the mean of the two targets by share times weight.

    Args:
        batch: faces ``(B, S, S)``, or several views of each ``(B, V, S, S)``, uint8, targets ``(B, 7)`` float32,
            weights ``(B,)`` float32.
        mixing: how much of both.
        rng: where all chance comes from.

    Returns:
        The mixed batch, of the same shapes and types.
    """
    faces, targets, weights = batch
    count, size = len(faces), faces.shape[-1]
    partner = rng.permutation(count)
    chance = 0.5 if mixing.mixup > 0 and mixing.cutmix > 0 else float(mixing.cutmix > 0)
    cut: npt.NDArray[np.bool_] = np.asarray(rng.random(count) < chance)
    share = np.where(cut, _beta(rng, mixing.cutmix, count), _beta(rng, mixing.mixup, count))
    if cut.any():
        mask, left = _rectangles(rng, share, size)
        share = np.where(cut, left, share)
        # Where the rectangle is, b alone; elsewhere a alone. mixup has the same mixture everywhere.
        amount = np.where(cut[:, None, None], 1.0 - mask, share[:, None, None]).astype(np.float32)
    else:
        amount = share[:, None, None].astype(np.float32)
    if faces.ndim > amount.ndim:
        amount = amount[:, None]  # all views of a face alike
    mixed = amount * faces + (1.0 - amount) * faces[partner]
    own, other = share * weights, (1.0 - share) * weights[partner]
    blended = own[:, None] * targets + other[:, None] * targets[partner]
    total = own + other
    return (
        np.rint(mixed).astype(np.uint8),
        (blended / np.maximum(total, 1e-12)[:, None]).astype(np.float32),
        total.astype(np.float32),
    )


def _beta(rng: np.random.Generator, alpha: float, count: int) -> npt.NDArray[np.float64]:
    return rng.beta(alpha, alpha, count) if alpha > 0 else np.ones(count)


def _rectangles(
    rng: np.random.Generator, share: npt.NDArray[np.float64], size: int
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
    """Rectangles ``(B, S, S)`` of the area ``1 - share`` before clipping, and the share of the image left of them."""
    half = size * np.sqrt(1.0 - share) / 2.0
    inside = []
    for _ in range(2):
        centre = rng.uniform(0.0, size, len(share))
        low = np.clip(np.rint(centre - half), 0, size)[:, None]
        high = np.clip(np.rint(centre + half), 0, size)[:, None]
        position = np.arange(size)[None, :]
        inside.append((position >= low) & (position < high))
    mask = inside[0][:, :, None] & inside[1][:, None, :]
    return mask, 1.0 - mask.mean(axis=(1, 2))
