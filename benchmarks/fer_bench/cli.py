"""``fer-bench``: what a model costs on this machine, and what it is worth."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from fer_bench.options import (
    bench_request,
    compare_parser,
    compare_request,
    demo_parser,
    destinations,
    measure_parser,
    robustness_parser,
    robustness_request,
)
from fer_bench.subcommands import SUBCOMMANDS
from fer_edge.command import run_command

__all__ = ["compare", "demo", "main", "measure", "robustness"]

main = SUBCOMMANDS.main


def measure(arguments: Sequence[str]) -> int:
    """``fer-bench`` without a subcommand.

    Args:
        arguments: without the program's name.

    Returns:
        The exit code.
    """

    def body() -> int:
        options = measure_parser().parse_args(arguments)
        request = bench_request(options)
        from fer_bench.measure_command import measure_main

        return measure_main(
            request,
            destinations(options),
            verify=options.verify,
            require_valid=options.require_valid,
            command=["fer-bench", *arguments],
        )

    return run_command("fer-bench", body)


def compare(arguments: Sequence[str]) -> int:
    """``fer-bench compare``.

    Args:
        arguments: without the names of program and subcommand.

    Returns:
        The exit code.
    """

    def body() -> int:
        request = compare_request(compare_parser().parse_args(arguments))
        from fer_bench.compare.command import compare_main

        return compare_main(request)

    return run_command("fer-bench compare", body)


def demo(arguments: Sequence[str]) -> int:
    """``fer-bench demo``.

    Args:
        arguments: without the names of program and subcommand.

    Returns:
        The exit code.
    """

    def body() -> int:
        options = demo_parser().parse_args(arguments)
        from fer_bench.report.demo_page import demo_main

        return demo_main(options.out, options.data, options.split)

    return run_command("fer-bench demo", body)


def robustness(arguments: Sequence[str]) -> int:
    """``fer-bench robustness``.

    Args:
        arguments: without the names of program and subcommand.

    Returns:
        The exit code.
    """

    def body() -> int:
        options = robustness_parser().parse_args(arguments)
        request = robustness_request(options)
        from fer_bench.robustness.command import print_kinds, robustness_main

        if options.list:
            return print_kinds(request)
        return robustness_main(request, ["fer-bench", "robustness", *arguments])

    return run_command("fer-bench robustness", body)


if __name__ == "__main__":
    sys.exit(main())
