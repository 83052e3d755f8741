"""A teacher's stored logits, keyed by pixels, so that they fit any order, subset or copy of the same images."""

from __future__ import annotations

import contextlib
import hashlib
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fer_edge.errors import ModelError
from fer_edge.files import atomic_path
from fer_edge.labels import NUM_EMOTIONS
from fer_edge.loading.open import open_classifier
from fer_edge.preprocess import resize_gray
from fer_edge.system import usable_cpus
from fer_train.networks.keras_classifier import KerasClassifier

__all__ = [
    "KEY_BYTES",
    "MODEL_SUFFIXES",
    "ensemble_targets",
    "image_keys",
    "log_probabilities",
    "teacher_targets",
    "write_teacher_logits",
]

KEY_BYTES = 16
MODEL_SUFFIXES: Final[frozenset[str]] = frozenset({".tflite", ".onnx"})
"""Of exported models, which can teach as they are."""
_BATCH = 256
_LEAST = 1e-4
"""Below it a probability says nothing: INT8 models tell 256 apart."""


def image_keys(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """What tells images apart by their pixels.

    Args:
        images: ``(N, H, W)`` uint8, grey.

    Returns:
        ``(N, 16)`` uint8: BLAKE2b of the pixels.
    """
    digests = [
        hashlib.blake2b(np.ascontiguousarray(image).tobytes(), digest_size=KEY_BYTES).digest() for image in images
    ]
    return np.frombuffer(b"".join(digests), np.uint8).reshape(-1, KEY_BYTES)


def write_teacher_logits(path: Path, model: Any, images: npt.NDArray[np.uint8]) -> None:
    """Store a model's answers to images (:func:`log_probabilities`), for ``fer-train --teacher``.

    Args:
        path: the ``.npz`` file; an older one is replaced.
        model: a Keras model.
        images: ``(N, H, W)`` uint8, grey.
    """
    logits = log_probabilities(KerasClassifier(model), images)
    with atomic_path(path) as temporary, temporary.open("wb") as handle:
        np.savez_compressed(handle, keys=image_keys(images), logits=logits)


def log_probabilities(classifier: Any, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Logarithms of a classifier's answers, of the mean over plain and mirrored images.

    Logits are defined up to a constant per image; log-probabilities are the ones that sum to probability 1.

    Args:
        classifier: has ``input_size`` and ``predict``.
        images: ``(N, H, W)`` uint8, grey.

    Returns:
        ``(N, 7)`` float32, natural logarithms.
    """
    parts = []
    for start in range(0, len(images), _BATCH):
        faces = np.stack([resize_gray(image, classifier.input_size) for image in images[start : start + _BATCH]])
        both = classifier.predict(faces) + classifier.predict(np.ascontiguousarray(faces[:, :, ::-1]))
        parts.append(np.log(np.maximum(both / 2.0, _LEAST)).astype(np.float32))
    return np.concatenate(parts)


def ensemble_targets(
    paths: Sequence[Path], images: npt.NDArray[np.uint8], temperature: float
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """The mean of several teachers' :func:`teacher_targets`; an image counts as known where every one knows it.

    Args:
        paths: files of the teachers.
        images: ``(N, H, W)`` uint8, grey.
        temperature: T, above 0; 1 changes nothing.

    Returns:
        ``(soft, known)`` as of :func:`teacher_targets`.

    Raises:
        ModelError: as in :func:`teacher_targets`.
    """
    answers = [teacher_targets(path, images, temperature) for path in paths]
    known = np.logical_and.reduce([mask for _, mask in answers])
    mean = np.mean([soft for soft, _ in answers], axis=0)
    return np.where(known[:, None], mean, 0.0).astype(np.float32), known


def teacher_targets(
    path: Path, images: npt.NDArray[np.uint8], temperature: float
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Softened probabilities of a teacher: ``softmax(logits / temperature)`` (Hinton et al. 2015).

    Args:
        path: a file of stored logits, or an exported model, which is asked here.
        images: ``(N, H, W)`` uint8, grey.
        temperature: T, above 0; 1 changes nothing.

    Returns:
        ``(soft, known)``: ``(N, 7)`` float32, and ``(N,)`` bool, whether the teacher knows each image.

    Raises:
        ModelError: the file is of another kind, or knows none of the images.
    """
    if path.suffix in MODEL_SUFFIXES:
        with contextlib.closing(open_classifier(path, threads=usable_cpus())) as classifier:
            return _softened(log_probabilities(classifier, images), temperature), np.ones(len(images), np.bool_)
    try:
        with path.open("rb") as handle, np.load(handle, allow_pickle=False) as file:
            keys, logits = file["keys"], file["logits"].astype(np.float64)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ModelError(
            f"{path} holds no teacher logits ({error}); make them with fer-train --write-logits"
        ) from error
    if keys.ndim != 2 or keys.shape[1] != KEY_BYTES or logits.shape != (len(keys), NUM_EMOTIONS):
        raise ModelError(
            f"{path}: expected keys (N, {KEY_BYTES}) and logits (N, 7), got {keys.shape} and {logits.shape}"
        )
    soft = _softened(logits, temperature)
    row_of = {key.tobytes(): i for i, key in enumerate(keys)}
    rows = np.array([row_of.get(key.tobytes(), -1) for key in image_keys(images)])
    known = rows >= 0
    if not known.any():
        raise ModelError(f"{path} knows none of these {len(images)} images; was it made from another data set?")
    return np.where(known[:, None], soft[rows], 0.0).astype(np.float32), known


def _softened(logits: npt.NDArray[np.floating[Any]], temperature: float) -> npt.NDArray[np.float32]:
    scaled = logits.astype(np.float64) / temperature
    scaled -= scaled.max(axis=1, keepdims=True)
    soft = np.exp(scaled)
    soft /= soft.sum(axis=1, keepdims=True)
    return np.asarray(soft, np.float32)
