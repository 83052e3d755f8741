"""One checkout's camera pipeline over a video, in a process of its own; started by ``interleaved_trees.py``.

It imports nothing but ``fer_edge``, from the checkout that is first in ``PYTHONPATH``, and what that needs anyway, by
names that have not changed since the first release: old versions must run, too. Two kinds of process:

* ``start``: as a camera program would begin; time to the first result, and the highest memory of one pass;
* ``rates``: frames per second and CPU per frame of several passes, then the detector alone.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

WIDTH, HEIGHT = 320, 192
"""Of the view that the detector alone is timed on: both are multiples of 32, so nothing is padded."""
LARGE = (1920, 1080)
N_FRAMES = 16
"""Frames of the video, evenly spaced, that the detector alone is timed on."""
REPEATS = 4


def main() -> int:
    """Arguments, as JSON: what, tree, video, model, detector_model, passes, photos, started_ns (monotonic)."""
    asked = json.loads(sys.argv[1])
    import fer_edge
    from fer_edge import FacePipeline, open_classifier
    from fer_edge.faces import open_detector

    home = Path(str(fer_edge.__file__)).resolve()
    if Path(asked["tree"]).resolve() not in home.parents:
        sys.stderr.write(f"fer_edge comes from {home}, not from {asked['tree']}\n")
        return 1
    classifier, detector = open_classifier(asked["model"]), open_detector("yunet", asked["detector_model"])

    def pipeline(source: str, **options: Any) -> Any:
        return FacePipeline(source, classifier, options.get("detector", detector))

    first_s = None
    for _ in pipeline(asked["video"]):
        if first_s is None:
            first_s = (time.monotonic_ns() - int(asked["started_ns"])) / 1e9
    answer: dict[str, Any] = {"first_result_s": first_s, "peak_mib": peak_mib()}
    if asked["what"] == "rates":
        answer["passes"] = [one_pass(lambda: pipeline(asked["video"])) for _ in range(int(asked["passes"]))]
        answer |= alone(detector, asked["video"])
        # With no detector given, photos are searched for small faces, too; its file lies in the cache folder.
        answer["photos"] = {
            Path(photo).name: sum(len(result.faces) for result in pipeline(photo, detector=None))
            for photo in asked["photos"]
        }
    sys.stdout.write(json.dumps(answer) + "\n")
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


def alone(detector: Any, video: str) -> dict[str, float]:
    """Median CPU ms of one search, on one thread: of a small view, and of a large frame that is shrunk first."""
    import cv2

    cv2.setNumThreads(1)
    frames = some_frames(video)
    small = [cv2.resize(frame, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA) for frame in frames]
    large = [cv2.resize(frame, LARGE, interpolation=cv2.INTER_LINEAR) for frame in frames]
    return {"detect_ms": median_ms(detector.detect, small), "large_ms": median_ms(detector.detect, large)}


def some_frames(video: str) -> list[Any]:
    """Evenly spaced frames."""
    import cv2

    capture, frames = cv2.VideoCapture(video), []
    while (got := capture.read())[0]:
        frames.append(got[1])
    capture.release()
    return frames[:: max(1, len(frames) // N_FRAMES)][:N_FRAMES]


def median_ms(search: Callable[[Any], Any], frames: list[Any]) -> float:
    """Of all calls but the first one. Each picture has just been written, as a decoder writes it into the caches."""
    written = frames[0].copy()
    search(written)
    times = []
    for frame in frames * REPEATS:
        written[:] = frame
        began = time.thread_time()
        search(written)
        times.append(time.thread_time() - began)
    return 1e3 * sorted(times)[len(times) // 2]


def peak_mib() -> float | None:
    """Highest resident memory of this process, in MiB; None where the system does not tell."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.is_file() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")), None)


if __name__ == "__main__":
    sys.exit(main())
