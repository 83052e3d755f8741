"""Silence for the C and C++ libraries, which write to standard error what no user can use."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def quiet_native_libraries() -> Iterator[None]:
    """Within it, only Python writes to standard error; OpenCV, FFmpeg, Qt, libjpeg and LiteRT write to nowhere.

    Their descriptor 2 is led away and ``sys.stderr`` gets a copy of the real one. Without a real one, nothing happens.
    """
    try:
        real = os.dup(2)
        is_real = sys.stderr is not None and sys.stderr.fileno() == 2
    except (OSError, ValueError):  # closed, or replaced by something that is no file
        yield
        return
    if not is_real:
        os.close(real)
        yield
        return
    before = sys.stderr
    before.flush()
    with open(real, "w", encoding=before.encoding, errors="backslashreplace", buffering=1) as ours:  # noqa: PTH123
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)
        sys.stderr = ours
        try:
            yield
        finally:
            ours.flush()
            os.dup2(real, 2)
            sys.stderr = before
