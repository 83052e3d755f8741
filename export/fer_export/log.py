"""The logger of ``fer_export``: notices go to it, results to standard output (see :mod:`fer_edge.logs`)."""

from __future__ import annotations

import logging
from typing import Final

__all__ = ["LOG"]

LOG: Final = logging.getLogger("fer_export")
