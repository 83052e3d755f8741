"""The command `fer-camera`: options, configuration file, service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fer_edge.lazy import lazy_names

if TYPE_CHECKING:
    from fer_edge.app.cli import main, parse_arguments
    from fer_edge.app.options import build_parser

__all__ = [
    "build_parser",
    "main",
    "parse_arguments",
]

_HOMES: Final[dict[str, str]] = {
    "main": "fer_edge.app.cli",
    "parse_arguments": "fer_edge.app.cli",
    "build_parser": "fer_edge.app.options",
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
