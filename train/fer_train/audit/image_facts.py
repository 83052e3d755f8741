"""One pass over the pixels of a data set: brightness, contrast, detail, thumbnails, digests. Memory stays bounded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from fer_train.data.dataset import Split
from fer_train.data.duplicates import pixel_digests
from fer_train.data.memory_map import chunks
from fer_train.on_progress import OnProgress
from fer_train.parallel import ordered_map

THUMBNAIL: Final[int] = 16


@dataclass(frozen=True)
class ImageFacts:
    """What later steps need to know of each image of all splits, ``N`` rows in the order of the splits."""

    digests: npt.NDArray[np.void]
    """``(N,)`` of 16 bytes: equal for exact duplicates only."""
    thumbnails: npt.NDArray[np.uint8]
    """``(N, 256)``: 16x16 area means."""
    brightness: npt.NDArray[np.float32]
    """``(N,)`` mean grey level, 0 to 255."""
    contrast: npt.NDArray[np.float32]
    """``(N,)`` standard deviation of the grey levels."""
    detail: npt.NDArray[np.float32]
    """``(N,)`` share of the contrast that is lost by halving the resolution, 0 to 1; near 0: enlarged or blurred."""
    flatness: npt.NDArray[np.float32]
    """``(N,)`` share of pixels within two levels of the most frequent grey level, 0 to 1."""

    def __len__(self) -> int:
        return len(self.brightness)


def collect_facts(splits: Sequence[Split], on_progress: OnProgress | None = None) -> ImageFacts:
    """Look at every image of all splits once, on all cores."""
    total = sum(len(split) for split in splits)
    parts: list[tuple[Any, ...]] = []
    done = 0
    stream = (chunk for split in splits for chunk in chunks(split.images))
    for part in ordered_map(_facts_of_chunk, stream, batch=1):
        parts.append(part)
        done += len(part[1])
        if on_progress:
            on_progress(done, total)
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    return ImageFacts(*columns)


def _facts_of_chunk(images: npt.NDArray[np.uint8]) -> tuple[Any, ...]:
    n, height, width = images.shape
    digests = np.frombuffer(b"".join(pixel_digests(images)), dtype="V16")
    thumbnails = np.empty((n, THUMBNAIL * THUMBNAIL), dtype=np.uint8)
    brightness, contrast, detail, flatness = (np.empty(n, dtype=np.float32) for _ in range(4))
    half = (max(1, width // 2), max(1, height // 2))
    for i, image in enumerate(images):
        thumbnails[i] = cv2.resize(image, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA).ravel()
        mean, deviation = cv2.meanStdDev(image)
        brightness[i], contrast[i] = mean[0, 0], deviation[0, 0]
        coarse = cv2.resize(cv2.resize(image, half, interpolation=cv2.INTER_AREA), (width, height))
        detail[i] = cv2.norm(image, coarse, cv2.NORM_L2) / np.sqrt(image.size) / max(1.0, float(deviation[0, 0]))
        counts = np.bincount(image.ravel(), minlength=256)
        near = np.convolve(counts, np.ones(5, dtype=np.int64), mode="same")
        flatness[i] = near.max() / image.size
    return digests, thumbnails, brightness, contrast, detail, flatness


def groups_of_duplicates(digests: npt.NDArray[np.void]) -> npt.NDArray[np.int64]:
    """``(N,)`` group numbers; equal iff the digests are."""
    pairs = digests.view([("a", "<u8"), ("b", "<u8")])
    return np.asarray(np.unique(pairs, return_inverse=True)[1], dtype=np.int64).reshape(-1)
