"""Campaigns: tests whose depth is chosen from outside, and whose numbers are kept.

``pytest tests/reliability`` runs a short slice of each; with ``FER_RELIABILITY=full`` in the environment it runs all of
it and writes ``out/reliability/NAME.json``, from which ``docs/reliability.md`` is written. A number instead of ``full``
is the part of it that is run: ``FER_RELIABILITY=0.1``.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from fer_edge.files import write_text

CHECKOUT: Final[Path] = Path(__file__).parents[2]
OUT: Final[Path] = CHECKOUT / "out" / "reliability"
_asked = os.environ.get("FER_RELIABILITY", "")
PART: Final[float] = 1.0 if _asked == "full" else float(_asked or 0.0)


class Campaign:
    """The depth and the numbers of one test."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._began = time.monotonic()

    def count(self, short: int, full: int) -> int:
        """How often to try."""
        return max(short, round(PART * full))

    def record(self, **numbers: Any) -> None:
        """Keep what came out (of more than a slice), with the conditions that it came out under."""
        print(json.dumps({self.name: numbers}))
        if PART:
            conditions = {
                "part": PART,
                "seconds": round(time.monotonic() - self._began, 1),
                "date": time.strftime("%Y-%m-%d %H:%M"),
                "python": platform.python_version(),
                "opencv": cv2.__version__,
                "numpy": np.__version__,
                "load_average": [round(load, 1) for load in os.getloadavg()],
                "cores": os.cpu_count(),
            }
            write_text(OUT / f"{self.name}.json", json.dumps({**numbers, "conditions": conditions}, indent=1) + "\n")


def wait_for(condition: Callable[[], object], what: str, timeout_s: float = 60.0) -> float:
    """Wait until ``condition`` holds; the seconds that it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < timeout_s, f"waited {timeout_s:.0f} s for {what}"
        time.sleep(0.02)
    return time.monotonic() - began


class Camera:
    """A real ``fer-camera`` in a process of its own, with the shipped network and Haar."""

    def __init__(self, folder: Path, source: object, *options: object) -> None:
        self._said = folder / "stderr.txt"
        command = [sys.executable, str(CHECKOUT / "edge" / "run_camera.py"), "--source", str(source), "--headless"]
        command += ["--detector", "haar", "--detect-width", "160", *map(str, options)]
        with self._said.open("w") as said:
            # A nohup before the tests must not make the camera deaf to SIGHUP.
            self.process = subprocess.Popen(
                ["env", "--default-signal=HUP", *command], cwd=folder, stdout=subprocess.DEVNULL, stderr=said
            )

    @property
    def said(self) -> str:
        """What it wrote to standard error."""
        return self._said.read_text()

    def end(self, number: int, timeout_s: float = 60.0) -> int:
        """Send a signal; the exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout_s)

    def wait_for_lines(self, path: Path, n: int) -> None:
        """Wait until so many lines are in a file."""

        def there() -> bool:
            assert self.process.poll() is None, self.said
            return path.exists() and path.read_bytes().count(b"\n") >= n

        wait_for(there, f"{n} lines in {path.name}")

    def __enter__(self) -> Camera:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


def whole_lines(path: Path) -> list[dict[str, Any]]:
    """The finished lines of a JSON lines file, those that begin a run left out; fails on one that is not whole."""
    *finished, _unfinished = path.read_bytes().split(b"\n")
    rows: list[dict[str, Any]] = [json.loads(line) for line in finished]
    return [row for row in rows if "event" not in row]


def playable_frames(path: Path) -> int:
    """How many frames of a video can be decoded."""
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    count = 0
    while capture.read()[0]:
        count += 1
    capture.release()
    return count


def rss_kib(pid: int) -> int:
    """Resident memory of a process (Linux)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError(f"process {pid} has no memory")


def figures(values: Sequence[float]) -> dict[str, float]:
    """Least, median and greatest."""
    return {
        "min": round(float(np.min(values)), 3),
        "median": round(float(np.median(values)), 3),
        "max": round(float(np.max(values)), 3),
    }
