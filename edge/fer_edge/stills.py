"""One picture in, its faces out: the shortest way into the toolkit."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import threading
from pathlib import Path

import cv2
import numpy as np

from fer_edge.arrays import FloatArray, Image
from fer_edge.capture.pictures import read_image, read_pictures
from fer_edge.capture.sniff import Kind, sniff_file
from fer_edge.defaults import DEFAULT_MARGIN, DEFAULT_MIN_CONFIDENCE
from fer_edge.errors import SourceError
from fer_edge.faces.detection import DetectedFace, FaceDetector
from fer_edge.faces.detectors import open_detector
from fer_edge.faces.tiles import for_photos
from fer_edge.faces.tracks import Tracker
from fer_edge.inference.classifier import Classifier
from fer_edge.labels import NUM_EMOTIONS
from fer_edge.loading.open import open_classifier
from fer_edge.logs import LOG
from fer_edge.preprocess import preprocess_face
from fer_edge.results import Face

__all__ = ["analyze"]

_LOCK = threading.Lock()
"""Around the shared classifier and detector: neither may be used by two threads at once."""


def analyze(
    image: str | os.PathLike[str] | Image,
    classifier: Classifier | None = None,
    detector: FaceDetector | None = None,
    *,
    margin: float = DEFAULT_MARGIN,
    min_confidence: float = DEFAULT_MIN_CONFIDENCE,
) -> list[Face]:
    """The faces in one picture and what they show; the answers of ``fer-camera`` for it.

    Args:
        image: the path of an image file, or the picture itself: uint8, ``(H, W, 3)`` in the colour order B, G, R (as
            ``cv2.imread`` gives it) or ``(H, W)`` grey. For R, G, B give ``image[..., ::-1]``.
        classifier: None is the packaged INT8 model, opened at the first call and kept.
        detector: None is YuNet where it is at hand, else Haar; opened at the first call and kept.
        margin: extra space around a face, as a fraction of its box.
        min_confidence: below it the emotion is None.

    Returns:
        One :class:`Face` each, from left to right; empty where there is none. ``track_id`` counts from 1.

    Raises:
        SourceError: no such file, no image, or an array of another shape or dtype.
        FerError: what :func:`open_classifier` and :func:`open_detector` raise.
    """
    picture = _picture(image)
    with _LOCK:  # also where both are given: the caller may have given the same ones to several threads
        classifier = classifier if classifier is not None else _default_classifier()
        detector = detector if detector is not None else _default_detector()
        detected = detector.detect(picture)
        raw = _classify(picture, detected, classifier, margin)
    answers = Tracker(smoothing_s=0.0, min_confidence=min_confidence, follow=False).update(
        0.0, [face.box for face in detected], raw
    )
    return [
        Face(answer.track_id, face.box, face.score, answer.emotion, answer.probabilities, raw_answer)
        for face, answer, raw_answer in zip(detected, answers, raw, strict=True)
    ]


def _classify(picture: Image, faces: list[DetectedFace], classifier: Classifier, margin: float) -> FloatArray:
    if not faces:
        return np.zeros((0, NUM_EMOTIONS), np.float32)
    size = classifier.input_size
    return classifier.predict(np.stack([preprocess_face(picture, size, face.box, margin) for face in faces]))


@functools.cache
def _default_classifier() -> Classifier:
    return open_classifier()


@functools.cache
def _default_detector() -> FaceDetector:
    return for_photos(open_detector())


def _first_picture(path: Path) -> Image:
    """The picture in a file; of an animated one, or of several pages, the first, with a word that there are others."""
    image = read_image(path)
    with contextlib.suppress(SourceError):  # the others may be damaged: they are not asked for
        if sum(1 for _ in itertools.islice(read_pictures(path), 2)) > 1:
            LOG.warning("%s holds several pictures: analyze looks at the first, FacePipeline at all", path)
    return image


def _picture(image: object) -> Image:
    """``(H, W, 3)`` BGR uint8, contiguous, from what a caller may give."""
    if isinstance(image, str | os.PathLike):
        path = Path(os.fsdecode(image))
        if path.is_dir():
            raise SourceError(f"{path} is a folder; analyze takes one image, FacePipeline folders and videos")
        if sniff_file(path).kind is Kind.VIDEO:
            raise SourceError(f"{path} is a video; analyze takes one image, FacePipeline folders and videos")
        return _first_picture(path)
    expected = "expected a path, or uint8 of shape (H, W, 3) in the order B, G, R or (H, W) grey"
    if not isinstance(image, np.ndarray):
        raise SourceError(f"{expected}; got {type(image).__name__}")
    is_color = image.ndim == 3 and image.shape[2] == 3
    if image.dtype != np.uint8 or not (is_color or image.ndim == 2):
        raise SourceError(f"{expected}; got {image.dtype} of shape {image.shape}")
    if image.size == 0:
        raise SourceError(f"{expected}; got an empty picture of shape {image.shape}")
    whole = np.ascontiguousarray(image)
    return whole if is_color else np.asarray(cv2.cvtColor(whole, cv2.COLOR_GRAY2BGR), dtype=np.uint8)
