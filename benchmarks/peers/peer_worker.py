"""Runs one other package, in its own environment and process, on the same faces and the same video as ours.

    python peer_worker.py NAME FACES.npz VIDEO STARTED_NS

FACES holds grey faces ``(N, 48, 48)`` uint8 as ``images``. Prints one JSON object: the emotion decided for each face
(the package's own network and scaling, without its face detector), and for the video frames a second, faces found, and
the time from starting this process to the first result. Needs nothing of this project.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

Image = Any
Decide = Callable[[Any], list[str]]
Watch = Callable[[Image], int]


def open_fer() -> tuple[Decide, Watch]:
    """``fer`` by Justin Shenk: Keras network of 64 x 64 pixels; faces by Haar, as it does by default.

    Its MTCNN option needs PyTorch beside TensorFlow in one process, which ends in an LLVM error with these versions.
    """
    import cv2
    import numpy as np
    from fer.fer import FER  # type: ignore[import-not-found]

    model = FER(mtcnn=False)
    names = model._get_labels()

    def decide(faces: Any) -> list[str]:
        resized = np.array([cv2.resize(face, (64, 64)) for face in faces], dtype="float32")
        scores = np.asarray(model._classify_emotions((resized / 255.0 - 0.5) * 2.0))
        return [names[int(i)] for i in scores.argmax(axis=1)]

    def watch(frame: Image) -> int:
        return len(model.detect_emotions(frame))

    return decide, watch


def open_facial_emotion_recognition() -> tuple[Decide, Watch]:
    """``facial-emotion-recognition`` by Rayyan Akhtar: PyTorch network of 48 x 48 pixels; faces by MTCNN."""
    import torch  # type: ignore[import-not-found]
    from facial_emotion_recognition import EmotionRecognition  # type: ignore[import-not-found]

    # Its weights were saved on a GPU and it loads them without saying where to: alone it fails on every CPU.
    load = torch.load
    torch.load = lambda *given, **options: load(*given, **{"map_location": "cpu", **options})
    model = EmotionRecognition(device="cpu")
    torch.load = load
    found = 0

    def decide(faces: Any) -> list[str]:
        return [model._predict(face).lower() for face in faces]

    predict = model._predict

    def counted(face: Any) -> Any:
        nonlocal found
        found += 1
        return predict(face)

    def watch(frame: Image) -> int:
        nonlocal found
        found, model._predict = 0, counted
        model.recognise_emotion(frame)
        model._predict = predict
        return found

    return decide, watch


PEERS: dict[str, tuple[str, Callable[[], tuple[Decide, Watch]]]] = {
    "fer": ("haar", open_fer),
    "facial-emotion-recognition": ("mtcnn", open_facial_emotion_recognition),
}
"""Package -> its face detector, and how to open it."""


def peak_mib() -> float | None:
    """Highest resident memory of this process, in MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return None


def main() -> int:
    """Video first, because the time to the first result counts from the start of the process; then the faces."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # the packages print
    name, faces_path, video_path, started_ns = sys.argv[1:5]
    from importlib import metadata

    import cv2
    import numpy as np

    detector, opener = PEERS[name]
    decide, watch = opener()
    capture = cv2.VideoCapture(video_path)
    frames, faces, spent, first_ms = 0, 0, 0.0, None
    while True:
        before = time.perf_counter()
        ok, frame = capture.read()
        if not ok:
            break
        with contextlib.redirect_stdout(sys.stderr):
            faces += watch(frame)
        frames += 1
        if first_ms is None:  # loading and tracing are in the first result, not in the rate
            first_ms = (time.monotonic_ns() - int(started_ns)) / 1e6
        else:
            spent += time.perf_counter() - before
    peak = peak_mib()
    images = np.load(faces_path)["images"]
    decided: list[str] = []
    for start in range(0, len(images), 64):
        decided += decide(images[start : start + 64])
    found = {
        "package": name,
        "version": metadata.version(name),
        "detector": detector,
        "n_frames": frames,
        "n_faces": faces,
        "throughput_fps": (frames - 1) / spent if spent else None,
        "first_result_ms": first_ms,
        "peak_rss_mib": peak,
        "decided": decided,
    }
    answers.write(json.dumps(found) + "\n")
    answers.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
