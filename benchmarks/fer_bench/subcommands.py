"""What follows ``fer-bench``: nothing but options for a measurement of models, or one of these words."""

from __future__ import annotations

from typing import Final

from fer_edge.subcommands import Subcommand, Subcommands

__all__ = ["SUBCOMMANDS"]

SUBCOMMANDS: Final = Subcommands(
    "fer-bench",
    "fer_bench.cli:measure",
    {
        "compare": Subcommand("fer_bench.cli:compare", "compare two measurements of the same models"),
        "robustness": Subcommand("fer_bench.cli:robustness", "accuracy on disturbed faces: noise, blur, light ..."),
        "demo": Subcommand("fer_bench.cli:demo", "one page of what make demo left in a folder"),
    },
)
