"""Accuracy and agreement of the same contenders that are timed, in a run of its own."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from fer_bench.log import LOG
from fer_bench.measure.worker_client import Contender, Remote
from fer_bench.progress import OnFraction, silent
from fer_edge.labels import EMOTIONS
from fer_edge.system import usable_cpus
from fer_train.evaluation.evaluate import Evaluation, evaluate_classifier

if TYPE_CHECKING:
    from fer_train.data.dataset import Split

__all__ = ["evaluate_contenders", "load_faces", "warn_where_stuck"]

_ONE_CLASS_SHARE: Final[float] = 0.95


def load_faces(data: Path | None, split: str, seed: int = 0, limit: int | None = None) -> Split:
    """A split of a data set; synthetic faces, with ``synthetic`` as the name of the split, where there is no data set.

    Args:
        data: folder, zip or CSV, as :func:`fer_train.data.dataset.load_dataset` reads it; None: synthetic faces.
        split: ``train``, ``validation`` or ``test``.
        seed: for synthetic faces, and for a split that is made where the data has none.
        limit: at most this many, evenly spaced over the split; None: all.

    Returns:
        Images and labels.

    Raises:
        InputError: the data cannot be read, or has no such split.
    """
    if data is None:
        from fer_train.synthetic.faces import judging_split

        faces = judging_split(seed)
    else:
        from fer_train.data.dataset import load_dataset

        faces = load_dataset(data, seed=seed).split(split)
    if limit is None or limit >= len(faces):
        return faces
    keep = np.linspace(0, len(faces) - 1, limit).astype(int)
    return dataclasses.replace(
        faces,
        images=np.asarray(faces.images[keep]),
        labels=np.asarray(faces.labels[keep]),
        names=tuple(faces.names[i] for i in keep),
    )


def warn_where_stuck(contenders: Sequence[Contender], evaluations: Sequence[Evaluation]) -> None:
    """Say which models give one answer to nearly all faces, as a model does that is fed other pixels than in training.

    Args:
        contenders: models on their runtimes.
        evaluations: of each of them.
    """
    for contender, evaluation in zip(contenders, evaluations, strict=True):
        labelled = np.bincount(evaluation.labels).max() / evaluation.n_images
        answers = np.bincount(evaluation.decisions)
        share = answers.max() / evaluation.n_images
        if share >= _ONE_CLASS_SHARE > labelled:
            LOG.warning(
                "%s answers %s for %.0f %% of the faces: untrained, or fed other pixels than in training? A float "
                "model does not say which it takes and is fed (p - 128) / 128",
                contender.name,
                EMOTIONS[int(answers.argmax())],
                100.0 * share,
            )


def evaluate_contenders(
    contenders: Sequence[Contender],
    faces: Split,
    on_progress: OnFraction = silent,
    costs: Sequence[float] | None = None,
) -> list[Evaluation]:
    """Every contender over all faces, as many at a time as there are CPUs: nothing is timed here.

    Args:
        contenders: models on their runtimes.
        faces: with labels.
        on_progress: gets the fraction done and what is being done.
        costs: how long each contender takes against the others, for example latencies: the longest goes first.

    Returns:
        An evaluation for each of ``contenders``, in their order.

    Raises:
        FerError: a measuring process ended early, or a model cannot be used.
    """
    done = dict.fromkeys(range(len(contenders)), 0)
    weights = list(costs or [1.0] * len(contenders))
    whole = sum(weights) * len(faces.labels)
    lock = threading.Lock()

    def one(index: int) -> Evaluation:
        contender = contenders[index]

        def progress(count: int) -> None:
            with lock:
                done[index] = count
                share = sum(count * weights[other] for other, count in done.items()) / whole
                on_progress(share, f"accuracy of {contender.name}")

        with Remote(contender) as remote:
            return evaluate_classifier(remote, faces.images, faces.labels, faces.name, on_progress=progress)

    at_once = max(1, usable_cpus() // max(contender.threads for contender in contenders))
    with ThreadPoolExecutor(at_once) as pool:
        futures = {index: pool.submit(one, index) for index in sorted(done, key=lambda index: -weights[index])}
        try:
            return [futures[index].result() for index in range(len(contenders))]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
