"""Accuracy and agreement of the same targets that are timed, in a run of its own."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fer_bench.measure.machine import usable_cpus
from fer_bench.measure.worker_client import Remote, Target
from fer_bench.progress import Progress, silent
from fer_train.evaluation.evaluate import Evaluation, evaluate

SYNTHETIC_SPLIT = "synthetic"
SYNTHETIC_PER_CLASS = 40


@dataclass(frozen=True)
class Faces:
    """Labelled grey faces."""

    images: npt.NDArray[np.uint8]
    """``(N, H, H)``"""
    labels: npt.NDArray[np.int64]
    """``(N,)``, 0..6"""
    split: str


def load_faces(data: Path | None, split: str, seed: int = 0, limit: int | None = None) -> Faces:
    """A split of a data set; drawn faces, with ``synthetic`` as the name of the split, where there is no data set.

    With ``limit``, at most so many, evenly spaced over the split.
    """
    if data is None:
        from fer_train.synthetic.faces import synthetic_split

        drawn = synthetic_split(SYNTHETIC_PER_CLASS, seed, name=SYNTHETIC_SPLIT)
        found = Faces(drawn.images, drawn.labels, SYNTHETIC_SPLIT)
    else:
        from fer_train.data.dataset import load_dataset

        read = load_dataset(data, seed=seed).split(split)
        found = Faces(read.images, read.labels, read.name)
    if limit is None or limit >= len(found.labels):
        return found
    keep = np.linspace(0, len(found.labels) - 1, limit).astype(int)
    return dataclasses.replace(found, images=np.asarray(found.images[keep]), labels=np.asarray(found.labels[keep]))


def evaluate_targets(
    targets: Sequence[Target], faces: Faces, on_progress: Progress = silent, costs: Sequence[float] | None = None
) -> list[Evaluation]:
    """Every target over all faces, as many at a time as there are CPUs: nothing is timed here.

    ``costs``, for example latencies, are how long each target takes against the others: the longest goes first.
    """
    done = dict.fromkeys(range(len(targets)), 0)
    weights = list(costs or [1.0] * len(targets))
    whole = sum(weights) * len(faces.labels)
    lock = threading.Lock()

    def one(index: int) -> Evaluation:
        target = targets[index]

        def progress(count: int) -> None:
            with lock:
                done[index] = count
                share = sum(count * weights[other] for other, count in done.items()) / whole
                on_progress(share, f"accuracy of {target.name}")

        with Remote(target) as remote:
            return evaluate(remote, faces.images, faces.labels, faces.split, on_progress=progress)

    at_once = max(1, usable_cpus() // max(target.threads for target in targets))
    with ThreadPoolExecutor(at_once) as pool:
        futures = {index: pool.submit(one, index) for index in sorted(done, key=lambda index: -weights[index])}
        try:
            return [futures[index].result() for index in range(len(targets))]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
