"""A whole run: what is due is done, what is there already stays, and the tables of all are written at the end."""

from __future__ import annotations

import argparse
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fer_edge.analysis.combine import Part, combine
from fer_edge.analysis.inputs import Input, list_inputs, result_folder
from fer_edge.analysis.one_file import Job, Outcome
from fer_edge.analysis.progress import FilesProgress
from fer_edge.analysis.recipe import Recipe, recipe_from
from fer_edge.analysis.store import Store
from fer_edge.analysis.table import require_pyarrow
from fer_edge.analysis.workers import run_on_processes
from fer_edge.command import counted
from fer_edge.errors import CheckFailedError
from fer_edge.file_lock import locked
from fer_edge.html import require_jinja
from fer_edge.logs import LOG, making_room
from fer_edge.system import usable_cpus

__all__ = ["analyze_files"]


def analyze_files(arguments: argparse.Namespace) -> int:
    """Carry out ``fer-analyze``.

    Args:
        arguments: its options.

    Returns:
        The exit code.

    Raises:
        FerError: for what cannot be opened, read or written at all.
        CheckFailedError: everything is done but the files that are broken.
    """
    _check_packages(arguments)
    out = Path(arguments.out)
    inputs = list_inputs(arguments.inputs, out)
    recipe = recipe_from(arguments)
    store = Store(out)
    with locked(out, f"another fer-analyze writes into {out}; wait until it has finished, or choose another --out"):
        return _analyze(inputs, recipe, store, arguments)


def _analyze(inputs: list[Input], recipe: Recipe, store: Store, arguments: argparse.Namespace) -> int:
    fingerprint = recipe.fingerprint()
    jobs = []
    for number, item in enumerate(inputs):
        folder = result_folder(item.file)
        done = store.done(folder, fingerprint)
        known = None if done is None else str(done["sha256"])
        jobs.append(Job(number, item.file, item.location, item.size, folder, known))
    errors = _carry_out(jobs, recipe, store, arguments)
    parts = [Part(job, errors.get(job.number, "")) for job in jobs]
    if combine(store, parts):
        LOG.info(f"wrote {store.folder / 'index.html'}, and the tables beside it")
    _notice_others(store, jobs)
    if errors:
        raise CheckFailedError(
            f"{len(errors)} of {counted(len(jobs), 'file')} could not be read; the column error of "
            f"{store.folder / 'files.csv'} says why"
        )
    return 0


def _check_packages(arguments: argparse.Namespace) -> None:
    require_pyarrow()
    require_jinja()
    if arguments.pictures:
        from fer_edge.analysis.timeline import require_matplotlib

        require_matplotlib()
    if arguments.dask is not None:
        from fer_edge.analysis.cluster import require_dask

        require_dask()


def _carry_out(jobs: list[Job], recipe: Recipe, store: Store, arguments: argparse.Namespace) -> dict[int, str]:
    """Do what is due; the result is ``{number of a job: why it has no results}``."""
    progress = FilesProgress(jobs)
    if arguments.quiet:
        progress.stop()
    errors: dict[int, str] = {}
    n_done = n_known = 0
    try:
        with making_room(progress.clear), _ended_by_sigterm():
            for outcome in _outcomes(jobs, recipe, arguments, progress):
                job = jobs[outcome.number]
                for level, text in outcome.notices:
                    LOG.log(level, text)
                if outcome.error:
                    errors[job.number] = outcome.error
                    store.forget(job.folder)
                    LOG.warning(f"skipped: {outcome.error}")
                elif outcome.is_known:
                    n_known += 1
                else:
                    store.put(job.folder, outcome.artifacts)
                    n_done += 1
                progress.ended(outcome)
    except KeyboardInterrupt:
        progress.stop()
        LOG.info(f"{n_done + n_known} of {counted(len(jobs), 'file')} done; the same command goes on from there")
        raise
    finally:
        progress.stop()
    LOG.info(f"{counted(n_done, 'file')} analyzed, {n_known} unchanged, {len(errors)} broken")
    return errors


def _outcomes(
    jobs: list[Job], recipe: Recipe, arguments: argparse.Namespace, progress: FilesProgress
) -> Iterator[Outcome]:
    if arguments.dask is not None:
        from fer_edge.analysis.cluster import run_on_cluster

        return run_on_cluster(jobs, recipe, arguments.dask)
    return run_on_processes(jobs, recipe, arguments.workers or usable_cpus(), progress.partly_done)


def _notice_others(store: Store, jobs: list[Job]) -> None:
    """Results of files that were not named this time stay where they are, and are not in the tables."""
    present = {job.folder for job in jobs}
    n_others = sum(folder.name not in present for folder in (store.folder / "files").iterdir())
    if n_others:
        LOG.info(
            f"{counted(n_others, 'folder')} of earlier runs in {store.folder / 'files'}, of files that were not named "
            "this time: kept, but not in the tables"
        )


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Within it SIGTERM ends the run as Ctrl-C does, so that no process is left behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
