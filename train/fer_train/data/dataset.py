"""Labelled splits of a data set from a folder, a zip or ``fer2013.csv``: the one way into the toolkit.

>>> dataset = load_dataset("fer2013.zip")          # doctest: +SKIP
>>> dataset.split("validation").images.shape       # doctest: +SKIP
(3589, 48, 48)
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fer_edge.errors import DataError
from fer_edge.labels import EMOTIONS, NUM_EMOTIONS
from fer_edge.system import cache_folder
from fer_train.data.decoded_cache import cached, with_first_reason
from fer_train.data.folder_layout import SPLITS
from fer_train.data.readers import open_reader
from fer_train.on_progress import OnProgress

__all__ = ["Dataset", "Split", "load_dataset"]


@dataclass(frozen=True)
class Split:
    """Images, labels and names of one split, all in the same order."""

    name: str
    """``train``, ``validation`` or ``test``."""
    images: npt.NDArray[np.uint8]
    """``(N, S, S)`` grey, read-only; memory-mapped when it comes from :func:`load_dataset`."""
    labels: npt.NDArray[np.int64]
    """``(N,)``, 0..6 in the order of :data:`fer_edge.labels.EMOTIONS`."""
    names: tuple[str, ...]
    """Path below the data set's root (``train/happy/Training_1.jpg``), or ``Training_row00000`` from a CSV."""

    def __post_init__(self) -> None:
        if not len(self.images) == len(self.labels) == len(self.names):
            raise DataError(
                f"split {self.name}: {len(self.images)} images, {len(self.labels)} labels, {len(self.names)} names"
            )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def counts(self) -> dict[str, int]:
        """Images of each class."""
        totals = np.bincount(self.labels, minlength=NUM_EMOTIONS)
        return {name: int(count) for name, count in zip(EMOTIONS, totals, strict=True)}


@dataclass(frozen=True)
class Dataset:
    """A data set as decoded once: its splits, what was skipped, and a fingerprint of its content."""

    source: Path
    """The folder or file that was read."""
    splits: dict[str, Split]
    """Keys among ``train``, ``validation``, ``test``; a split that the source lacks is not here."""
    skipped: tuple[tuple[str, str], ...]
    """``(name, reason)`` of every file that is not an image or a broken one."""
    fingerprint: str
    """SHA-256 of image size, labels and pixels of all splits: alike for a folder and a zip with the same images."""
    validation_from_train: bool = False
    """Whether validation is a seeded tenth of train because the source has none of its own."""
    notes: tuple[str, ...] = ()
    """How the source was read, where that was a choice: one line each."""
    sizes: dict[str, int] = field(default_factory=dict)
    """How many images of the source had which size, ``"48x48"`` (width x height), before they were brought to one."""

    def split(self, name: str) -> Split:
        """The split of that name.

        Args:
            name: ``train``, ``validation`` or ``test``.

        Returns:
            The split.

        Raises:
            DataError: the data set has no split of that name.
        """
        if name in self.splits:
            return self.splits[name]
        there = ", ".join(self.splits)
        if name not in SPLITS:
            raise DataError(f"unknown split {name!r}; expected one of {', '.join(SPLITS)}; {self.source} has {there}")
        raise with_first_reason(DataError(f"{self.source} has no split {name!r}; it has {there}"), self.skipped)

    @property
    def side(self) -> int:
        """Side of all images in pixels."""
        return int(next(iter(self.splits.values())).images.shape[1])


def load_dataset(
    source: str | os.PathLike[str],
    *,
    cache_dir: str | os.PathLike[str] | None = None,
    seed: int = 0,
    on_progress: OnProgress | None = None,
) -> Dataset:
    """Read a data set, decoding it to a memory-mapped cache the first time.

    Images of another size than the most frequent one are squared and resized to it with the device's preprocessing.

    Args:
        source: a folder, a zip or a ``fer2013.csv``.
        cache_dir: where decoded images are kept; by default ``$XDG_CACHE_HOME/fer-edge-toolkit``.
        seed: chooses the validation tenth where the source has no validation split.
        on_progress: called with ``(done, total)`` while decoding, in images or bytes of the source.

    Returns:
        Its splits; images are memory-mapped from the cache, read-only.

    Raises:
        DataError: the source is missing, truncated, has an unknown folder, or lacks a class.
        UsageError: the cache cannot be written.
    """
    cache = Path(cache_dir) if cache_dir is not None else cache_folder()
    with contextlib.closing(open_reader(source)) as opened:
        folder, meta = cached(opened, cache, seed=seed, on_progress=on_progress)
    side = int(meta["side"])
    splits: dict[str, Split] = {}
    for name, info in meta["splits"].items():
        names = tuple(info["names"])
        images = np.memmap(folder / f"{name}.images", dtype=np.uint8, mode="r", shape=(len(names), side, side))
        labels = np.fromfile(folder / f"{name}.labels", dtype="<i8").astype(np.int64)
        labels.flags.writeable = False
        splits[name] = Split(name, images, labels, names)
    skipped = tuple((str(name), str(reason)) for name, reason in meta["skipped"])
    return Dataset(
        Path(source),
        splits,
        skipped,
        fingerprint=str(meta["fingerprint"]),
        validation_from_train=bool(meta["validation_from_train"]),
        notes=tuple(str(line) for line in meta.get("notes", ())),
        sizes=dict(meta["sizes"]),
    )
