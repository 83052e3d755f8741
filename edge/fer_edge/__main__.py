"""``python -m fer_edge`` is ``fer-camera``."""

from __future__ import annotations

import sys

from fer_edge.start import fer_camera

if __name__ == "__main__":
    sys.exit(fer_camera())
