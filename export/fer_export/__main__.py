"""``python -m fer_export`` is ``fer-export``."""

from __future__ import annotations

import sys

from fer_export.cli import main

if __name__ == "__main__":
    sys.exit(main())
