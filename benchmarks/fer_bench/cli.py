"""``fer-bench``: what a model costs on this machine, and what it is worth."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from fer_bench.options import compare_parser, measure_parser
from fer_edge.command import run_command


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of ``fer-bench``; returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["compare"]:
        return run_command("fer-bench compare", lambda: _compare(given[1:]))
    return run_command("fer-bench", lambda: _measure(given))


def _compare(given: Sequence[str]) -> int:
    options = compare_parser().parse_args(given)
    from fer_bench.compare.models import compare_main

    return compare_main(options)


def _measure(given: Sequence[str]) -> int:
    options = measure_parser().parse_args(given)
    from fer_bench.measure_command import measure_main

    return measure_main(options, given)


if __name__ == "__main__":
    sys.exit(main())
