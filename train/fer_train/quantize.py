"""Quantisation-aware wrapping with the cures that MobileNetV2 needs, and conversion to TFLite.

Two weaknesses of stock tfmot ruin MobileNetV2, and both are cured before the first training step:

* depthwise kernels get one range for all channels, although channels differ by orders of magnitude:
  :func:`equalize_depthwise` moves each channel's scale into the BatchNorm behind it, exactly;
* activation ranges start at [-6, 6] and move by a 0.999 average, so that the minimum of a ReLU6 stays below 0 for
  epochs: :func:`calibrate` sets all ranges from data, ReLU6 minima to exactly 0.
"""

from __future__ import annotations

import contextlib
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fer_edge.errors import ModelError
from fer_edge.preprocess import INPUT_MAX, INPUT_MIN, to_float_input
from fer_train.model import INPUT_NAME, OUTPUT_NAME

FloatArray = npt.NDArray[np.float32]

_LEAST_HIGH = 1e-3
"""A layer that is dead on all calibration images still needs a range with a width, or its scale is 0."""


def equalize_depthwise(model: Any) -> None:
    """Scale every depthwise channel to a largest absolute weight of 1; the function of ``model`` stays the same.

    A channel's factor s goes into the BatchNorm that follows: mean / s, variance / s**2, and gamma corrected for
    epsilon, gamma * s * sqrt(variance / s**2 + eps) / sqrt(variance + eps), since
    gamma * (x - mean) / sqrt(variance + eps) must keep its value when x becomes x / s. In place; tf_keras or Keras 3.
    """
    layers = {layer.name: layer for layer in model.layers}
    for name, layer in layers.items():
        if type(layer).__name__ != "DepthwiseConv2D":
            continue
        norm = layers.get(f"{name}_BN")
        if norm is None or layer.use_bias:
            raise ModelError(f"expected a BatchNormalization named {name}_BN behind the bias-free layer {name}")
        kernel = layer.get_weights()[0]  # (height, width, channels, 1)
        scale = np.abs(kernel).max(axis=(0, 1, 3))
        scale = np.where(scale > 0, scale, 1.0).astype(np.float64)
        gamma, beta, mean, variance = (value.astype(np.float64) for value in norm.get_weights())
        new_variance = variance / scale**2
        new_gamma = gamma * scale * np.sqrt(new_variance + norm.epsilon) / np.sqrt(variance + norm.epsilon)
        layer.set_weights([kernel / scale[None, None, :, None]])
        norm.set_weights([new_gamma, beta, mean / scale, new_variance])


def wrap_for_qat(model: Any) -> Any:
    """A tfmot-wrapped copy of a flat tf_keras ``model``, BatchNorm frozen; ranges still wait for :func:`calibrate`."""
    import tensorflow_model_optimization as tfmot

    for layer in model.layers:
        if type(layer).__name__ == "BatchNormalization":
            layer.trainable = False  # tfmot keeps it; statistics of a batch would fight the fixed ranges
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return tfmot.quantization.keras.quantize_model(model)


def calibrate(qat: Any, model: Any, batches: Iterable[FloatArray]) -> None:
    """Set every range of ``qat`` from data: what ``model``, the float network it wraps, computes for ``batches``.

    Each batch is ``(B, S, S, 3)`` float32. A range becomes the mean over batches of the smallest and largest value,
    which is what tfmot's moving average would settle at; it always holds 0. The input's is pinned to [-1, 127/128].
    """
    import tf_keras

    wrappers = {layer.name.removeprefix("quant_"): layer for layer in qat.layers}
    tapped = [name for name, layer in wrappers.items() if _ranges(layer, "output") is not None]
    head = model.get_layer(OUTPUT_NAME)
    taps = tf_keras.Model(model.inputs, [model.get_layer(name).output for name in tapped] + [head.input])
    kernel, bias = head.get_weights()
    lows, highs = [], []
    first = None
    for batch in batches:
        first = batch if first is None else first
        *outputs, features = taps.predict_on_batch(batch)
        values = [*outputs, features @ kernel + bias]
        lows.append([min(float(value.min()), 0.0) for value in values])
        highs.append([max(float(value.max()), _LEAST_HIGH) for value in values])
    if first is None:
        raise ModelError("calibration needs at least one batch of images")
    qat(first, training=True)  # lets the kernels' ranges be read from the kernels
    for name, low, high in zip([*tapped, OUTPUT_NAME], np.mean(lows, axis=0), np.mean(highs, axis=0), strict=True):
        pair = _ranges(wrappers[name], "pre_activation" if name == OUTPUT_NAME else "output")
        if pair is None:
            raise ModelError(f"the wrapped layer {name} has no range to calibrate; is tfmot newer than tested (0.8)?")
        pair[0].assign(low)
        pair[1].assign(high)
    pin_input_range(qat)


