"""Runs ``fer-camera`` with the arguments given and prints the peak memory of this process in MiB (Linux).

``--watch PORT`` as the first argument: somebody looks at the live picture of the page meanwhile.
"""

from __future__ import annotations

import sys
import threading
import time
import urllib.request
from pathlib import Path

from fer_edge.app.cli import main


def look(port: int) -> None:
    """Read the live picture until it ends."""
    for _ in range(200):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/video", timeout=5) as answer:
                while answer.read(65536):
                    pass
            return
        except OSError:
            time.sleep(0.05)


if __name__ == "__main__":
    given = sys.argv[1:]
    if given[:1] == ["--watch"]:
        threading.Thread(target=look, args=(int(given[1]),), daemon=True).start()
        given = given[2:]
    code = main(given)
    lines = Path("/proc/self/status").read_text().splitlines()
    print(next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM")))
    sys.exit(code)
