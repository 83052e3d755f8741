"""``python -m fer_edge`` is ``fer-camera``."""

from __future__ import annotations

import sys

from fer_edge.app.cli import main

if __name__ == "__main__":
    sys.exit(main())
