"""``python -m fer_bench`` is ``fer-bench``."""

from __future__ import annotations

import sys

from fer_bench.cli import main

if __name__ == "__main__":
    sys.exit(main())
