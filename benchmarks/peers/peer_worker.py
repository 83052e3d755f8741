"""Runs one package, another's or ours, in a process of its own, and answers one JSON object a line.

    python peer_worker.py NAME VIDEO STARTED_NS [OPTIONS]

It opens the package, decides the emotion in the first frame of VIDEO and says ``first_result_ms``, counted from
STARTED_NS (``time.monotonic_ns()`` just before it was started). Then it takes requests on stdin, one JSON object a
line: ``watch`` (the whole video: frames, faces, seconds), ``classify`` (the emotion of each grey face ``(N, 48, 48)``
uint8 in an ``.npz``, by the package's own network and scaling, without its face detector) and ``memory``.

Other packages run in an environment of their own, which needs nothing of this project.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

Image = Any


@dataclass
class Package:
    """What is asked of a package."""

    version: str
    detector: str
    watch: Callable[[str, int | None], tuple[int, int]]
    """``(video, limit of frames)`` -> frames and faces found."""
    decide: Callable[[Any], list[str]]
    """Grey faces ``(N, 48, 48)`` uint8 -> an emotion each."""


def _frame_by_frame(see: Callable[[Image], int]) -> Callable[[str, int | None], tuple[int, int]]:
    """The video through ``see``, which gives the number of faces in a frame."""
    import cv2

    def watch(video: str, limit: int | None) -> tuple[int, int]:
        capture = cv2.VideoCapture(video)
        frames, faces = 0, 0
        while limit is None or frames < limit:
            ok, frame = capture.read()
            if not ok:
                break
            faces += see(frame)
            frames += 1
        capture.release()
        return frames, faces

    return watch


def open_fer(options: dict[str, Any]) -> Package:
    """``fer`` by Justin Shenk: Keras network of 64 x 64 pixels; faces by Haar, as it does by default.

    Its MTCNN option needs PyTorch beside TensorFlow in one process, which ends in an LLVM error with these versions.
    """
    import cv2
    import numpy as np
    from fer.fer import FER  # type: ignore[import-not-found]

    del options
    model = FER(mtcnn=False)
    names = model._get_labels()

    def decide(faces: Any) -> list[str]:
        resized = np.array([cv2.resize(face, (64, 64)) for face in faces], dtype="float32")
        scores = np.asarray(model._classify_emotions((resized / 255.0 - 0.5) * 2.0))
        return [names[int(i)] for i in scores.argmax(axis=1)]

    return Package(_version("fer"), "haar", _frame_by_frame(lambda frame: len(model.detect_emotions(frame))), decide)


def open_facex(options: dict[str, Any]) -> Package:
    """``facex``: TensorFlow Lite network of 200 x 200 pixels; faces by Haar."""
    from facex import EmotionClassifier  # type: ignore[import-not-found]
    from facex import core as facex_core

    del options
    assets = Path(facex_core.__file__).parent / "assets"
    model = EmotionClassifier(str(assets / "model_optimized.tflite"))
    ours = {"anger": "angry", "sadness": "sad", "surprised": "surprise"}

    def best(scores: dict[str, Any]) -> str:
        name = max(scores, key=lambda key: float(scores[key]))
        return ours.get(name, name)

    return Package(
        _version("facex"),
        "haar",
        _frame_by_frame(lambda frame: len(model.predict(frame))),
        lambda faces: [best(model.detect_emotion(face)) for face in faces],
    )


def open_facial_emotion_recognition(options: dict[str, Any]) -> Package:
    """``facial-emotion-recognition`` by Rayyan Akhtar: PyTorch network of 48 x 48 pixels; faces by MTCNN."""
    import torch
    from facial_emotion_recognition import EmotionRecognition  # type: ignore[import-not-found]

    del options
    # Its weights were saved on a GPU and it loads them without saying where to: alone it fails on every CPU.
    load = torch.load
    torch.load = lambda *given, **more: load(*given, **{"map_location": "cpu", **more})
    model = EmotionRecognition(device="cpu")
    torch.load = load
    return _counting(model, "recognise_emotion", "facial-emotion-recognition")


def open_pyemotion(options: dict[str, Any]) -> Package:
    """``PyEmotion`` by Karthick Panneerselvam: PyTorch network of 48 x 48 pixels; faces by MTCNN."""
    from PyEmotion import DetectFace  # type: ignore[import-not-found]

    del options
    return _counting(DetectFace(device="cpu"), "predict_emotion", "PyEmotion")


def _counting(model: Any, method: str, distribution: str) -> Package:
    """Both PyTorch packages draw on the frame instead of returning faces, so their network's calls are counted."""
    predict, n_faces = model._predict, 0

    def counted(face: Any) -> Any:
        nonlocal n_faces
        n_faces += 1
        return predict(face)

    def see(frame: Image) -> int:
        nonlocal n_faces
        n_faces, model._predict = 0, counted
        getattr(model, method)(frame)
        model._predict = predict
        return n_faces

    return Package(
        _version(distribution),
        "mtcnn",
        _frame_by_frame(see),
        lambda faces: [str(predict(face)).lower() for face in faces],
    )


