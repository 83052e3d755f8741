"""What follows ``fer-export``: nothing but options for an export, or one of these words."""

from __future__ import annotations

from typing import Final

from fer_edge.subcommands import Subcommand, Subcommands

__all__ = ["SUBCOMMANDS"]

SUBCOMMANDS: Final = Subcommands(
    "fer-export",
    "fer_export.cli:export",
    {"release": Subcommand("fer_export.release_command:release", "fill models/ of a checkout from a finished run")},
)
