"""``fer-camera`` for a copied ``edge/`` folder: ``python run_camera.py --help``; needs ``requirements.txt`` only."""

from __future__ import annotations

import sys

from fer_edge.start import fer_camera

if __name__ == "__main__":
    sys.exit(fer_camera())
