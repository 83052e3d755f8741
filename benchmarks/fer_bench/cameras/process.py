"""The process that watches several cameras and reports on them, in one JSON line at the end.

Started as ``python -m fer_bench.cameras.process OPTIONS`` by :mod:`fer_bench.cameras.run`; OPTIONS is a JSON object.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import time
from typing import Any

__all__ = ["main", "watch"]


def main() -> int:
    """Watch the cameras that the options describe.

    Returns:
        The exit code.
    """
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # runtimes print to stdout
    from fer_edge.errors import FerError

    try:
        answer = {"kind": "done", **watch(json.loads(sys.argv[1]))}
    except FerError as error:
        answer = {"kind": "error", "error": type(error).__name__, "message": str(error)}
    answers.write(json.dumps(answer) + "\n")
    answers.flush()
    os._exit(0)  # a camera that hangs is not waited for


def watch(options: dict[str, Any]) -> dict[str, Any]:
    """Watch for ``seconds`` from the first result on.

    Args:
        options: ``model``, ``backend``, ``threads``, ``detector``, ``detector_model``, ``sources``, ``seconds``.

    Returns:
        ``cameras``: figures of each source, in their order.

    Raises:
        FerError: the model or the detector cannot be used.
    """
    from fer_edge.cameras.camera import Camera, CameraOptions
    from fer_edge.cameras.group import CameraGroup
    from fer_edge.capture.frames import CaptureOptions
    from fer_edge.capture.open import open_source
    from fer_edge.faces.detectors import open_detector
    from fer_edge.loading.open import open_classifier
    from fer_edge.native import give_memory_back

    give_memory_back()
    capture = CaptureOptions(realtime=True, loop=True)
    # As from cameras, also where files play their part.
    camera_options = CameraOptions(motion=options["motion"])
    cameras = [
        Camera(f"camera{number}", functools.partial(open_source, source, capture), camera_options)
        for number, source in enumerate(options["sources"])
    ]
    classifier = open_classifier(options["model"], backend=options["backend"], threads=options["threads"])
    detector = open_detector(options["detector"], options["detector_model"])
    group = CameraGroup(cameras, classifier, detector)
    first: dict[str, float] = {}
    last: dict[str, float] = {}

    def note(camera: Camera, _result: object) -> None:
        now = time.monotonic()
        first.setdefault(camera.name, now)
        last[camera.name] = now

    group.start(note)
    until: float | None = None
    give_up = time.monotonic() + 60.0
    while time.monotonic() < (give_up if until is None else until):
        time.sleep(0.05)
        if first and until is None:
            until = min(first.values()) + options["seconds"]
    figures = [_figures(camera, first, last) for camera in cameras]
    group.close()
    return {"cameras": figures}


def _figures(camera: Any, first: dict[str, float], last: dict[str, float]) -> dict[str, Any]:
    stats, name = camera.stats, camera.name
    seconds = last.get(name, 0.0) - first.get(name, 0.0)
    return {
        "n_frames": stats.frames,
        "n_faces": stats.faces,
        "n_dropped": stats.dropped,
        "results_per_s": (stats.frames - 1) / seconds if seconds > 0 else 0.0,
        "p99_ms": stats.age_percentiles_ms(99)[0] if stats.frames else None,
        "busy_s": dict(stats.busy_s),
        "searched": vars(camera.searched),
    }


if __name__ == "__main__":
    sys.exit(main())
