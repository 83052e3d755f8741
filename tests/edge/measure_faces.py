"""Repeats measurements of edge/README.md on FER-2013 (``FER2013``) and on the sharp faces of ``FER_ASSETS``.

``python tests/edge/measure_faces.py crop|sharp|steady|confidence|batch [--model M]``
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from fer_edge.command import CommandParser, run_command
from fer_edge.faces.detection import DetectedFace
from fer_edge.faces.detectors.yunet import YuNetDetector
from fer_edge.inference.classifier import Classifier
from fer_edge.labels import EMOTIONS
from fer_edge.loading.open import open_classifier
from fer_edge.pipeline import FacePipeline
from fer_edge.preprocess import crop_square, preprocess_face, resize_gray, to_gray
from fer_train.data.dataset import load_dataset

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


def crop(classifier: Classifier) -> None:
    """Margins around the detected box, and alignment by the eyes, on enlarged PublicTest images."""
    assets = Path(os.environ["FER_ASSETS"])
    detector = YuNetDetector(assets / "detectors" / "face_detection_yunet_2023mar.onnx")
    images, labels = public_test()
    size = classifier.input_size
    kept: list[tuple[Gray, DetectedFace]] = []
    whole, truth = [], []
    for image, label in zip(images, labels, strict=True):
        wide = cv2.copyMakeBorder(image, 12, 12, 12, 12, cv2.BORDER_REPLICATE)
        large = np.asarray(cv2.resize(wide, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC), np.uint8)
        found = detector.detect(np.asarray(cv2.cvtColor(large, cv2.COLOR_GRAY2BGR), np.uint8))
        if len(found) == 1:
            kept.append((large, found[0]))
            whole.append(image)
            truth.append(label)
    eyes = [_eyes(face) for _, face in kept]
    sides = np.asarray([max(face.box[2:]) for _, face in kept])
    ratio = float(np.median(sides / [distance for _, distance in eyes]))
    variants: dict[str, list[Gray]] = {"whole FER-2013 image": whole}
    for margin in (-0.10, -0.05, 0.0, 0.05, 0.10, 0.20, 0.30):
        variants[f"box, margin {margin:+.2f}"] = [crop_square(image, face.box, margin) for image, face in kept]
    level = [_level(image, face, angle) for (image, face), (angle, _) in zip(kept, eyes, strict=True)]
    variants["box, eyes turned level, margin 0"] = [
        crop_square(image, face.box) for image, (_, face) in zip(level, kept, strict=True)
    ]
    variants["eyes turned level, scale by eye distance"] = [
        crop_square(image, _box_of_side(face, round(distance * ratio)))
        for image, (_, face), (_, distance) in zip(level, kept, eyes, strict=True)
    ]
    print(f"exactly one face in {len(kept)} of {len(images)}\n| crop | accuracy | against the whole image |")
    base: npt.NDArray[Any] | None = None
    for name, faces in variants.items():
        prepared = lambda gray, _: preprocess_face(gray, size)  # noqa: E731
        right = predict(classifier, faces, prepared).argmax(axis=1) == np.asarray(truth)
        base = right if base is None else base
        gain = right.astype(float) - base
        error = 1.96 * gain.std() / np.sqrt(len(gain))
        print(f"| {name} | {right.mean():.1%} | {100 * gain.mean():+.1f} ± {100 * error:.1f} |", flush=True)


def _eyes(face: DetectedFace) -> tuple[float, float]:
    """Angle of the line through the eyes in degrees, and their distance in pixels."""
    assert face.landmarks is not None
    across, down = face.landmarks[1] - face.landmarks[0]
    return float(np.degrees(np.arctan2(down, across))), float(np.hypot(across, down))


def _centre(face: DetectedFace) -> tuple[float, float]:
    x, y, w, h = face.box
    return x + w / 2, y + h / 2


def _level(image: Gray, face: DetectedFace, angle: float) -> Gray:
    turn = cv2.getRotationMatrix2D(_centre(face), angle, 1.0)
    shape = image.shape[1], image.shape[0]
    return np.asarray(cv2.warpAffine(image, turn, shape, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _box_of_side(face: DetectedFace, side: int) -> tuple[int, int, int, int]:
    x, y = _centre(face)
    return round(x - side / 2), round(y - side / 2), side, side


def steady(classifier: Classifier) -> None:
    """Label switches on the clip, raw and smoothed, and how far its average probabilities move."""
    assets = Path(os.environ["FER_ASSETS"])
    detector = YuNetDetector(assets / "detectors" / "face_detection_yunet_2023mar.onnx")
    for smoothing_s in (0.2, 0.5):
        pipeline = FacePipeline(assets / "faces" / "talking_head.mp4", classifier, detector, smoothing_s=smoothing_s)
        faces = [face for result in pipeline for face in result.faces]
        raw = np.stack([face.raw for face in faces])
        labels = [face.emotion for face in faces]
        switches = sum(a != b for a, b in itertools.pairwise(labels))
        moved = np.abs(raw.mean(axis=0) - np.stack([face.probabilities for face in faces]).mean(axis=0)).max()
        before = np.count_nonzero(np.diff(raw.argmax(axis=1)))
        print(f"{smoothing_s} s: n = {len(faces)}, {before} switches raw, {switches} smoothed, moved by {moved:.4f}")


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


MEASUREMENTS: dict[str, Callable[[Classifier], None]] = {
    "crop": crop,
    "sharp": sharp,
    "steady": steady,
    "confidence": confidence,
    "batch": batch,
}


def main() -> int:
    parser = CommandParser(description=__doc__)
    parser.add_argument("what", choices=tuple(MEASUREMENTS))
    parser.add_argument("--model")
    arguments = parser.parse_args()
    MEASUREMENTS[arguments.what](open_classifier(arguments.model))
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command("measure_faces", main))
