"""Silence for the C and C++ libraries, which write to standard error what no user can use."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import TextIO

__all__ = ["quiet_native_libraries"]


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
