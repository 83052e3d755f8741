"""The network of quantisation-aware training (QAT): equalised, wrapped with fake quantisers, ranges measured."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np

from fer_edge.arrays import FloatArray
from fer_edge.errors import ModelError
from fer_edge.preprocess import INPUT_MAX, INPUT_MIN
from fer_train.networks.build import OUTPUT_NAME

__all__ = ["equalize_depthwise", "measure_ranges", "pin_input_range", "seed_dropout", "snap_kernels", "wrap_for_qat"]

_LEAST_HIGH = 1e-3
"""A layer that is dead on all those images still needs a range with a width, or its scale is 0."""


def equalize_depthwise(model: Any) -> None:
    """Scale every depthwise channel to a largest absolute weight of 1; the function of ``model`` stays the same.

    A channel's factor s goes into the BatchNorm that follows: mean / s, variance / s**2, and gamma corrected for
    epsilon, gamma * s * sqrt(variance / s**2 + eps) / sqrt(variance + eps), since
    gamma * (x - mean) / sqrt(variance + eps) must keep its value when x becomes x / s.

    Args:
        model: a network of tf_keras or Keras 3, changed in place.

    Raises:
        ModelError: a depthwise layer has no BatchNorm after it.
    """
    layers = {layer.name: layer for layer in model.layers}
    for name, layer in layers.items():
        if type(layer).__name__ != "DepthwiseConv2D":
            continue
        norm = layers.get(f"{name}_BN")
        if norm is None or layer.use_bias:
            raise ModelError(f"expected a BatchNormalization named {name}_BN after the bias-free layer {name}")
        kernel = layer.get_weights()[0]  # (height, width, channels, 1)
        scale = np.abs(kernel).max(axis=(0, 1, 3))
        scale = np.where(scale > 0, scale, 1.0).astype(np.float64)
        gamma, beta, mean, variance = (value.astype(np.float64) for value in norm.get_weights())
        new_variance = variance / scale**2
        new_gamma = gamma * scale * np.sqrt(new_variance + norm.epsilon) / np.sqrt(variance + norm.epsilon)
        layer.set_weights([kernel / scale[None, None, :, None]])
        norm.set_weights([new_gamma, beta, mean / scale, new_variance])


def wrap_for_qat(model: Any) -> Any:
    """A tfmot-wrapped copy of a flat tf_keras ``model``, BatchNorm frozen; ranges wait for :func:`measure_ranges`.

    Args:
        model: a flat network of tf_keras.

    Returns:
        The wrapped network.
    """
    import tensorflow_model_optimization as tfmot
    import tf_keras

    tf_keras.backend.experimental.enable_tf_random_generator()  # for seed_dropout: the other one cannot be set back
    for layer in model.layers:
        if type(layer).__name__ == "BatchNormalization":
            layer.trainable = False  # tfmot keeps it; statistics of a batch would fight the fixed ranges
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return tfmot.quantization.keras.quantize_model(model)


def seed_dropout(qat: Any, seed: int) -> None:
    """Decide what dropout draws from now on, so that a training that goes on drops what it would have dropped.

    Args:
        qat: a network of :func:`wrap_for_qat`.
        seed: at least 0.
    """
    for wrapper in qat.layers:
        layer = getattr(wrapper, "layer", wrapper)
        if type(layer).__name__ == "Dropout":
            layer._random_generator._generator.reset_from_seed(seed)


def measure_ranges(qat: Any, model: Any, batches: Iterable[FloatArray]) -> None:
    """Set every range of ``qat`` from data: what ``model`` computes for ``batches``.

    A range becomes the mean over batches of the smallest and largest value, which is what tfmot's moving average would
    settle at; it always holds 0. The input's is pinned to [-1, 127/128].

    Args:
        qat: the wrapped network, changed in place.
        model: the float network that it wraps.
        batches: each ``(B, S, S, 3)`` float32.

    Raises:
        ModelError: there is no batch, or a layer without a range.
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
        raise ModelError("ranges are measured on at least one batch of images, got none")
    qat(first, training=True)  # lets the kernels' ranges be read from the kernels
    for name, low, high in zip([*tapped, OUTPUT_NAME], np.mean(lows, axis=0), np.mean(highs, axis=0), strict=True):
        pair = _ranges(wrappers[name], "pre_activation" if name == OUTPUT_NAME else "output")
        if pair is None:
            raise ModelError(f"the wrapped layer {name} has no range to measure; is tfmot newer than tested (0.8)?")
        pair[0].assign(low)
        pair[1].assign(high)
    pin_input_range(qat)


def pin_input_range(qat: Any) -> None:
    """Fix the input's range to [-1, 127/128]: scale 1/128, zero point 0, int8 = pixel - 128.

    Its quantiser only ever widens the range, and no input reaches beyond it, so it stays.

    Args:
        qat: the wrapped network, changed in place.

    Raises:
        ModelError: the input layer has no range.
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

    Args:
        qat: the wrapped network, changed in place.
    """
    import tensorflow as tf

    for layer in qat.layers:
        for kernel in layer.weights:
            name = kernel.name.rsplit("/", 1)[-1].split(":")[0]
            pair = _ranges(layer, name)
            if pair is None:
                continue
            # tfmot's rule for kernels: 8 bits, symmetric; depthwise and dense ones have one range for all channels.
            low, high = (np.atleast_1d(bound.numpy()) for bound in pair)
            snap, bounds = tf.quantization.fake_quant_with_min_max_vars_per_channel, (low, high)
            if len(low) == 1:
                snap, bounds = tf.quantization.fake_quant_with_min_max_vars, (low[0], high[0])
            kernel.assign(snap(kernel, *bounds, num_bits=8, narrow_range=True))


def _ranges(layer: Any, prefix: str) -> tuple[Any, Any] | None:
    by_name = {weight.name.rsplit("/", 1)[-1].split(":")[0]: weight for weight in layer.weights}
    low, high = by_name.get(f"{prefix}_min"), by_name.get(f"{prefix}_max")
    return None if low is None or high is None else (low, high)
