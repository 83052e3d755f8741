"""Files spread over machines by Dask distributed: a worker that is lost has its files done by the others.

Workers send results back to the process that was started, the only one that writes: machines need no folder in common
but that of the files, and none where these are at an address.
"""

from __future__ import annotations

import importlib.metadata
import threading
from collections.abc import Iterator, Sequence
from typing import Any, Final

from fer_edge.analysis.one_file import Job, Outcome, carry_out
from fer_edge.analysis.recipe import Recipe, Tools, open_tools, shipped_files
from fer_edge.errors import DeviceError, MissingDependencyError, UsageError
from fer_edge.logs import LOG

__all__ = ["require_dask", "run_on_cluster"]

_CONNECT_S: Final[float] = 10.0
_WAITING_PER_THREAD: Final[int] = 4
"""Files that are handed out per thread of the cluster; more would only wait there."""
_SCHEMES: Final = ("tcp", "tls", "ucx", "ws", "wss")
_COMPARED: Final = ("fer-edge-toolkit", "pyarrow", "opencv-python", "numpy", "matplotlib")
"""Packages that tables and pictures depend on."""


def require_dask() -> None:
    """Fail before the work, not after it.

    Raises:
        MissingDependencyError: Dask distributed is not installed.
    """
    try:
        import distributed  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError.for_extra("dask distributed", "cluster") from error


def run_on_cluster(jobs: Sequence[Job], recipe: Recipe, address: str) -> Iterator[Outcome]:
    """Carry jobs out on a cluster, the largest files first.

    Args:
        jobs: the files.
        recipe: how they are looked at.
        address: of the scheduler, such as ``tcp://scheduler:8786``.

    Yields:
        What became of each, as they end.

    Raises:
        UsageError: no address of a scheduler, or another version of the toolkit on a worker.
        DeviceError: nobody answers there, or there is no worker.
        FerError: network or detector cannot be opened on a worker.
    """
    require_dask()
    from distributed import Client, as_completed

    _check_address(address)  # Client would say the same, and much else
    try:
        client = Client(address, timeout=_CONNECT_S, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise DeviceError(f"no Dask scheduler answers at {address}; start one with: dask scheduler") from error
    with client:
        n_threads = _n_threads(client)
        shipped = client.scatter(shipped_files(recipe), broadcast=True, hash=False)
        waiting = sorted(jobs, key=lambda job: job.size)  # the largest is taken first, from the end
        running: dict[Any, Job] = {}

        def submit() -> Any:
            job = waiting.pop()
            future = client.submit(_on_worker, job, recipe, shipped, pure=False)
            running[future] = job
            return future

        first = [submit() for _ in range(min(len(waiting), _WAITING_PER_THREAD * n_threads))]
        ended = as_completed(first, loop=client.loop)
        try:
            for future in ended:
                job = running.pop(future)
                yield _outcome(future, job)
                future.release()
                if waiting:
                    ended.add(submit())
        finally:
            client.cancel(list(running), force=True)


def _check_address(address: str) -> None:
    scheme, has_scheme, place = address.rpartition("://")
    host, _, port = place.rpartition(":")
    if (has_scheme and scheme not in _SCHEMES) or not (host and port.rstrip("/").isdigit()):
        raise UsageError(f"--dask {address} is no address of a scheduler; expected for example tcp://scheduler:8786")


def _n_threads(client: Any) -> int:
    """How many files the cluster works on at once; says what its machines have that we have not."""
    try:
        client.wait_for_workers(1, timeout=_CONNECT_S)
    except TimeoutError as error:
        raise DeviceError(
            "the Dask scheduler has no worker; start one on each machine with: dask worker SCHEDULER:8786"
        ) from error
    ours = _versions()
    for worker, theirs in client.run(_versions).items():
        for name in _COMPARED:
            if theirs.get(name) != ours.get(name):
                text = f"{worker} has {name} {theirs.get(name)}, this machine {ours.get(name)}"
                if name == "fer-edge-toolkit":
                    raise UsageError(f"{text}; install the same version on all machines")
                LOG.warning(f"{text}: tables may differ in their bytes")
    return max(1, sum(map(int, client.nthreads().values())))


def _versions() -> dict[str, str]:
    from fer_edge import __version__

    versions = {"fer-edge-toolkit": __version__}
    for name in _COMPARED[1:]:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _outcome(future: Any, job: Job) -> Outcome:
    from distributed import KilledWorker

    try:
        outcome: Outcome = future.result()
    except KilledWorker:
        return Outcome(job.number, error=f"{job.file}: every worker that read it was lost")
    return outcome


_OWN: Final = threading.local()
"""Network and detector of each thread of a worker: neither may be used by two at once."""


def _on_worker(job: Job, recipe: Recipe, shipped: dict[str, bytes]) -> Outcome:
    """The body of a task."""
    from fer_edge.dependencies import set_defaults
    from fer_edge.missing import explained

    set_defaults()

    def opened() -> Tools:
        if getattr(_OWN, "recipe", None) != recipe:
            _OWN.tools = open_tools(recipe, shipped)
            _OWN.recipe = recipe
        tools: Tools = _OWN.tools
        return tools

    with explained():
        return carry_out(job, recipe, opened)
