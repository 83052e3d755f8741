"""Work spread over all cores in order, with a bounded number of items in flight."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def ordered_map(function: Callable[[T], R], items: Iterable[T], *, batch: int = 256, workers: int = 0) -> Iterator[R]:
    """``map`` on threads, in order; items are taken as they are needed, so memory stays bounded.

    Threads suffice because decoding, inflating, hashing and file access all let go of the interpreter lock. There are
    ``workers``, or one a core.
    """
    workers = workers or max(2, cores())

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
