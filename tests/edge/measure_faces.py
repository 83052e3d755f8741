"""Repeats measurements of edge/README.md on FER-2013 (``FER2013``) and on the sharp faces of ``FER_ASSETS``.

``python tests/edge/measure_faces.py sharp|confidence|batch [--model M]``
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from fer_edge.classifier import Classifier, open_classifier
from fer_edge.command import CommandParser, run_command
from fer_edge.faces import YuNetDetector
from fer_edge.labels import EMOTIONS
from fer_edge.preprocess import crop_square, resize_gray, to_gray
from fer_train.dataset import load_dataset

Gray = npt.NDArray[np.uint8]
THRESHOLDS = (0.0, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def at_once(gray: Gray, size: int) -> Gray:
    """What the preprocessing would do without its reduction to 48 pixels."""
    k = min(gray.shape) // (2 * size)
    if k >= 2:
        height, width = gray.shape[0] // k, gray.shape[1] // k
        blocks = gray[: height * k, : width * k].reshape(height, k, width, k)
        gray = ((blocks.sum(axis=(1, 3), dtype=np.uint32) + k * k // 2) // (k * k)).astype(np.uint8)
    return np.asarray(cv2.resize(gray, (size, size), interpolation=cv2.INTER_LINEAR_EXACT), np.uint8)


def first_48(gray: Gray, size: int) -> Gray:
    """As the product does it."""
    return resize_gray(resize_gray(gray, 48) if min(gray.shape) > 48 else gray, size)


VARIANTS: dict[str, Callable[[Gray, int], Gray]] = {"as it comes": at_once, "48 px first": first_48}


def predict(classifier: Classifier, faces: list[Gray], prepare: Callable[[Gray, int], Gray]) -> npt.NDArray[Any]:
    size = classifier.input_size
    parts = [faces[i : i + 64] for i in range(0, len(faces), 64)]
    return np.concatenate([classifier.predict(np.stack([prepare(face, size) for face in part])) for part in parts])


def public_test() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    split = load_dataset(os.environ["FER2013"]).split("validation")
    return np.asarray(split.images), np.asarray(split.labels)


def sharp(classifier: Classifier) -> None:
    assets = Path(os.environ["FER_ASSETS"])
    detector = YuNetDetector(assets / "detectors" / "face_detection_yunet_2023mar.onnx")

    def crops(frame: npt.NDArray[np.uint8]) -> list[Gray]:
        return [to_gray(crop_square(frame, face.box)) for face in detector.detect(frame)]

    capture = cv2.VideoCapture(str(assets / "faces" / "talking_head.mp4"))
    moving: list[Gray] = []
    while (read := capture.read())[0]:
        moving += crops(np.asarray(read[1], np.uint8))
    before: npt.NDArray[Any] | None = None
    for name, prepare in VARIANTS.items():
        probabilities = predict(classifier, moving, prepare)
        labels = probabilities.argmax(axis=1)
        before = labels if before is None else before
        counts = {EMOTIONS[i]: int(n) for i, n in zip(*np.unique(labels, return_counts=True), strict=True)}
        print(
            f"talking_head.mp4, {name}: n = {len(labels)}, {np.count_nonzero(np.diff(labels))} switches, mean "
            f"confidence {probabilities.max(axis=1).mean():.3f}, {np.mean(labels != before):.1%} changed, {counts}"
        )
    images, labels = public_test()
    same = all(np.array_equal(at_once(image, 96), first_48(image, 96)) for image in images)
    print(f"FER-2013 as it is, n = {len(images)}: inputs identical: {same}")
    faces, truth = [], []
    for image, label in zip(images, labels, strict=True):
        wide = cv2.copyMakeBorder(image, 12, 12, 12, 12, cv2.BORDER_REPLICATE)
        large = cv2.resize(wide, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
        found = crops(np.asarray(cv2.cvtColor(large, cv2.COLOR_GRAY2BGR), np.uint8))
        if len(found) == 1:
            faces.append(found[0])
            truth.append(label)
    base: npt.NDArray[Any] | None = None
    for name, prepare in VARIANTS.items():
        right = predict(classifier, faces, prepare).argmax(axis=1) == np.asarray(truth)
        base = right if base is None else base
        gain = right.astype(float) - base
        error = 1.96 * gain.std() / np.sqrt(len(gain))
        print(f"enlarged, {name}: n = {len(right)}, {right.mean():.2%}, {100 * gain.mean():+.2f} ± {100 * error:.2f}")


def confidence(classifier: Classifier) -> None:
    images, labels = public_test()
    probabilities = predict(classifier, list(images), resize_gray)
    best, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    print(
        f"PublicTest, n = {len(labels)}\n| --min-confidence | uncertain | accuracy of the rest |\n| --- | --- | --- |"
    )
    for threshold in THRESHOLDS:
        sure = best >= threshold
        print(f"| {threshold:g} | {1 - sure.mean():.1%} | {right[sure].mean():.1%} |")


def batch(classifier: Classifier, size: int = 4, rounds: int = 200) -> None:
    """One inference of ``size`` faces against ``size`` of one, turn by turn; the ratio survives a busy machine."""
    from ai_edge_litert.interpreter import Interpreter

    faces = np.random.default_rng(0).integers(
        -128, 128, (size, classifier.input_size, classifier.input_size, 3), np.int8
    )
    interpreters = []
    for n in (1, size):
        interpreter = Interpreter(model_path=str(classifier.model_path), num_threads=1)
        index = interpreter.get_input_details()[0]["index"]
        interpreter.resize_tensor_input(index, [n, *faces.shape[1:]])
        interpreter.allocate_tensors()
        interpreters.append((interpreter, index, n))
    times: dict[int, list[float]] = {1: [], size: []}
    for _ in range(rounds):
        for interpreter, index, n in interpreters:
            began = time.process_time()
            for i in range(0, size, n):
                interpreter.set_tensor(index, faces[i : i + n])
                interpreter.invoke()
            times[n].append(time.process_time() - began)
    single, together = (np.median(times[n]) * 1e3 for n in (1, size))
    ratio = np.median(np.asarray(times[size]) / np.asarray(times[1]))
    print(
        f"{size} faces: {single:.2f} ms one by one, {together:.2f} ms in one batch (processor time), ratio {ratio:.3f}"
    )


def main() -> int:
    parser = CommandParser(description=__doc__)
    parser.add_argument("what", choices=("sharp", "confidence", "batch"))
    parser.add_argument("--model")
    arguments = parser.parse_args()
    {"sharp": sharp, "confidence": confidence, "batch": batch}[arguments.what](open_classifier(arguments.model))
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command("measure_faces", main))
