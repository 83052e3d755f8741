"""What Keras computes with: backend, device, precision."""

from __future__ import annotations

from typing import Any

import keras

__all__ = ["choose_precision", "device_names", "on_cpu", "runner", "to_numpy"]

to_numpy = keras.ops.convert_to_numpy  # also of what lies on a GPU


def choose_precision(precision: str) -> str:
    """The policy for ``auto``: mixed bfloat16 on a GPU, float32 elsewhere (on some CPUs bfloat16 is slower).

    Args:
        precision: ``auto``, or such a name, which is returned.

    Returns:
        Name of a Keras policy.
    """
    if precision != "auto":
        return precision
    return "float32" if on_cpu() else "mixed_bfloat16"


def on_cpu() -> bool:
    """Whether there is nothing but CPUs to compute on.

    Returns:
        True without a GPU or TPU.
    """
    return all(name.lower().startswith("cpu") for name in device_names())


def device_names() -> list[str]:
    """What Keras' engine can compute on, such as ``["cpu:0"]``.

    Returns:
        Names, one per device.
    """
    if keras.backend.backend() == "torch":  # Keras has no list for it
        import torch

        return [f"cuda:{i}" for i in range(torch.cuda.device_count())] or ["cpu:0"]
    return [str(name) for name in keras.distribution.list_devices()]  # asked for GPUs only, JAX raises without one


def runner(network: Any) -> Any:
    """What computes a network's answers fastest.

    Args:
        network: a Keras 3 network.

    Returns:
        The network, or a model that shares its variables.
    """
    backend = keras.backend.backend()
    if backend == "torch" and keras.config.dtype_policy().name in ("float32", "mixed_bfloat16"):
        from fer_train.networks.torch_fused import fused_network

        return fused_network(network)
    return network