def pin_input_range(qat: Any) -> None:
    """Fix the input's range to [-1, 127/128]: scale 1/128, zero point 0, int8 = pixel - 128.

    Its quantiser only ever widens the range, and no input reaches beyond it, so it stays.
    """
    layer = next(layer for layer in qat.layers if type(layer).__name__ == "QuantizeLayer")
    pair = _ranges(layer, layer.name)
    if pair is None:
        raise ModelError("the quantised input layer has no range; is tfmot newer than tested (0.8)?")
    pair[0].assign(INPUT_MIN)
    pair[1].assign(INPUT_MAX)


def snap_kernels(qat: Any) -> None:
    """Put every kernel of a trained, wrapped model on its INT8 grid: the model computes what it did before.

    Kernels on the grid survive rounding to half precision: at most 127 steps, each moved by under 2**-11 of itself,
    lie within 0.07 of a step of where they were, so the same INT8 values come out again.
    """
    import tensorflow as tf

    for layer in qat.layers:
        for kernel in layer.weights:
            name = kernel.name.rsplit("/", 1)[-1].split(":")[0]
            pair = _ranges(layer, name)
            if pair is None:
                continue
            # tfmot's rule for kernels: 8 bits, symmetric; depthwise and dense ones have one range for all channels.
            low, high = (np.atleast_1d(each.numpy()) for each in pair)
            snap, bounds = tf.quantization.fake_quant_with_min_max_vars_per_channel, (low, high)
            if len(low) == 1:
                snap, bounds = tf.quantization.fake_quant_with_min_max_vars, (low[0], high[0])
            kernel.assign(snap(kernel, *bounds, num_bits=8, narrow_range=True))


def _ranges(layer: Any, prefix: str) -> tuple[Any, Any] | None:
    found = {weight.name.rsplit("/", 1)[-1].split(":")[0]: weight for weight in layer.weights}
    low, high = found.get(f"{prefix}_min"), found.get(f"{prefix}_max")
    return None if low is None or high is None else (low, high)


def float_to_tflite(model: Any) -> bytes:
    """Float32 TFLite, input ``(1, S, S, 3)``, from a tf_keras or Keras 3 model."""
    return _convert(model, None)


def qat_to_tflite(qat: Any) -> bytes:
    """INT8 TFLite with int8 input and output from a wrapped model: its own ranges, no representative data."""
    import tensorflow as tf

    def settings(converter: Any) -> None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.inference_input_type = tf.int8
        converter.inference_output_type = tf.int8

    return _convert(qat, settings)


def ptq_to_tflite(model: Any, faces: npt.NDArray[np.uint8]) -> bytes:
    """INT8 TFLite with int8 input and output by post-training quantisation, calibrated on ``(N, S, S)`` uint8 faces.

    Two faces of our own, all 0 and all 255, pin the input's range to [-1, 127/128], and so its scale to 1/128.
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
    """A converted model as a temporary ``.tflite`` file, for runtimes that read files."""
    with tempfile.TemporaryDirectory(prefix="fer-") as folder:
        path = Path(folder) / "model.tflite"
        path.write_bytes(content)
        yield path
