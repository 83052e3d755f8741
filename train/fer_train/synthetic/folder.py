"""``fer-data synth``: a folder of synthetic faces in the layout of every other data set, marked as such."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import cv2

from fer_edge.errors import UsageError
from fer_edge.files import write_text
from fer_edge.labels import EMOTIONS, NUM_EMOTIONS
from fer_edge.system import usable_cpus
from fer_train.data.staged_folder import MANIFEST, staged_folder, write_new
from fer_train.synthetic.faces import MIN_SIZE, numbered_face

__all__ = ["NOTE", "write_synthetic"]

NOTE: Final[str] = (
    "These faces are synthetic: drawn by fer-edge-toolkit (fer-data synth), not photographs of people.\n"
    "They exercise the software. Accuracy measured on them says nothing about real faces.\n"
)
_CHUNK: Final[int] = 70
_WORTH_PROCESSES: Final[int] = 500


def write_synthetic(
    destination: str | os.PathLike[str],
    counts: dict[str, int],
    *,
    size: int = 48,
    seed: int = 0,
    force: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write synthetic faces to ``destination/<split>/<class>/Synthetic_<number>.png``.

    The same arguments give the same pictures, whatever the number of processors.

    Args:
        destination: the new folder.
        counts: split -> faces of each class.
        size: side in pixels.
        seed: the same seed gives the same result.
        force: replace a folder that one of our commands made.
        on_progress: called with ``(done, total)`` along the way.

    Returns:
        How many pictures were written.

    Raises:
        UsageError: counts or a size that make no sense.
        DataError: ``destination`` is in use.
    """
    if size < MIN_SIZE:
        raise UsageError(f"synthetic faces need a size of at least {MIN_SIZE} pixels, got {size}")
    if any(count < 0 for count in counts.values()) or not counts.get("train"):
        raise UsageError(f"expected at least one face per class for train, got {counts}")
    job = {"synthetic": True, "counts": counts, "size": size, "seed": seed}
    chunks = [
        (split, start, min(start + _CHUNK, count * NUM_EMOTIONS))
        for split, count in counts.items()
        for start in range(0, count * NUM_EMOTIONS, _CHUNK)
    ]
    total = sum(counts.values()) * NUM_EMOTIONS
    with staged_folder(Path(destination), job, force=force) as staging:
        for split, count in counts.items():
            for emotion in EMOTIONS if count else ():
                (staging / split / emotion).mkdir(parents=True, exist_ok=True)
        done = 0
        for written in _draw_chunks(staging, chunks, size, seed, parallel=total >= _WORTH_PROCESSES):
            done += written
            if on_progress:
                on_progress(done, total)
        write_text(staging / "README.txt", NOTE)
        write_text(staging / MANIFEST, json.dumps({"format": 1, "job": job, "n_images": total}, indent=2) + "\n")
    return total


def _draw_chunks(
    staging: Path, chunks: list[tuple[str, int, int]], size: int, seed: int, *, parallel: bool
) -> Iterator[int]:
    """Draw all chunks and yield the number of pictures in each as it is done."""
    draw = functools.partial(_draw_chunk, staging, size, seed)
    if not parallel or usable_cpus() < 2:
        yield from map(draw, chunks)
        return
    # Drawing holds the interpreter lock, so processes; fresh ones, because forking a threaded process is not safe.
    with ProcessPoolExecutor(usable_cpus(), mp_context=get_context("spawn")) as pool:
        yield from pool.map(draw, chunks)


def _draw_chunk(staging: Path, size: int, seed: int, chunk: tuple[str, int, int]) -> int:
    split, start, stop = chunk
    for index in range(start, stop):
        image = numbered_face(split, seed, index, size)
        done, content = cv2.imencode(".png", image)
        if not done:
            raise OSError(f"OpenCV cannot encode a PNG of {size}x{size} pixels")
        name = f"Synthetic_{index // NUM_EMOTIONS:05d}.png"
        write_new(staging / split / EMOTIONS[index % NUM_EMOTIONS] / name, content.tobytes())
    return stop - start
