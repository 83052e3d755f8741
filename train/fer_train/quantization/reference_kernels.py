"""An INT8 TFLite file on TFLite's reference kernels, which round as microcontrollers and many NPUs do.

TFLite's specification leaves the last bit of an INT8 operator open. XNNPACK, which ``fer-camera`` computes with, rounds
in floating point; the reference kernels multiply in fixed point and shift with rounding (Jacob et al. 2018,
arXiv:1712.05877, section 2.2). Both are right, and decide some faces differently.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fer_edge.errors import ModelError
from fer_edge.inference.classifier import Classifier
from fer_edge.inference.tflite import TFLiteClassifier
from fer_edge.system import usable_cpus

__all__ = ["on_reference_kernels", "reference_classifier"]

_MOST = 16
"""Interpreters at once."""


class _Several:
    """One classifier per core behind the interface of one: the reference kernels know no threads."""

    def __init__(self, classifiers: list[Classifier], pool: ThreadPoolExecutor) -> None:
        self._classifiers, self._pool = classifiers, pool
        self.input_size = classifiers[0].input_size

    def predict(self, faces: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        parts = np.array_split(faces, len(self._classifiers))
        jobs = zip(self._classifiers, parts, strict=True)
        answers = self._pool.map(lambda job: job[0].predict(job[1]), (job for job in jobs if len(job[1])))
        return np.concatenate(list(answers))


@contextlib.contextmanager
def reference_classifier(path: Path, *, workers: int = _MOST) -> Iterator[Any]:
    """Open a file on the reference kernels, once per core.

    Args:
        path: the INT8 TFLite file.
        workers: the most interpreters.

    Yields:
        Something with ``input_size`` and ``predict``: ``(N, S, S)`` uint8 to ``(N, 7)`` float32.

    Raises:
        ModelError: the reference kernels do not compute this network.
    """
    opened: list[Classifier] = []
    count = max(1, min(usable_cpus(), _MOST, workers))
    try:
        try:
            for _ in range(count):
                opened.append(on_reference_kernels(path))
        except (RuntimeError, ValueError) as error:
            raise ModelError(str(error).strip().splitlines()[0]) from error
        with ThreadPoolExecutor(count) as pool:
            yield _Several(opened, pool)
    finally:
        for classifier in opened:
            classifier.close()


def on_reference_kernels(path: Path) -> Classifier:
    """A TFLite file on TFLite's reference kernels, which round twice.

    Args:
        path: the file.

    Returns:
        The open classifier.

    Raises:
        ModelError: they do not compute this network.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType
    except ImportError:  # TensorFlow, which quantisation needs anyway, holds the same kernels
        import tensorflow as tf

        Interpreter, OpResolverType = tf.lite.Interpreter, tf.lite.experimental.OpResolverType
    return TFLiteClassifier(
        "reference kernels",
        path,
        lambda content: Interpreter(
            model_content=content, experimental_op_resolver_type=OpResolverType.BUILTIN_REF, num_threads=1
        ),
        lambda: "TFLite reference kernels",
    )
