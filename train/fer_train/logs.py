"""The logger of this package; what its levels mean, and how commands show them: :mod:`fer_edge.logs`."""

from __future__ import annotations

import logging
from typing import Final

__all__ = ["LOG"]

LOG: Final = logging.getLogger("fer_train")
"""Notices of everything in ``fer_train``: DEBUG for what was chosen and where it was read from."""
