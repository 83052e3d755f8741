"""Training batches in a seeded order that depends on the epoch alone, so that a resumed run sees the same ones."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from fer_edge.arrays import FloatArray
from fer_edge.preprocess import resize_gray
from fer_edge.system import usable_cpus
from fer_train.inputs.disturbing import Disturbing
from fer_train.inputs.mixing import Batch, Mixing, mix
from fer_train.parallel import ordered_map

__all__ = ["Batches"]


class Batches:
    """Resized grey faces, targets and weights, batch by batch; the last incomplete batch is left out.

    Shapes: faces ``(B, S, S)`` uint8, targets ``(B, 7)`` float32, weights ``(B,)`` float32. Resizing is the device's
    own (:func:`fer_edge.preprocess.resize_gray`) and takes about 10 microseconds per image. With
    disturbed and clean faces side by side they are ``(B, 2, S, S)`` (:class:`fer_train.inputs.disturbing.Disturbing`).

    Args:
        images: ``(N, H, H)`` uint8, grey.
        targets: ``(N, 7)`` float32.
        weights: ``(N,)`` float32.
        input_size: side of the faces in pixels.
        batch_size: faces per batch, over all processes.
        seed: of the order, together with the epoch.
        epoch: counted from 0.
        mixing: mixup and CutMix; None mixes nothing.
        disturbing: noise, blur and the like; None disturbs nothing.
        part: ``(i, n)``: each batch is the i-th of n equal pieces of the whole batch, what process i of n feeds.
    """

    def __init__(
        self,
        images: npt.NDArray[np.uint8],
        targets: FloatArray,
        weights: FloatArray,
        *,
        input_size: int,
        batch_size: int,
        seed: int,
        epoch: int,
        mixing: Mixing | None = None,
        disturbing: Disturbing | None = None,
        part: tuple[int, int] = (0, 1),
    ) -> None:
        self.images, self.targets, self.weights = images, targets, weights
        self.input_size = input_size
        self.batch_size = min(batch_size, len(images))
        self.mixing, self.disturbing, self.part = mixing or Mixing(), disturbing or Disturbing(), part
        self._seed = (seed, epoch)
        self.order = np.random.default_rng([seed, epoch]).permutation(len(images))
        self.first = 0
        """Number of the first batch."""
        self._count = len(images) // self.batch_size

    def __len__(self) -> int:
        return self._count

    def piece(self, start: int, stop: int) -> Batches:
        """Some of these batches, the same as here.

        Args:
            start: number of the first of them, counted from 0.
            stop: number of the one after the last.

        Returns:
            The batches from ``start`` to before ``stop``.
        """
        other = copy.copy(self)
        other.first, other._count = self.first + start, min(stop, len(self)) - start
        return other

    def __getitem__(self, index: int) -> Batch:
        index += self.first
        chosen = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        images = [self.images[i] for i in chosen]
        if self.disturbing:
            # Mixing draws from numbers of its own, so that it mixes the same pairs with and without disturbances.
            faces = self.disturbing.faces(images, self.input_size, np.random.default_rng([*self._seed, index, 1]))
        else:
            faces = np.stack([resize_gray(image, self.input_size) for image in images])
        batch = faces, self.targets[chosen], self.weights[chosen]
        if self.mixing:
            batch = mix(batch, self.mixing, np.random.default_rng([*self._seed, index]))
        number, count = self.part
        if count > 1:
            size = len(chosen) // count
            own = slice(number * size, (number + 1) * size)
            batch = batch[0][own], batch[1][own], batch[2][own]
        return batch

    def __iter__(self) -> Iterator[Batch]:
        """The batches in order, made in a thread while the one before is used."""
        yield from ordered_map(self.__getitem__, range(len(self)), batch=1, workers=1)

    def for_keras(self, keras: Any) -> Any:
        """The same as a ``keras.utils.PyDataset``, prepared in threads while the device computes.

        One thread keeps up with a CPU; a GPU takes more images per second than one can mix.

        Args:
            keras: the module, ``keras`` or ``tf_keras``.

        Returns:
            The ``PyDataset``.
        """
        batches = self

        class _Dataset(keras.utils.PyDataset):  # type: ignore[misc]
            def __len__(self) -> int:
                return len(batches)

            def __getitem__(self, index: int) -> Any:
                return batches[index]

        return _Dataset(workers=max(1, min(6, usable_cpus() // 2)), use_multiprocessing=False, max_queue_size=16)
