"""The weights of a narrower MobileNetV2 from a trained wider one, layer by layer in closed form.

Residual streams of MobileNetV2 are linear (Sandler et al. 2018, section 3.2), so that they can be turned onto their
principal components, of which the narrow network keeps the first. Of the channels between, which go through ReLU6, some
are chosen, and what reads them is fitted again by least squares to give what the wide network gives (He et al. 2017,
"Channel Pruning for Accelerating Very Deep Neural Networks", arXiv:1707.06168, section 3.1). A short training goes on
from there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fer_edge.arrays import FloatArray
from fer_edge.errors import ModelError
from fer_train.networks.build import NUM_BLOCKS, OUTPUT_NAME

__all__ = ["narrow_weights"]

_Matrix = npt.NDArray[np.float64]
_PREFIXES: Final[tuple[str, ...]] = ("expanded_conv", *(f"block_{i}" for i in range(1, NUM_BLOCKS)))
_RIDGE: Final[float] = 1e-3
"""Of the mean variance: keeps the least-squares fit from leaning on what only those images show."""
_LEAST: Final[float] = 1e-6
"""Variance of channels between 0 and 6 that single precision still tells from none."""


def narrow_weights(wide: Any, narrow: Any, batches: Iterable[FloatArray]) -> None:
    """Give ``narrow`` weights with which it computes about what ``wide`` does.

    Args:
        wide: a trained MobileNetV2 of :func:`fer_train.networks.build.build_network`.
        narrow: another one, with at most as many channels in each layer; changed in place.
        batches: faces ``(B, S, S, 3)`` float32 to measure what channels do, in the input size of ``wide``; about a
            thousand.

    Raises:
        ModelError: ``narrow`` has more channels somewhere, or one of the two is another kind of network.
    """
    source = {layer.name: layer for layer in wide.layers}
    own = {layer.name: layer for layer in narrow.layers}
    _require_narrower(source, own)
    statistics = _measure(wide, batches)
    previous = _Stream(np.eye(3), np.zeros(3))
    for prefix in _PREFIXES:
        entrance = ("Conv1", "bn_Conv1") if prefix == _PREFIXES[0] else (f"{prefix}_expand", f"{prefix}_expand_BN")
        hidden = statistics[f"{prefix}_depthwise_relu"]
        weights, offset = _linear(source[f"{prefix}_project"], source[f"{prefix}_project_BN"])
        adds = f"{prefix}_add" in source
        count = int(own[f"{prefix}_project"].filters)
        directions = previous.directions if adds else _components(statistics, source, prefix, count)
        kept, fitted = _choose_and_fit(hidden, weights @ directions, int(own[entrance[0]].filters))
        _set_entrance(source, own, entrance, kept, previous)
        _copy(source, own, f"{prefix}_depthwise", lambda value, kept=kept: value[:, :, kept])
        _copy(source, own, f"{prefix}_depthwise_BN", lambda value, kept=kept: value[kept])
        own[f"{prefix}_project"].set_weights([fitted[None, None].astype(np.float32)])
        _center(own[f"{prefix}_project_BN"], hidden.of(kept), fitted)
        mean = hidden.mean @ weights + offset
        previous = _Stream(directions, previous.mean + mean if adds else mean)
    kernel, bias = source[OUTPUT_NAME].get_weights()
    last = statistics["out_relu"]
    kept, fitted = _choose_and_fit(last, kernel, int(own["Conv_1"].filters))
    _set_entrance(source, own, ("Conv_1", "Conv_1_bn"), kept, previous)
    moved = bias + last.mean @ kernel - last.mean[kept] @ fitted
    own[OUTPUT_NAME].set_weights([fitted.astype(np.float32), moved.astype(np.float32)])


@dataclass(frozen=True)
class _Statistics:
    """Over images and positions."""

    mean: _Matrix
    """``(C,)``."""
    covariance: _Matrix
    """``(C, C)``."""

    def of(self, channels: npt.NDArray[np.int64]) -> _Statistics:
        return _Statistics(self.mean[channels], self.covariance[np.ix_(channels, channels)])


@dataclass(frozen=True)
class _Stream:
    """A residual stream ``x`` of the wide network is about ``mean + directions @ z``, ``z`` that of the narrow one."""

    directions: _Matrix
    """``(C, k)``, orthonormal columns."""
    mean: _Matrix
    """``(C,)``."""


def _require_narrower(source: dict[str, Any], own: dict[str, Any]) -> None:
    expected = [name for name, layer in own.items() if layer.get_weights()]
    if missing := [name for name in expected if name not in source]:
        raise ModelError(f"only a MobileNetV2 can begin with the weights of another one; there is no {missing[0]}")
    for name in expected:
        have, want = (layers[name].get_weights()[0].shape for layers in (source, own))
        if len(have) != len(want) or any(there < here for there, here in zip(have, want, strict=True)):
            raise ModelError(f"the layer {name} is {want}, wider than {have} of the run to begin with; expected less")


def _measure(wide: Any, batches: Iterable[FloatArray]) -> dict[str, _Statistics]:
    import keras

    names = [f"{prefix}_depthwise_relu" for prefix in _PREFIXES] + ["out_relu"]
    names += [_end_of(prefix, {layer.name for layer in wide.layers}) for prefix in _PREFIXES]
    taps = keras.Model(wide.inputs[0], [wide.get_layer(name).output for name in names])
    count = dict.fromkeys(names, 0)
    about: dict[str, Any] = {}
    total: dict[str, Any] = dict.fromkeys(names, 0.0)
    squares: dict[str, Any] = dict.fromkeys(names, 0.0)
    for batch in batches:
        for name, output in zip(names, taps.predict_on_batch(batch), strict=True):
            values = np.asarray(output, np.float32).reshape(-1, output.shape[-1])
            # About a mean that is nearly theirs: squares of large means would swallow small variances.
            values = values - about.setdefault(name, values.mean(0))
            count[name] += len(values)
            total[name] = total[name] + values.sum(0, dtype=np.float64)
            squares[name] = squares[name] + (values.T @ values).astype(np.float64)
    if not all(count.values()):
        raise ModelError("a narrower network is fitted on at least one batch of faces, got none")
    means = {name: total[name] / count[name] for name in names}
    return {
        name: _Statistics(about[name] + means[name], squares[name] / count[name] - np.outer(means[name], means[name]))
        for name in names
    }


def _end_of(prefix: str, names: set[str]) -> str:
    return f"{prefix}_add" if f"{prefix}_add" in names else f"{prefix}_project_BN"


def _linear(convolution: Any, norm: Any) -> tuple[_Matrix, _Matrix]:
    """A pointwise convolution and its BatchNorm as ``x @ weights + offset``: ``(from, to)`` and ``(to,)``."""
    (kernel,) = convolution.get_weights()
    gamma, beta, mean, variance = (value.astype(np.float64) for value in norm.get_weights())
    scale = gamma / np.sqrt(variance + norm.epsilon)
    return kernel[0, 0] * scale, beta - mean * scale


def _components(statistics: dict[str, _Statistics], source: dict[str, Any], first: str, count: int) -> _Matrix:
    """The first principal components ``(C, count)`` of the residual stream that begins with a block."""
    names = set(source)
    covariance = statistics[_end_of(first, names)].covariance
    for prefix in _PREFIXES[_PREFIXES.index(first) + 1 :]:
        if f"{prefix}_add" not in names:
            break
        covariance = covariance + statistics[f"{prefix}_add"].covariance
    return np.asarray(np.linalg.eigh(covariance)[1][:, ::-1][:, :count], np.float64)


def _choose_and_fit(hidden: _Statistics, weights: _Matrix, count: int) -> tuple[npt.NDArray[np.int64], _Matrix]:
    """Channels ``(count,)`` from which ``hidden @ weights`` can be estimated best, greedily, and the weights for them.

    Each step takes the channel that explains most of what those before it leave (orthogonal matching pursuit, Pati et
    al. 1993).
    """
    left = hidden.covariance.copy()
    unexplained = left @ weights
    free = np.diag(left) > -np.inf
    least = max(_RIDGE * float(np.diag(left).mean()), _LEAST)
    chosen: list[int] = []
    for _ in range(count):
        gain = np.where(free, (unexplained**2).sum(1) / (np.maximum(np.diag(left), 0.0) + least), -1.0)
        best = int(gain.argmax())
        chosen.append(best)
        free[best] = False
        column = left[:, best] / (max(float(left[best, best]), 0.0) + least)
        unexplained = unexplained - np.outer(column, unexplained[best])
        left = left - np.outer(column, left[best])
    kept = np.sort(np.asarray(chosen, np.int64))
    among = hidden.covariance[np.ix_(kept, kept)] + least * np.eye(count)
    fitted = np.linalg.solve(among, hidden.covariance[kept] @ weights)
    return kept, np.asarray(fitted, np.float64)


def _set_entrance(
    source: dict[str, Any],
    own: dict[str, Any],
    names: tuple[str, str],
    kept: npt.NDArray[np.int64],
    stream: _Stream,
) -> None:
    """A convolution that reads a stream: turned onto its directions; BatchNorm loses what the mean gives."""
    convolution, norm = names
    kernel = source[convolution].get_weights()[0].astype(np.float64)[..., kept]
    turned = np.einsum("hwct,ck->hwkt", kernel, stream.directions)
    own[convolution].set_weights([turned.astype(np.float32)])
    gamma, beta, mean, variance = (value[kept] for value in source[norm].get_weights())
    own[norm].set_weights([gamma, beta, (mean - stream.mean @ kernel.sum((0, 1))).astype(np.float32), variance])


def _copy(source: dict[str, Any], own: dict[str, Any], name: str, take: Any) -> None:
    own[name].set_weights([take(value) for value in source[name].get_weights()])


def _center(norm: Any, hidden: _Statistics, weights: _Matrix) -> None:
    """A BatchNorm that only takes the mean away, with the statistics that training would find."""
    variance = np.maximum(np.einsum("ck,cd,dk->k", weights, hidden.covariance, weights), 0.0)
    values = (np.sqrt(variance + norm.epsilon), np.zeros_like(variance), hidden.mean @ weights, variance)
    norm.set_weights([value.astype(np.float32) for value in values])
