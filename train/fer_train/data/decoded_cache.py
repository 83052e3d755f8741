"""Decoded images on disk: each data set is decoded once, then memory-mapped by everyone.

A cache entry is a folder ``datasets/<key>/`` with ``meta.json`` and, for each split, ``<split>.images`` (raw bytes,
``(N, S, S)`` uint8) and ``<split>.labels`` (``(N,)`` little-endian int64). It is built beside its final place and
renamed when complete, so that a reader sees all of it or nothing. Deleting the cache folder is always safe.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt

from fer_edge.errors import DataError, InputError, UsageError
from fer_edge.labels import NUM_EMOTIONS
from fer_edge.preprocess import GrayImage
from fer_edge.system import can_write
from fer_train.data.decoding import BrokenImageError, to_square
from fer_train.data.duplicates import group_duplicates, members_of_groups
from fer_train.data.folder_layout import SPLITS, require_classes
from fer_train.data.memory_map import one_by_one, release_pages
from fer_train.data.records import ImageReader, Record
from fer_train.data.table_text import TABLE_SUFFIXES
from fer_train.logs import LOG
from fer_train.on_progress import OnProgress
from fer_train.parallel import ordered_map

__all__ = ["BATCH", "FORMAT", "MAX_SIDE", "cached", "choose_tenth", "with_first_reason"]

FORMAT: Final[int] = 2
MAX_SIDE: Final[int] = 224
"""Images are stored no larger than the largest input that a model of ours takes."""
BATCH: Final[int] = 256
_SAMPLE: Final[int] = 64
_STALE_S: Final[float] = 24 * 3600.0


def cached(
    reader: ImageReader, cache_dir: Path, *, seed: int, on_progress: OnProgress | None = None
) -> tuple[Path, dict[str, Any]]:
    """A data set decoded on disk; it is decoded now if it never was.

    Args:
        reader: what reads the data set.
        cache_dir: the cache folder.
        seed: chooses the validation tenth where there is no validation split.
        on_progress: called with ``(done, total)`` along the way.

    Returns:
        ``(folder, meta)``: the folder of the cache entry, and the content of its ``meta.json``.

    Raises:
        DataError: the data set cannot be used, or the cache cannot be read back.
        UsageError: the cache cannot be written.
    """
    key = hashlib.sha256(f"{FORMAT}\0{reader.key()}\0{seed}".encode()).hexdigest()[:32]
    folder = cache_dir / "datasets" / key
    meta = _read_meta(folder)
    LOG.debug(f"decoded images: {folder}{', to be made now' * (meta is None)}")
    if meta is None:
        _require_writable(cache_dir)
        _build(reader, folder, seed, on_progress)
        meta = _read_meta(folder)
        if meta is None:
            raise DataError(f"the cache in {folder} cannot be read back; name another one with --cache-dir")
    return folder, meta


def _require_writable(cache_dir: Path) -> None:
    if not can_write(cache_dir):
        raise UsageError(
            f"decoded images cannot be kept in {cache_dir}: it cannot be written; name another folder with --cache-dir"
        )


def _read_meta(folder: Path) -> dict[str, Any] | None:
    try:
        meta: dict[str, Any] = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        for split, info in meta["splits"].items():
            n = len(info["names"])
            if (folder / f"{split}.images").stat().st_size != n * meta["side"] ** 2:
                return None
            if (folder / f"{split}.labels").stat().st_size != n * 8:
                return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return meta


@dataclass
class _SplitWriter:
    """Appends decoded images of one split to their files, in order."""

    folder: Path
    split: str
    names: list[str] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    handle: BinaryIO | None = None

    @property
    def images_path(self) -> Path:
        return self.folder / f"{self.split}.images"

    def append(self, record: Record, image: GrayImage) -> None:
        if self.handle is None:
            self.handle = self.images_path.open("wb")
        self.handle.write(image.tobytes())
        self.names.append(record.entry.name)
        self.labels.append(record.entry.label)

    def close(self) -> None:
        if self.handle is not None:
            self.handle.close()


def _build(reader: ImageReader, folder: Path, seed: int, on_progress: OnProgress | None) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    _remove_stale(folder.parent)
    building = folder.parent / f".{folder.name}.{os.getpid()}.tmp"
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir()
    try:
        meta = _decode_into(reader, building, seed, on_progress)
        (building / "meta.json").write_text(json.dumps(meta), encoding="utf-8")
        if _read_meta(folder) is None:
            shutil.rmtree(folder, ignore_errors=True)  # damaged, or not there
        try:
            building.rename(folder)
        except OSError as error:
            # Another process may have put the same content there meanwhile: then theirs stays.
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _remove_stale(parent: Path) -> None:
    for leftover in parent.glob(".*.tmp"):
        with contextlib.suppress(OSError):
            if time.time() - leftover.stat().st_mtime > _STALE_S:
                shutil.rmtree(leftover, ignore_errors=True)


def _decode_into(reader: ImageReader, folder: Path, seed: int, on_progress: OnProgress | None) -> dict[str, Any]:
    side = _common_side(reader)
    writers = {split: _SplitWriter(folder, split) for split in SPLITS}
    broken: list[tuple[str, str]] = []
    sizes: Counter[str] = Counter()
    try:
        for record, decoded in ordered_map(lambda record: (record, _decode(record, side)), reader.records()):
            if isinstance(decoded, str):
                broken.append((record.entry.name, decoded))
            else:
                writers[record.entry.split].append(record, decoded[0])
                sizes[decoded[1]] += 1
            if on_progress:
                on_progress(record.position, reader.total)
    finally:
        for writer in writers.values():
            writer.close()
    counts = {split: np.bincount(writer.labels, minlength=NUM_EMOTIONS).tolist() for split, writer in writers.items()}
    try:
        require_classes(counts, str(reader.path))
    except DataError as error:
        raise with_first_reason(error, [*reader.skipped, *broken]) from error
    names = {split: writer.names for split, writer in writers.items() if writer.names}
    labels = {split: np.array(writer.labels, dtype="<i8") for split, writer in writers.items() if writer.names}
    carved = False
    has_splits = reader.path.suffix.lower() == ".csv" and not reader.notes  # a CSV notes it when it has none
    if "train" in names and "validation" not in names and not has_splits:
        _carve_validation(folder, side, names, labels, seed)
        carved = True
    digest = hashlib.sha256(str(side).encode())
    for split in sorted(names):
        labels[split].tofile(folder / f"{split}.labels")
        digest.update(f"\0{split}\0".encode() + labels[split].tobytes())
        with (folder / f"{split}.images").open("rb") as handle:
            while block := handle.read(1 << 20):
                digest.update(block)
    return {
        "format": FORMAT,
        "side": side,
        "sizes": dict(sizes.most_common(100)),
        "fingerprint": digest.hexdigest(),
        "skipped": [*reader.skipped, *broken],
        "notes": reader.notes,
        "validation_from_train": carved,
        "splits": {split: {"names": names[split]} for split in SPLITS if split in names},
    }


def with_first_reason(error: DataError, skipped: Sequence[tuple[str, str]]) -> DataError:
    """The same error, which also tells how many files were skipped, and why the first one was.

    Args:
        error: what is wrong.
        skipped: ``(name, reason)`` of each skipped file.

    Returns:
        The error to raise instead.
    """
    if not skipped:
        return error
    name, reason = skipped[0]
    return DataError(f"{error}; {len(skipped)} were skipped, the first: {name}: {reason}")


def _decode(record: Record, side: int) -> tuple[GrayImage, str] | str:
    """Image and original size ``WxH``, or why it is broken."""
    try:
        image = record.image.decode()
    except InputError as error:
        return str(error)
    return to_square(image, side), f"{image.shape[1]}x{image.shape[0]}"


def _common_side(reader: ImageReader) -> int:
    """The most frequent side among some images spread over the set, at most :data:`MAX_SIDE`."""
    every = max(1, reader.total // _SAMPLE) if reader.path.suffix.lower() not in TABLE_SUFFIXES else 1
    sides: Counter[int] = Counter()
    first = ""
    # A CSV cannot be entered in the middle, and all its images are alike: its first rows are the sample.
    for record in islice(reader.records(), 0, None if every > 1 else _SAMPLE, every):
        try:
            sides[max(record.image.decode().shape)] += 1
        except BrokenImageError as error:
            first = first or f", the first: {record.entry.name}: {error}"
            continue
    if not sides:
        raise DataError(f"{reader.path} holds no readable image among {_SAMPLE} looked at{first}")
    most = max(sides.values())
    return min(MAX_SIDE, max(side for side, count in sides.items() if count == most))


def _carve_validation(
    folder: Path, side: int, names: dict[str, list[str]], labels: dict[str, npt.NDArray[np.int64]], seed: int
) -> None:
    """Move a seeded, stratified tenth of train to validation; exact duplicates of an image stay on one side."""
    source = folder / "train.images"
    train = np.memmap(source, dtype=np.uint8, mode="r").reshape(-1, side, side)
    chosen = choose_tenth(train, labels["train"], seed)
    parts = {"validation": np.flatnonzero(chosen), "train": np.flatnonzero(~chosen)}
    for split, indices in parts.items():
        with (folder / f"{split}.carved").open("wb") as handle:
            for start in range(0, len(indices), BATCH):
                handle.write(train[indices[start : start + BATCH]].tobytes())
                release_pages(train)
    del train
    old_names, old_labels = names["train"], labels["train"]
    for split, indices in parts.items():
        (folder / f"{split}.carved").replace(folder / f"{split}.images")
        names[split] = [old_names[i] for i in indices]
        labels[split] = old_labels[indices]


def choose_tenth(images: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64], seed: int) -> npt.NDArray[np.bool_]:
    """A tenth of each class (at least one image), groups of exact duplicates whole.

    Args:
        images: ``(N, S, S)`` uint8, grey.
        labels: ``(N,)`` class of each image, 0..6 in the order of :data:`fer_edge.labels.EMOTIONS`.
        seed: the same seed gives the same result.

    Returns:
        ``(N,)`` mask.
    """
    (groups,) = group_duplicates(one_by_one(images))
    chosen: npt.NDArray[np.bool_] = np.zeros(len(images), dtype=bool)
    # A group belongs to the class of its first image, so that copies with different labels are not torn apart.
    members = members_of_groups(groups, at_least=1)
    rng = np.random.default_rng(seed)
    for label in range(NUM_EMOTIONS):
        of_class = [group for group in members if labels[group[0]] == label]
        n_wanted = max(1, round(sum(len(group) for group in of_class) / 10)) if len(of_class) > 1 else 0
        taken = 0
        for index in rng.permutation(len(of_class)):
            if taken >= n_wanted:
                break
            chosen[of_class[index]] = True
            taken += len(of_class[index])
    return chosen
