"""Several cameras at once, with one face detector and one network for all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fer_edge.lazy import lazy_names

if TYPE_CHECKING:
    from fer_edge.cameras.camera import Camera, CameraOptions
    from fer_edge.cameras.group import CameraGroup
    from fer_edge.cameras.turns import Turns

__all__ = [
    "Camera",
    "CameraGroup",
    "CameraOptions",
    "Turns",
]

_HOMES: Final[dict[str, str]] = {
    "Camera": "fer_edge.cameras.camera",
    "CameraOptions": "fer_edge.cameras.camera",
    "CameraGroup": "fer_edge.cameras.group",
    "Turns": "fer_edge.cameras.turns",
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
