"""Models over disturbed faces: every model gets the very same ones, through the one preprocessing."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from fer_bench.measure.accuracy import load_faces
from fer_bench.measure.choose_models import choose_contenders
from fer_bench.measure.worker_client import Contender, Remote
from fer_bench.progress import OnFraction, silent
from fer_bench.request import RobustnessRequest
from fer_bench.robustness.schema import KindEntry, RobustnessReport
from fer_bench.robustness.summary import CLEAN, Case, Judged, model_entry, pair_entry
from fer_edge.arrays import Image
from fer_edge.command import did_you_mean
from fer_edge.errors import DataError, UsageError
from fer_edge.files import sha256_of
from fer_edge.labels import NUM_EMOTIONS
from fer_edge.preprocess import DETAIL_SIDE, resize_gray
from fer_edge.system import usable_cpus
from fer_edge.versions import package_versions
from fer_train.disturbances import KINDS, STRENGTHS, disturb_faces
from fer_train.evaluation.evaluate import Evaluation, evaluate_classifier

__all__ = ["CHUNK", "Faces", "cases_of", "chosen_faces", "disturbed", "kinds_called", "measure_robustness", "report_of"]

CHUNK: Final[int] = 256
"""Faces that a worker takes at a time: a few tenths of a second."""
_PACKAGES: Final[tuple[str, ...]] = ("numpy", "opencv-python", "ai-edge-litert", "onnxruntime")


@dataclass(frozen=True)
class Faces:
    """The images that are disturbed."""

    split: str
    """Name of the split they are of."""
    images: Image
    """``(N, S, S)`` uint8 grey, S at most 48: what a model would see of larger ones (``fer_edge.preprocess``)."""
    labels: npt.NDArray[np.int64]
    """``(N,)``, 0..6."""
    indices: npt.NDArray[np.int64]
    """``(N,)``, in the whole split: they seed the disturbances, so that a limit changes none of them."""


def chosen_faces(data: Path | None, split: str, limit: int | None = None, seed: int = 0) -> Faces:
    """The faces of a split, or some of them.

    Args:
        data: folder, zip or CSV; None draws synthetic faces.
        split: of the data.
        limit: at most this many, evenly spaced over the split; None takes all.
        seed: for synthetic faces.

    Returns:
        The faces.

    Raises:
        DataError: no such data set or split.
    """
    faces = load_faces(data, split, seed)
    count = len(faces)
    keep = np.arange(count) if limit is None or limit >= count else np.linspace(0, count - 1, limit).astype(np.int64)
    images = np.asarray(faces.images[keep])
    if min(images.shape[1:]) > DETAIL_SIDE:
        images = np.stack([resize_gray(image, DETAIL_SIDE) for image in images])
    return Faces(faces.name, images, np.asarray(faces.labels[keep]), keep.astype(np.int64))


def kinds_called(names: Sequence[str]) -> list[str]:
    """The kinds that are asked for, in the order of the table.

    Args:
        names: as typed; none asks for all.

    Returns:
        Names of kinds, each once.

    Raises:
        UsageError: an unknown name.
    """
    for name in names:
        if name not in KINDS:
            hint = did_you_mean(name, KINDS) or f"; there are {', '.join(KINDS)}"
            raise UsageError(f"unknown kind of disturbance {name!r}{hint} (fer-bench robustness --list)")
    return [name for name in KINDS if not names or name in names]


def disturbed(faces: Faces, case: Case, seed: int, part: slice = slice(None)) -> Image:
    """The faces of one case.

    Args:
        faces: clean.
        case: how to disturb them.
        seed: of the random numbers.
        part: which of the faces.

    Returns:
        ``(n, S, S)`` uint8.
    """
    images = faces.images[part]
    if case.kind == CLEAN:
        return images
    indices = [int(index) for index in faces.indices[part]]
    return disturb_faces(images, KINDS[case.kind], case.strength, seed=seed, indices=indices)


def measure_robustness(
    request: RobustnessRequest, command: Sequence[str] = (), on_progress: OnFraction = silent
) -> RobustnessReport:
    """Evaluate models on clean and disturbed faces.

    Args:
        request: models, data and kinds.
        command: for the report.
        on_progress: takes the fraction done.

    Returns:
        The report; the same request gives the same figures on any number of CPUs.

    Raises:
        UsageError: an unknown kind or backend.
        ModelError: a model that cannot be used.
        DataError: a data set that cannot be used.
    """
    kinds = kinds_called(request.kinds)
    chosen = choose_contenders(request.models or None, request.backend, 1)
    faces = chosen_faces(request.data, request.split, request.limit, request.seed)
    cases = cases_of(kinds)
    contenders = [contender for _, contender in chosen]
    judged = _judge(contenders, faces, cases, request.seed, on_progress)
    data = request.data.name if request.data else faces.split
    return report_of(judged, faces, kinds, seed=request.seed, data=data, command=command)


def cases_of(kinds: Sequence[str]) -> list[Case]:
    """The clean case, then every strength of every kind.

    Args:
        kinds: names, in order.

    Returns:
        ``1 + 3 * len(kinds)`` cases.
    """
    return [Case(), *(Case(kind, strength) for kind in kinds for strength in STRENGTHS)]


def report_of(
    judged: Sequence[Judged], faces: Faces, kinds: Sequence[str], *, seed: int, data: str, command: Sequence[str]
) -> RobustnessReport:
    """The report of models that were evaluated.

    Args:
        judged: the models; each later one is compared with the first.
        faces: the images.
        kinds: names, in order.
        seed: of the random numbers.
        data: name of the data set.
        command: as typed.

    Returns:
        The report.
    """
    table = [KINDS[name] for name in kinds]
    return RobustnessReport(
        created_utc=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        command=list(command),
        data=data,
        split=faces.split,
        n_images=len(faces.labels),
        seed=seed,
        kinds=[KindEntry(k.name, k.title, list(k.amounts), k.unit, k.held_out) for k in table],
        models=[model_entry(model) for model in judged],
        pairs=[pair_entry(judged[0], model) for model in judged[1:]],
        packages=package_versions(_PACKAGES),
    )


def _judge(
    contenders: Sequence[Contender], faces: Faces, cases: Sequence[Case], seed: int, on_progress: OnFraction
) -> list[Judged]:
    """Every model over every case, in pieces that as many workers take as there are CPUs."""
    count = len(faces.labels)
    if count == 0:
        raise DataError(f"split {faces.split} has no images to evaluate on")
    jobs = [(place, start) for place in range(len(cases)) for start in range(0, count, CHUNK)]
    out = np.zeros((len(contenders), len(cases), count, NUM_EMOTIONS), np.float32)
    done, lock = 0, threading.Lock()
    with _lanes(contenders, min(usable_cpus(), len(jobs)), on_progress) as (lanes, runtimes):

        def work(job: tuple[int, int]) -> None:
            nonlocal done
            place, start = job
            part = slice(start, start + CHUNK)
            images = disturbed(faces, cases[place], seed, part)
            remotes = lanes.get()
            try:
                for model, remote in enumerate(remotes):
                    out[model, place, part] = evaluate_classifier(
                        remote, images, faces.labels[part], faces.split
                    ).probabilities
            finally:
                lanes.put(remotes)
            with lock:
                done += len(images)
                what = (
                    cases[place].kind if cases[place].kind == CLEAN else f"{cases[place].kind} {cases[place].strength}"
                )
                on_progress(done / (count * len(cases)), what)

        _run_all(jobs, work, lanes.qsize())
    return [
        Judged(
            name,
            sha256_of(contender.path) if contender.path.suffix != ".py" else None,
            runtime,
            cases,
            [Evaluation(faces.split, out[model, place], faces.labels) for place in range(len(cases))],
        )
        for model, (name, contender, runtime) in enumerate(zip(_names(contenders), contenders, runtimes, strict=True))
    ]


@contextlib.contextmanager
def _lanes(
    contenders: Sequence[Contender], count: int, on_progress: OnFraction
) -> Iterator[tuple[queue.SimpleQueue[list[Remote]], list[str]]]:
    """``count`` sets of processes with every model open in each set, and the runtimes of the models."""
    with contextlib.ExitStack() as stack:
        lanes: queue.SimpleQueue[list[Remote]] = queue.SimpleQueue()
        remotes: list[Remote] = []
        for _ in range(count):
            remotes = []
            for contender in contenders:
                on_progress(0.0, f"starting {contender.name}")
                remotes.append(stack.enter_context(Remote(contender)))
            lanes.put(remotes)
        yield lanes, [remote.opened.runtime_version for remote in remotes]


def _run_all(jobs: Sequence[tuple[int, int]], work: Callable[[tuple[int, int]], None], workers: int) -> None:
    """All jobs on threads; the first error ends them, and those that wait are not begun."""
    pool = ThreadPoolExecutor(workers)
    try:
        for future in [pool.submit(work, job) for job in jobs]:
            future.result()
    except BaseException:
        pool.shutdown(wait=True, cancel_futures=True)
        raise
    pool.shutdown()


def _names(contenders: Sequence[Contender]) -> list[str]:
    """File names, with the runtime or the folder too where two would be called alike."""
    for call in (_file_name, lambda model: model.name, lambda model: f"{model.path} on {model.backend}"):
        names = [call(contender) for contender in contenders]
        if len(set(names)) == len(names):
            break
    return names


def _file_name(contender: Contender) -> str:
    return contender.backend if contender.path.suffix == ".py" else contender.path.name
