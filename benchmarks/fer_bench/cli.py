"""``fer-bench``: what a model costs on this machine, and what it is worth."""

from __future__ import annotations

import sys

from fer_bench.subcommands import SUBCOMMANDS

main = SUBCOMMANDS.main


if __name__ == "__main__":
    sys.exit(main())
