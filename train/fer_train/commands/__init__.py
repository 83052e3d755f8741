"""The commands: one module per command or subcommand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fer_edge.lazy import lazy_names

if TYPE_CHECKING:
    from fer_train.commands.recipe import recipe_from
    from fer_train.commands.subcommands import SUBCOMMANDS
    from fer_train.commands.train import build_parser

__all__ = [
    "SUBCOMMANDS",
    "build_parser",
    "recipe_from",
]

_HOMES: Final[dict[str, str]] = {
    "recipe_from": "fer_train.commands.recipe",
    "SUBCOMMANDS": "fer_train.commands.subcommands",
    "build_parser": "fer_train.commands.train",
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