def open_ours(options: dict[str, Any]) -> Package:
    """This toolkit; ``options``: ``model``, ``detector``, ``detector_model``."""
    import numpy as np

    from fer_edge.faces.detectors import open_detector
    from fer_edge.labels import EMOTIONS
    from fer_edge.loading.open import open_classifier
    from fer_edge.pipeline import FacePipeline
    from fer_edge.preprocess import preprocess_face

    classifier = open_classifier(options["model"])
    detector = open_detector(options["detector"], options["detector_model"])

    def watch(video: str, limit: int | None) -> tuple[int, int]:
        pipeline = FacePipeline(video, classifier, detector, max_frames=limit)
        for _ in pipeline:
            pass
        return pipeline.stats.frames, pipeline.stats.faces

    def decide(faces: Any) -> list[str]:
        size = classifier.input_size
        prepared = np.stack([preprocess_face(face, size) for face in faces])
        return [EMOTIONS[int(i)] for i in classifier.predict(prepared).argmax(axis=1)]

    return Package(_version("fer-edge-toolkit"), options["detector"], watch, decide)


PACKAGES: dict[str, Callable[[dict[str, Any]], Package]] = {
    "ours": open_ours,
    "fer": open_fer,
    "facex": open_facex,
    "facial-emotion-recognition": open_facial_emotion_recognition,
    "PyEmotion": open_pyemotion,
}


def _version(distribution: str) -> str:
    from importlib import metadata

    return metadata.version(distribution)


def peak_mib() -> float | None:
    """Highest resident memory of this process, in MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return None


def answer(package: Package, video: str, request: dict[str, Any]) -> dict[str, Any]:
    """The answer to one request."""
    if request["op"] == "watch":
        before = time.perf_counter()
        frames, faces = package.watch(video, None)
        return {"n_frames": frames, "n_faces": faces, "seconds": time.perf_counter() - before}
    if request["op"] == "classify":
        import numpy as np

        images = np.load(request["faces"])["images"]
        decided: list[str] = []
        for start in range(0, len(images), 64):
            decided += package.decide(images[start : start + 64])
        return {"decided": decided}
    if request["op"] == "memory":
        return {"peak_rss_mib": peak_mib()}
    raise ValueError(f"unknown operation {request['op']}")


def main() -> int:
    """Open, answer the first frame, then serve requests until stdin closes."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # the packages print
    name, video, started_ns = sys.argv[1:4]
    package = PACKAGES[name](json.loads(sys.argv[4]) if len(sys.argv) > 4 else {})
    if package.watch(video, 1)[0] != 1:
        raise SystemExit(f"no frame in {video}")
    first_ms = (time.monotonic_ns() - int(started_ns)) / 1e6
    greeting = {"version": package.version, "detector": package.detector, "first_result_ms": first_ms}
    answers.write(json.dumps(greeting) + "\n")
    answers.flush()
    for line in sys.stdin:
        answers.write(json.dumps(answer(package, video, json.loads(line))) + "\n")
        answers.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
