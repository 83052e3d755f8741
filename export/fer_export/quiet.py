"""Keeps the chatter of native libraries off the terminal."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def quiet_natives() -> Iterator[None]:
    """Hold back what C++ code writes to stderr (TensorFlow's notes on CUDA, oneDNN and converters).

    Python's own ``sys.stderr`` still reaches the terminal. What was held back is printed after all if the block fails,
    since it may explain the failure.
    """
    sys.stderr.flush()
    terminal = os.dup(2)
    python_stderr = sys.stderr
    with tempfile.TemporaryFile() as held, os.fdopen(os.dup(terminal), "w", buffering=1) as direct:
        os.dup2(held.fileno(), 2)
        sys.stderr = direct
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(terminal, held.read())
            raise
        finally:
            sys.stderr = python_stderr
            os.dup2(terminal, 2)
            os.close(terminal)
