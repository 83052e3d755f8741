"""``python -m fer_train`` is ``fer-train``."""

from __future__ import annotations

import sys

from fer_edge.start import fer_train

if __name__ == "__main__":
    sys.exit(fer_train())
