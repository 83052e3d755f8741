"""Several cameras in one process, against as many processes with one each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fer_edge.lazy import lazy_names

if TYPE_CHECKING:
    from fer_bench.cameras.command import cameras_main, measure_cameras
    from fer_bench.cameras.figures import CamerasReport

__all__ = ["CamerasReport", "cameras_main", "measure_cameras"]

_HOMES: Final[dict[str, str]] = {
    "cameras_main": "fer_bench.cameras.command",
    "measure_cameras": "fer_bench.cameras.command",
    "CamerasReport": "fer_bench.cameras.figures",
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
