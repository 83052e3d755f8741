"""The C library's memory, kept or given back, and silence for C and C++ libraries, whose words no user can use."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator
from typing import Final, TextIO

__all__ = [
    "ARENAS",
    "KEPT_BYTES",
    "LARGE_BYTES",
    "MALLOC_VARIABLES",
    "give_memory_back",
    "keep_memory",
    "quiet_native_libraries",
]

# <malloc.h> of glibc
_M_TRIM_THRESHOLD: Final[int] = -1
_M_TOP_PAD: Final[int] = -2
_M_MMAP_THRESHOLD: Final[int] = -3
_M_MMAP_MAX: Final[int] = -4
_M_ARENA_MAX: Final[int] = -8
LARGE_BYTES: Final[int] = 7 << 20
"""More than a picture of 1920x1080 (5.9 MiB), less than the brightness alone of one of 3840x2160 (7.9 MiB)."""
ARENAS: Final[int] = 2
KEPT_BYTES: Final[int] = 2**31 - 1
"""As much unused memory as :func:`keep_memory` can ask for."""
_STEP_BYTES: Final[int] = 64 << 20
MALLOC_VARIABLES: Final = (
    "MALLOC_MMAP_THRESHOLD_",
    "MALLOC_MMAP_MAX_",
    "MALLOC_TRIM_THRESHOLD_",
    "MALLOC_TOP_PAD_",
    "MALLOC_ARENA_MAX",
    "GLIBC_TUNABLES",
)


def give_memory_back() -> bool:
    """From now on the memory of a large picture goes back to the system at once; glibc only, elsewhere nothing happens.

    By itself glibc learns to keep pieces as large as those that were freed, up to 32 MiB, for each thread in an arena
    of its own: at 3840x2160 some 40 MiB (mallopt(3)). Smaller pictures stay where they are quick to be had. Whoever has
    set one of :data:`MALLOC_VARIABLES` knows better.

    Returns:
        Whether it was done.
    """
    return _set_malloc((_M_MMAP_THRESHOLD, LARGE_BYTES), (_M_TRIM_THRESHOLD, LARGE_BYTES), (_M_ARENA_MAX, ARENAS))


def keep_memory() -> bool:
    """From now on freed memory stays with the process, up to 2 GiB of it, for the next request; glibc only.

    For training: every step asks for the same large buffers and frees them again. By itself glibc fetches each one of
    more than 32 MiB from the system, which has to clear it page by page. One arena, or each thread would keep its own.
    Whoever has set one of :data:`MALLOC_VARIABLES`, or loads another allocator, knows better.

    Returns:
        Whether it was done; for another allocator it says True, too, and changes nothing.
    """
    return _set_malloc((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, KEPT_BYTES), (_M_TOP_PAD, _STEP_BYTES), (_M_ARENA_MAX, 1))


def _set_malloc(*settings: tuple[int, int]) -> bool:
    if any(name in os.environ for name in MALLOC_VARIABLES):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library, or Windows
        return False
    return all(mallopt(name, value) == 1 for name, value in settings)


@contextlib.contextmanager
def quiet_native_libraries() -> Iterator[None]:
    """Within it, only Python writes to standard error; OpenCV, FFmpeg, Qt, libjpeg and LiteRT write to nowhere.

    Descriptor 2 is led away; where ``sys.stderr`` writes to it, it gets a copy of the real one.

    Yields:
        Nothing.
    """
    try:
        real = os.dup(2)
    except OSError:  # closed: then nobody writes there
        yield
        return
    before = sys.stderr
    # Not closed by `with`: that would raise where nobody reads standard error any more.
    ours = open(real, "w", encoding="utf-8", errors="backslashreplace", buffering=1)  # noqa: PTH123, SIM115
    try:
        if _writes_to(before, 2):
            before.flush()
            sys.stderr = ours
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                ours.flush()
            os.dup2(real, 2)
            sys.stderr = before
    finally:
        with contextlib.suppress(OSError):
            ours.close()


def _writes_to(stream: TextIO | None, descriptor: int) -> bool:
    try:
        return stream is not None and stream.fileno() == descriptor
    except (OSError, ValueError):  # something that is no file
        return False
