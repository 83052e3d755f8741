"""What all tests share."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

import pytest

with contextlib.suppress(ImportError):
    import hypothesis

    # On a busy machine an example of milliseconds may take a second; these tests are not about time.
    hypothesis.settings.register_profile("patient", deadline=None)
    hypothesis.settings.load_profile("patient")


@pytest.fixture
def notices() -> Iterator[list[str]]:
    """What the toolkit logs from INFO up, as it comes."""
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    log, handler = logging.getLogger("fer_edge"), Keep()
    level, propagate = log.level, log.propagate
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False  # a notice in a test is no warning of pytest's
    yield lines
    log.removeHandler(handler)
    log.setLevel(level)
    log.propagate = propagate
