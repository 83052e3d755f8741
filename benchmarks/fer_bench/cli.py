"""``fer-bench``: what a model costs on this machine, and what it is worth."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from fer_bench.compare.models import compare_main
from fer_bench.measure_command import measure_main
from fer_edge.command import run_command


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of ``fer-bench``; returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["compare"]:
        return run_command("fer-bench compare", lambda: compare_main(given[1:]))
    return run_command("fer-bench", lambda: measure_main(given))


if __name__ == "__main__":
    sys.exit(main())
