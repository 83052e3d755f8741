"""The float network and its augmentation as fused PyTorch operations, for ``KERAS_BACKEND=torch``.

Keras' layers on PyTorch compute BatchNorm from single operations and sample affine maps by gathering; PyTorch has one
kernel for each. Here the layers of a Keras network are only read: variables stay Keras' own, so that optimizers,
checkpoints, freezing and saving work as on every engine (figures: ``train/README.md``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import torch
from torch.nn import functional

from fer_edge.errors import ModelError

__all__ = ["Step", "fused_network", "sample_affine"]

Step = Callable[[dict[str, Any], bool], Any]
"""From the tensors so far, by name, and whether in training, to the next tensor."""


def fused_network(network: Any) -> Any:
    """A Keras model that computes what ``network`` does, with its variables: for training and for prediction.

    It computes in float32 or, where Keras' policy is ``mixed_bfloat16``, in both. Moving variances take the unbiased
    variance of a batch, as is usual in PyTorch, where Keras takes the biased one (a factor of 1.003 at 3x3 pixels and
    32 images, less elsewhere).

    Args:
        network: flat, and made of the layers of :func:`fer_train.networks.build.build_network`.

    Returns:
        A Keras model that shares the variables of ``network``.

    Raises:
        ModelError: a layer is of another kind.
    """
    (faces,) = network.inputs
    return keras.Model(faces, _Fused(network, name="fused")(faces), name=f"fused_{network.name}")


class _Fused(keras.layers.Layer):  # type: ignore[misc]
    def __init__(self, network: Any, **kwargs: Any) -> None:
        # PyTorch's own autocasting knows what must stay in float32; Keras' would hand it BatchNorm in bfloat16.
        super().__init__(dtype="float32", autocast=False, **kwargs)
        self._half = keras.config.dtype_policy().compute_dtype == "bfloat16"
        self.network = network
        self._steps = _steps(network)
        self._input_name, self._output_name = _name(network.inputs[0]), _name(network.outputs[0])
        self.built = True

    def compute_output_spec(self, inputs: Any, training: bool = False) -> Any:  # noqa: ARG002
        return keras.KerasTensor((inputs.shape[0], *self.network.output_shape[1:]), "float32")

    def call(self, inputs: Any, training: bool = False) -> Any:
        # PyTorch's convolutions keep channels_last, in which they are fastest here, if the first one gets it.
        faces = inputs.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
        tensors = {self._input_name: faces}
        with torch.autocast(faces.device.type, torch.bfloat16, enabled=self._half):
            for name, step in self._steps:
                tensors[name] = step(tensors, bool(training))
        return tensors[self._output_name].float()


def _name(symbolic: Any) -> str:
    return str(symbolic.name)


def _steps(network: Any) -> list[tuple[str, Step]]:
    layers = [layer for layer in network.layers if not isinstance(layer, keras.layers.InputLayer)]
    readers: dict[str, list[Any]] = {}
    for layer in layers:
        for symbolic in _inputs(layer):
            readers.setdefault(_name(symbolic), []).append(layer)
    steps: list[tuple[str, Step]] = []
    taken: set[str] = set()
    for layer in layers:
        if layer.name in taken:
            continue
        source, last = _name(_inputs(layer)[0]), layer
        if isinstance(layer, (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)):
            last, step = _convolution_unit(layer, source, readers, taken)
        else:
            step = _single(layer, source)
        steps.append((_name(last.output), step))
    return steps


def _inputs(layer: Any) -> list[Any]:
    return list(layer.input) if isinstance(layer.input, list) else [layer.input]


def _convolution_unit(layer: Any, source: str, readers: dict[str, list[Any]], taken: set[str]) -> tuple[Any, Step]:
    """Convolution, BatchNorm after it and ReLU6 after that, as far as each is there and nobody else reads between."""

    def next_one(behind: Any, kind: Any) -> Any | None:
        follow = readers.get(_name(behind.output), [])
        if len(follow) == 1 and isinstance(follow[0], kind):
            taken.add(follow[0].name)
            return follow[0]
        return None

    norm = next_one(layer, keras.layers.BatchNormalization)
    relu = next_one(norm, keras.layers.ReLU) if norm is not None else None
    if norm is None or layer.bias is not None or (relu is not None and relu.max_value not in (6, None)):
        raise ModelError(f"the layer {layer.name} is not one of our networks': expected BatchNorm and ReLU after it")
    depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
    stride, side = layer.strides[0], layer.kernel_size[0]
    groups = layer.input.shape[-1] if depthwise else 1
    # "same" in Keras pads an even image in front of a stride of 2 at its end only.
    uneven = layer.padding == "same" and stride == 2
    padding = side // 2 if layer.padding == "same" and stride == 1 else 0

    def step(tensors: dict[str, Any], training: bool) -> Any:
        x = functional.pad(tensors[source], (0, 1, 0, 1)) if uneven else tensors[source]
        kernel = layer.kernel.value.permute((2, 3, 0, 1) if depthwise else (3, 2, 0, 1))
        gamma, beta = norm.gamma.value, norm.beta.value
        mean, variance = norm.moving_mean.value, norm.moving_variance.value
        if training and norm.trainable:
            x = functional.conv2d(x, kernel, None, stride, padding, groups=groups)
            x = functional.batch_norm(
                x, mean, variance, gamma, beta, training=True, momentum=1.0 - norm.momentum, eps=norm.epsilon
            )
        else:  # fixed statistics make BatchNorm one more linear map: into the kernel with it
            scale = gamma * torch.rsqrt(variance + norm.epsilon)
            x = functional.conv2d(
                x, kernel * scale[:, None, None, None], beta - mean * scale, stride, padding, groups=groups
            )
        return x if relu is None else _rectify(relu, x)

    return relu or norm, step


def _rectify(relu: Any, x: Any) -> Any:
    return functional.relu6(x, inplace=True) if relu.max_value == 6 else functional.relu(x, inplace=True)


def _single(layer: Any, source: str) -> Step:
    if isinstance(layer, keras.layers.ZeroPadding2D):
        (top, bottom), (left, right) = layer.padding
        return lambda tensors, _: functional.pad(tensors[source], (left, right, top, bottom))
    if isinstance(layer, keras.layers.Add):
        first, second = (_name(symbolic) for symbolic in layer.input)
        return lambda tensors, _: tensors[first] + tensors[second]
    if isinstance(layer, keras.layers.Dropout):
        return lambda tensors, training: _dropout(layer, tensors[source]) if training else tensors[source]
    alone = _without_state(layer)
    if alone is None:
        raise ModelError(f"the layer {layer.name} ({type(layer).__name__}) is not one of our networks'")
    return lambda tensors, _: alone(tensors[source])


def _without_state(layer: Any) -> Callable[[Any], Any] | None:
    """The function of a layer that needs neither other tensors nor to know of training; None for other kinds."""
    if isinstance(layer, keras.layers.ReLU) and layer.max_value is None:
        relu: Callable[[Any], Any] = functional.relu  # untyped where PyTorch is not installed
        return relu
    if isinstance(layer, keras.layers.MaxPooling2D) and layer.padding == "valid":
        return lambda x: functional.max_pool2d(x, layer.pool_size)
    if isinstance(layer, keras.layers.GlobalAveragePooling2D):
        return lambda x: x.mean((2, 3))
    if isinstance(layer, keras.layers.Dense) and layer.activation is keras.activations.softmax:
        return lambda x: _dense_softmax(layer, x)
    return None


def _dense_softmax(layer: Any, x: Any) -> Any:
    """In float32 under autocast too: probabilities in bfloat16 have three digits."""
    with torch.autocast(x.device.type, enabled=False):
        return torch.softmax(x.float() @ layer.kernel.value + layer.bias.value, -1)


def _dropout(layer: Any, x: Any) -> Any:
    """Dropout by the layer's seed, which checkpoints hold; Keras on PyTorch draws from PyTorch's, which they do not.

    A GPU draws by PyTorch's, which recorded steps need and :mod:`fer_train.training.torch_steps` seeds for every epoch.
    """
    noise = torch.rand_like(x) if x.is_cuda else keras.random.uniform(x.shape, seed=layer.seed_generator)
    kept = noise >= layer.rate
    return x * kept / (1.0 - layer.rate)


def sample_affine(images: Any, transform: Any) -> Any:
    """``keras.ops.image.affine_transform``, bilinear, edges replicated, in one kernel.

    Args:
        images: ``(B, S, S, C)`` float32.
        transform: ``(B, 8)`` as of ``keras.ops.image.affine_transform``; its last two columns, of projective maps, are
            taken for 0.

    Returns:
        ``(B, S, S, C)``.
    """
    size = images.shape[1]
    position = torch.arange(size, dtype=transform.dtype, device=transform.device)
    y, x = torch.meshgrid(position, position, indexing="ij")
    ones = torch.ones_like(x)
    where = torch.stack([x, y, ones], dim=-1)  # (S, S, 3)
    source = torch.einsum("hwk,bck->bhwc", where, transform[:, :6].reshape(-1, 2, 3))
    grid = source * (2.0 / (size - 1)) - 1.0  # grid_sample counts from -1 to 1
    sampled = functional.grid_sample(
        images.permute(0, 3, 1, 2), grid, mode="bilinear", padding_mode="border", align_corners=True
    )
    return sampled.permute(0, 2, 3, 1)
