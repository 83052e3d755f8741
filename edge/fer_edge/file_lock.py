"""Only one process at a time in a folder."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from fer_edge.errors import UsageError

__all__ = ["locked"]


@contextlib.contextmanager
def locked(path: Path, busy: str) -> Iterator[None]:
    """Hold a file or a folder; the lock belongs to the process and goes with it, so a killed one leaves none.

    Where the system or the file system knows no such lock (Windows, some network shares), nothing is held.

    Args:
        path: a folder that exists, or a file, which is made; its folder exists.
        busy: what to say where another process holds it.

    Yields:
        Nothing.

    Raises:
        UsageError: another process holds it.
    """
    try:
        import fcntl
    except ImportError:  # Windows: no advisory locks in the standard library that survive a kill cleanly
        yield
        return
    flags = os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT
    handle = os.open(path, flags | os.O_CLOEXEC, 0o666)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(busy) from None
        except OSError:  # NFS takes no exclusive lock on what is open for reading alone
            pass
        yield
    finally:
        os.close(handle)
