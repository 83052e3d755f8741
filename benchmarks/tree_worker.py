"""One checkout's camera pipeline over a video, in a process of its own; started by ``interleaved_trees.py``.

It imports nothing but ``fer_edge``, from the checkout that is first in ``PYTHONPATH``, by names that have not changed
since the first release: old versions must run, too.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def main() -> int:
    """Arguments: checkout, video, model, detector's model, timed passes, ``time.monotonic_ns()`` of the start."""
    tree, video, model, detector_model, passes, started_ns = sys.argv[1:]
    import fer_edge
    from fer_edge import FacePipeline, open_classifier
    from fer_edge.faces import open_detector

    home = Path(str(fer_edge.__file__)).resolve()
    if Path(tree).resolve() not in home.parents:
        sys.stderr.write(f"fer_edge comes from {home}, not from {tree}\n")
        return 1
    classifier, detector = open_classifier(model), open_detector("yunet", detector_model)

    def pipeline() -> Any:
        return FacePipeline(video, classifier, detector)

    first_s = None
    for _ in pipeline():
        if first_s is None:
            first_s = (time.monotonic_ns() - int(started_ns)) / 1e9
    rounds = [one_pass(pipeline) for _ in range(int(passes))]
    sys.stdout.write(json.dumps({"first_result_s": first_s, "peak_mib": peak_mib(), "passes": rounds}) + "\n")
    return 0


def one_pass(open_pipeline: Callable[[], Any]) -> dict[str, Any]:
    """The whole video once."""
    pipeline = open_pipeline()
    wall, cpu = time.perf_counter(), os.times()
    for result in pipeline:
        json.dumps(result.as_dict())
    used = os.times()
    figures = {
        "frames": pipeline.stats.frames,
        "faces": pipeline.stats.faces,
        "wall_s": time.perf_counter() - wall,
        "cpu_s": used.user + used.system - cpu.user - cpu.system,
    }
    searched = getattr(pipeline, "searched", None)
    return figures if searched is None else figures | {"searched": vars(searched)}


def peak_mib() -> float | None:
    """Highest resident memory of this process, in MiB; None where the system does not tell."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.is_file() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")), None)


if __name__ == "__main__":
    sys.exit(main())
