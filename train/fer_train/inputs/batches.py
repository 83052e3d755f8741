"""Training batches in a seeded order that depends on the epoch alone, so that a resumed run sees the same ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from fer_edge.arrays import FloatArray
from fer_edge.preprocess import resize_gray
from fer_edge.system import usable_cpus
from fer_train.inputs.mixing import Mixing, mix

__all__ = ["Batches"]


class Batches:
    """Resized grey faces, targets and weights, batch by batch; the last incomplete batch is left out.

    Shapes: faces ``(B, S, S)`` uint8, targets ``(B, 7)`` float32, weights ``(B,)`` float32. Resizing is the device's
    own (:func:`fer_edge.preprocess.resize_gray`) and takes about 10 microseconds per image.

    Args:
        images: ``(N, H, H)`` uint8, grey.
        targets: ``(N, 7)`` float32.
        weights: ``(N,)`` float32.
        input_size: side of the faces in pixels.
        batch_size: faces per batch, over all processes.
        seed: of the order, together with the epoch.
        epoch: counted from 0.
        mixing: mixup and CutMix; None mixes nothing.
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
        part: tuple[int, int] = (0, 1),
    ) -> None:
        self.images, self.targets, self.weights = images, targets, weights
        self.input_size = input_size
        self.batch_size = min(batch_size, len(images))
        self.mixing, self.part = mixing or Mixing(), part
        self._seed = (seed, epoch)
        self.order = np.random.default_rng([seed, epoch]).permutation(len(images))

    def __len__(self) -> int:
        return len(self.images) // self.batch_size

    def __getitem__(self, index: int) -> tuple[npt.NDArray[np.uint8], FloatArray, FloatArray]:
        chosen = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        faces = np.stack([resize_gray(self.images[i], self.input_size) for i in chosen])
        batch = faces, self.targets[chosen], self.weights[chosen]
        if self.mixing:
            batch = mix(batch, self.mixing, np.random.default_rng([*self._seed, index]))
        number, count = self.part
        if count > 1:
            size = len(chosen) // count
            own = slice(number * size, (number + 1) * size)
            batch = batch[0][own], batch[1][own], batch[2][own]
        return batch

    def __iter__(self) -> Iterator[tuple[npt.NDArray[np.uint8], FloatArray, FloatArray]]:
        for index in range(len(self)):
            yield self[index]

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
