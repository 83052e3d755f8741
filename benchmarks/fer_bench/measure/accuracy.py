"""Accuracy and agreement of the same targets that are timed, in a run of its own."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fer_bench.measure.worker_client import Remote, Target
from fer_bench.progress import Progress, silent
from fer_edge.system import usable_cpus
from fer_train.evaluation.evaluate import Evaluation, evaluate_classifier

if TYPE_CHECKING:
    from fer_train.data.dataset import Split


def load_faces(data: Path | None, split: str, seed: int = 0, limit: int | None = None) -> Split:
    """A split of a data set; drawn faces, with ``synthetic`` as the name of the split, where there is no data set.

    With ``limit``, at most that many, evenly spaced over the split.
    """
    if data is None:
        from fer_train.synthetic.faces import judging_split

        found = judging_split(seed)
    else:
        from fer_train.data.dataset import load_dataset

        found = load_dataset(data, seed=seed).split(split)
    if limit is None or limit >= len(found):
        return found
    keep = np.linspace(0, len(found) - 1, limit).astype(int)
    return dataclasses.replace(
        found,
        images=np.asarray(found.images[keep]),
        labels=np.asarray(found.labels[keep]),
        names=tuple(found.names[i] for i in keep),
    )


def evaluate_targets(
    targets: Sequence[Target], faces: Split, on_progress: Progress = silent, costs: Sequence[float] | None = None
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
            return evaluate_classifier(remote, faces.images, faces.labels, faces.name, on_progress=progress)

    at_once = max(1, usable_cpus() // max(target.threads for target in targets))
    with ThreadPoolExecutor(at_once) as pool:
        futures = {index: pool.submit(one, index) for index in sorted(done, key=lambda index: -weights[index])}
        try:
            return [futures[index].result() for index in range(len(targets))]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
