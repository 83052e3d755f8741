"""The operators of the face detector, timed as those of a classifier are.

The camera pipeline spends more time in YuNet than in the classifier. On LiteRT it is a TFLite model like any other,
made on the device from opencv_zoo's ONNX file; its operators are cut out and timed one by one at the size that the file
is written for (320x192, the view of a frame of 16:9).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from fer_bench.measure.operator_profile import as_profile, profile_tflite
from fer_bench.measure.validity import Recorder, machine_reasons
from fer_bench.schema import Profile
from fer_edge.errors import UsageError
from fer_edge.faces import yunet_engines
from fer_edge.faces.detectors import open_detector
from fer_edge.inference.backends import backend_spec
from fer_edge.native import quiet_native_libraries

__all__ = ["DetectorNetwork", "detector_network", "profile_detector"]

_BACKEND: Final[str] = "litert"
_THREADS: Final[int] = 1
"""As many as the detector uses."""


@dataclass(frozen=True)
class DetectorNetwork:
    """The network of a face detector as a TFLite file."""

    name: str
    """As reports call it."""
    content: bytes
    """The file."""


def detector_network(name: str, model: str | os.PathLike[str] | None = None) -> DetectorNetwork:
    """The network that a face detector runs on LiteRT.

    Args:
        name: key of :func:`fer_edge.faces.detectors.detectors`, or ``auto``.
        model: the detector's file; None: the one in the cache folder, fetched once.

    Returns:
        Name and content.

    Raises:
        UsageError: the detector is not a network on LiteRT (Haar, YuNet on OpenCV).
        ModelError: a bad file.
        MissingDependencyError: the file cannot be fetched.
    """
    detector = open_detector(name, model)
    engine, path = getattr(detector, "engine", None), getattr(detector, "model_path", None)
    runtime, _, form = (engine or "").partition("-")  # litert, or with a form: litert-int8
    if runtime != _BACKEND or path is None:
        chosen = f"{detector.name} on {engine}" if engine and engine not in detector.name else detector.name
        raise UsageError(f"--profile-detector works on yunet on LiteRT, not on {chosen}")
    write: Callable[..., bytes] = yunet_engines.yunet_tflite
    title = f"{detector.name}-{form}" if form and form not in detector.name else detector.name
    return DetectorNetwork(title, write(path, form) if form else write(path))


def profile_detector(network: DetectorNetwork, seconds: float) -> Profile:
    """Time every operator of a face detector, on one thread as the detector itself runs.

    Args:
        network: as :func:`detector_network` gives it.
        seconds: to spend on it.

    Returns:
        The profile, with whether the machine was quiet meanwhile.

    Raises:
        MissingDependencyError: ai-edge-litert is not installed.
    """
    recorder = Recorder()
    with quiet_native_libraries():
        content = profile_tflite(network.content, str(backend_spec(_BACKEND).runtime_module), _THREADS, seconds)
    return as_profile(network.name, _BACKEND, _THREADS, content, machine_reasons(recorder.stop()))
