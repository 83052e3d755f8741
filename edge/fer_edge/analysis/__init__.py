"""Many videos and images to tables: ``fer-analyze``, and :func:`read_table` for its results.

The command line names files (``inputs.py``, addresses: ``remote.py``); each becomes a job that a process of this
machine (``workers.py``) or of a Dask cluster (``cluster.py``) carries out (``one_file.py``: pipeline, ``table.py``,
``summary.py``, ``timeline.py``). One process writes (``store.py``), and at the end makes the tables of all
(``combine.py``, ``overview.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fer_edge.lazy import lazy_names

if TYPE_CHECKING:
    from fer_edge.analysis.read import read_table

__all__ = ["read_table"]

_HOMES: Final[dict[str, str]] = {"read_table": "fer_edge.analysis.read"}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
