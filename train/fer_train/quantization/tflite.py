"""Quantisation-aware wrapping with the cures that MobileNetV2 needs, and conversion to TFLite.

Two weaknesses of stock tfmot ruin MobileNetV2, and both are cured before the first training step:

* depthwise kernels get one range for all channels, although channels differ by orders of magnitude:
  :func:`equalize_depthwise` moves each channel's scale into the BatchNorm after it, exactly;
* activation ranges start at [-6, 6] and move by a 0.999 average, so that the minimum of a ReLU6 stays below 0 for
  epochs: :func:`measure_ranges` sets all ranges from data, ReLU6 minima to exactly 0.
"""

from __future__ import annotations

import contextlib
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fer_edge.arrays import FloatArray
from fer_edge.preprocess import to_float_input
from fer_edge.system import usable_cpus
from fer_train.arrays import Labels
from fer_train.evaluation.evaluate import Evaluation, evaluate_classifier
from fer_train.networks.build import INPUT_NAME, OUTPUT_NAME

__all__ = [
    "as_file",
    "batchnorm_as_line",
    "evaluate_int8",
    "float_to_tflite",
    "int8_classifier",
    "opened",
    "ptq_to_tflite",
    "qat_to_tflite",
]


def float_to_tflite(model: Any) -> bytes:
    """Float32 TFLite, input ``(1, S, S, 3)``.

    Args:
        model: a network of tf_keras or Keras 3.

    Returns:
        Content of a ``.tflite`` file.
    """
    return _convert(model, None)


def qat_to_tflite(qat: Any) -> bytes:
    """INT8 TFLite with int8 input and output from a wrapped model: its own ranges, no representative data.

    Args:
        qat: the wrapped network.

    Returns:
        Content of a ``.tflite`` file.
    """
    import tensorflow as tf

    def settings(converter: Any) -> None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.inference_input_type = tf.int8
        converter.inference_output_type = tf.int8

    with batchnorm_as_line(qat):
        return _convert(qat, settings)


@contextlib.contextmanager
def batchnorm_as_line(qat: Any) -> Iterator[None]:
    """Have every BatchNorm of a wrapped network compute ``x * factor + offset``, with numbers that are rounded once.

    The converter folds BatchNorm into the convolution before it, and takes 1 / sqrt(variance + epsilon) from
    TensorFlow, whose vectorised ``rsqrt`` begins at an estimate of the processor's own: on an Intel and an AMD one it
    ends up to two steps of float32 apart. Scales of weights then differ in their last bits, some biases by one, and in
    the end some decisions (8 of 3,589 faces): an INT8 file would depend on the machine that wrote it.

    Args:
        qat: the wrapped network; as before in the end.

    Yields:
        Nothing.
    """
    norms = [layer for layer in (getattr(each, "layer", each) for each in qat.layers) if _is_batchnorm(layer)]
    for norm in norms:
        norm.call = _line(norm)
    try:
        yield
    finally:
        for norm in norms:
            del norm.call


def _is_batchnorm(layer: Any) -> bool:
    return type(layer).__name__ == "BatchNormalization"


def _line(norm: Any) -> Callable[[Any], Any]:
    gamma, beta, mean, variance = (value.astype(np.float64) for value in norm.get_weights())
    slope = gamma / np.sqrt(variance + norm.epsilon)
    factor, offset = slope.astype(np.float32), (beta - mean * slope).astype(np.float32)
    return lambda inputs: inputs * factor + offset


def ptq_to_tflite(model: Any, faces: npt.NDArray[np.uint8]) -> bytes:
    """INT8 TFLite with int8 input and output by post-training quantisation.

    Two faces of our own, all 0 and all 255, pin the input's range to [-1, 127/128], and so its scale to 1/128.

    Args:
        model: a network of tf_keras or Keras 3.
        faces: ``(N, S, S)`` uint8, grey, that ranges are measured on.

    Returns:
        Content of a ``.tflite`` file.
    """
    import tensorflow as tf

    extremes = np.stack([np.zeros_like(faces[0]), np.full_like(faces[0], 255)])
    samples = to_float_input(np.concatenate([extremes, faces]))

    def representative() -> Iterator[list[FloatArray]]:
        for sample in samples:
            yield [sample[None]]

    def settings(converter: Any) -> None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = representative
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.int8
        converter.inference_output_type = tf.int8

    return _convert(model, settings)


def _convert(model: Any, settings: Callable[[Any], None] | None) -> bytes:
    import tensorflow as tf

    _, height, width, channels = model.input_shape
    signature = tf.TensorSpec((1, height, width, channels), tf.float32, name=INPUT_NAME)

    @tf.function(input_signature=[signature])  # type: ignore[untyped-decorator]
    def serve(face: Any) -> dict[str, Any]:
        return {OUTPUT_NAME: model(face, training=False)}

    with _quiet_converter():
        traced = serve.get_concrete_function()
        # The converter saves this object first. A whole Keras model would have every layer traced again, four times:
        # the same bytes in the end, and five times as long.
        variables = tf.Module()
        variables.captured = list(traced.variables)
        converter = tf.lite.TFLiteConverter.from_concrete_functions([traced], variables)
        if settings is not None:
            settings(converter)
        content: bytes = converter.convert()
    return content


@contextlib.contextmanager
def _quiet_converter() -> Iterator[None]:
    """Keep the converter's many notes off the terminal; its errors are exceptions."""
    import absl.logging

    level = absl.logging.get_verbosity()
    absl.logging.set_verbosity(absl.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        absl.logging.set_verbosity(level)


@contextlib.contextmanager
def as_file(content: bytes) -> Iterator[Path]:
    """A converted model as a temporary ``.tflite`` file, for runtimes that read files.

    Args:
        content: of the file.

    Yields:
        Its path; the file is removed in the end.
    """
    with tempfile.TemporaryDirectory(prefix="fer-") as folder:
        path = Path(folder) / "model.tflite"
        path.write_bytes(content)
        yield path


def evaluate_int8(qat_network: Any, images: npt.NDArray[np.uint8], labels: Labels, split: str) -> Evaluation:
    """Evaluate the wrapped network as the INT8 TFLite model that it converts to.

    Args:
        qat_network: the wrapped network.
        images: ``(N, H, H)`` uint8, grey.
        labels: ``(N,)`` class of each image, 0..6 in the order of :data:`fer_edge.labels.EMOTIONS`.
        split: what the images are called.

    Returns:
        Probabilities and labels.
    """
    with int8_classifier(qat_network) as classifier:
        return evaluate_classifier(classifier, images, labels, split)


@contextlib.contextmanager
def int8_classifier(qat_network: Any) -> Iterator[Any]:
    """The INT8 TFLite model that a wrapped network converts to, opened.

    Args:
        qat_network: the wrapped network.

    Yields:
        The classifier.
    """
    with as_file(qat_to_tflite(qat_network)) as path, opened(path) as classifier:
        yield classifier


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Any]:
    """A converted model on the runtime that devices use, with a thread per core.

    Args:
        path: of the file.

    Yields:
        The classifier.
    """
    from fer_edge.loading.open import open_classifier

    with contextlib.closing(open_classifier(path, threads=usable_cpus(), trusted=True)) as classifier:
        yield classifier
