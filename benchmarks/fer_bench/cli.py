"""``fer-bench``: what a model costs on this machine, and what it is worth."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from fer_bench.options import compare_parser, measure_parser
from fer_bench.subcommands import SUBCOMMANDS
from fer_edge.command import run_command

main = SUBCOMMANDS.main


def measure(arguments: Sequence[str]) -> int:
    """``fer-bench`` without a subcommand; returns the exit code."""

    def body() -> int:
        options = measure_parser().parse_args(arguments)
        from fer_bench.measure_command import measure_main

        return measure_main(options, arguments)

    return run_command("fer-bench", body)


def compare(arguments: Sequence[str]) -> int:
    """``fer-bench compare``; returns the exit code."""

    def body() -> int:
        options = compare_parser().parse_args(arguments)
        from fer_bench.compare.models import compare_main

        return compare_main(options)

    return run_command("fer-bench compare", body)


if __name__ == "__main__":
    sys.exit(main())
