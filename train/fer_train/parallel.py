"""Work spread over all cores in order, with a bounded number of items in flight."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from fer_edge.system import usable_cpus

__all__ = ["ordered_map"]

T = TypeVar("T")
R = TypeVar("R")


def ordered_map(function: Callable[[T], R], items: Iterable[T], *, batch: int = 256, workers: int = 0) -> Iterator[R]:
    """``map`` on threads, in order; memory stays bounded.

    Threads suffice because decoding, inflating, hashing and file access all let go of the interpreter lock.

    Args:
        function: called on a thread.
        items: taken as they are needed.
        batch: how many items a thread takes at once.
        workers: how many threads; 0 takes one per core.

    Yields:
        The results, in the order of the items.
    """
    workers = workers or max(2, usable_cpus())

    def work(part: list[T]) -> list[R]:
        return [function(item) for item in part]

    stream = iter(items)
    with ThreadPoolExecutor(workers) as pool:
        pending: deque[Future[list[R]]] = deque()
        try:
            while True:
                while len(pending) < 2 * workers and (part := list(islice(stream, batch))):
                    pending.append(pool.submit(work, part))
                if not pending:
                    return
                yield from pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
