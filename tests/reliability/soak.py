"""One long run of ``fer-camera`` with all outputs on, measured from within: ``python soak.py SETTINGS.json``.

The settings are ``{"frames", "arguments", "result"}``; the result holds, for each tenth of the run, memory,
descriptors, threads and the ages of results.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fer_edge import pipeline, results
from fer_edge.app import cli


def memory_kib() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError("no VmRSS")


class Neighbours:
    """How much of this process's processors other work has taken since the last time it was asked."""

    def __init__(self) -> None:
        self._last = self._look()

    @staticmethod
    def _look() -> tuple[float, float, float, float]:
        """Seconds: by the clock; busy and stolen on our processors; ours."""
        mine = {f"cpu{number}" for number in os.sched_getaffinity(0)}
        rows = [line.split() for line in Path("/proc/stat").read_text().splitlines() if line.split()[0] in mine]
        tick = os.sysconf("SC_CLK_TCK")
        busy = sum(int(row[i]) for row in rows for i in (1, 2, 3, 6, 7)) / tick
        stolen = sum(int(row[8]) for row in rows) / tick
        return time.monotonic() * len(mine), busy, stolen, sum(os.times()[:4])

    def since(self) -> dict[str, float]:
        """Shares of all processor time: of others, and taken by the machine under this one."""
        now = self._look()
        clock, busy, stolen, ours = (new - old for new, old in zip(now, self._last, strict=True))
        self._last = now
        return {"others_share": round(max(0.0, busy - ours) / clock, 3), "stolen_share": round(stolen / clock, 4)}


def main(settings_path: str) -> int:
    settings = json.loads(Path(settings_path).read_text())
    frames = int(settings["frames"])
    ages = np.zeros(frames, np.float32)  # all of it at once, so that measuring does not look like growing
    stages = np.zeros(frames, np.float32)
    ages.fill(1.0)
    stages.fill(1.0)
    tenths: list[dict[str, Any]] = []
    neighbours = Neighbours()
    began = time.monotonic()
    original = pipeline.FacePipeline.poll

    def poll(
        self: pipeline.FacePipeline, timeout_s: float, *, let_go_s: float = 0.0
    ) -> Iterator[results.Result | None]:
        before = time.perf_counter()
        for result in original(self, timeout_s, let_go_s=let_go_s):
            if result is not None:
                number = self.stats.frames - 1
                ages[number] = result.age_s
                now = time.perf_counter()
                stages[number], before = now - before, now
                if self.stats.frames % (frames // 10) == 0:
                    gc.collect()
                    tenths.append(
                        {
                            "frames": self.stats.frames,
                            "seconds": round(time.monotonic() - began, 1),
                            "memory_kib": memory_kib(),
                            "descriptors": len(list(Path("/proc/self/fd").iterdir())),
                            "threads": threading.active_count(),
                            "load": round(os.getloadavg()[0], 1),
                            **neighbours.since(),
                        }
                    )
            yield result

    pipeline.FacePipeline.poll = poll  # type: ignore[method-assign]
    code = cli.main(settings["arguments"])
    for number, tenth in enumerate(tenths):
        part = slice(number * (frames // 10), (number + 1) * (frames // 10))
        for name, values in (("age", ages), ("step", stages)):
            tenth[f"{name}_p50_ms"] = round(float(np.percentile(values[part], 50)) * 1e3, 3)
            tenth[f"{name}_p99_ms"] = round(float(np.percentile(values[part], 99)) * 1e3, 3)
    Path(settings["result"]).write_text(json.dumps({"exit": code, "frames": frames, "tenths": tenths}, indent=1))
    return code


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
