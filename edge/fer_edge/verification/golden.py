"""Golden vectors: what an export recorded of itself, for :mod:`fer_edge.verification.replay` to replay on a device."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fer_edge.arrays import FloatArray, Image
from fer_edge.errors import InputError
from fer_edge.inference.tensors import TensorSpec, dequantize, to_layout
from fer_edge.labels import NUM_EMOTIONS
from fer_edge.loading.model_files import PACKAGED_MODELS, companion

__all__ = [
    "DOUBLE_ROUNDING",
    "DOUBLE_ROUNDING_OUTPUTS",
    "GOLDEN_FORMAT",
    "GOLDEN_NAME",
    "SINGLE_ROUNDING",
    "Golden",
    "find_golden",
    "own_outputs_name",
    "read_golden",
]

GOLDEN_FORMAT: Final[int] = 1
GOLDEN_NAME: Final[str] = "golden.npz"
SINGLE_ROUNDING: Final[str] = "single-rounding"
"""XNNPACK, and so LiteRT as it is: an accumulator is scaled and rounded once."""
DOUBLE_ROUNDING: Final[str] = "double-rounding"
"""TFLite's reference kernels, TensorFlow Lite Micro, TOSA, Ethos-U: a fixed-point multiplication that rounds, then a
shift that rounds (Jacob et al. 2018, arXiv:1712.05877, section 2.2)."""
DOUBLE_ROUNDING_OUTPUTS: Final[str] = "outputs_double_rounding"
"""Name of the array in the file."""


@dataclass(frozen=True)
class Golden:
    """The content of a ``golden.npz``; ``n`` vectors for a model of input size ``S``."""

    path: Path
    """The file."""
    frames: tuple[Image, ...]
    """BGR, each ``(H, W, 3)``."""
    boxes: npt.NDArray[np.int32]
    """``(n, 4)`` as ``(x, y, w, h)`` in pixels of the frame."""
    tensors: npt.NDArray[np.int8]
    """``(n, S, S, C)``, C equal channels, 1 or 3."""
    outputs: npt.NDArray[np.int8]
    """``(n, 7)`` by XNNPACK, which rounds once."""
    float_outputs: FloatArray
    """``(n, 7)`` probabilities of the float model."""
    labels: tuple[str, ...]
    """One per vector: the emotion decided by ``outputs``."""
    info: dict[str, Any]
    """Format, model, scales and zero points, and the order of emotions."""
    own_outputs: dict[str, npt.NDArray[np.int8]] = field(default_factory=dict)
    """``(n, 7)`` of other INT8 files that hold another network, by :func:`own_outputs_name`."""
    double_rounding: npt.NDArray[np.int8] | None = None
    """``(n, 7)`` of the same network by kernels that round twice; None in files of earlier versions, and where those
    kernels do not compute the network."""

    @property
    def input_size(self) -> int:
        """Side of the model's square input in pixels."""
        return int(self.tensors.shape[1])

    @property
    def faces(self) -> Image:
        """``(n, S, S)`` grey faces, as preprocessing must give them: the tensor plus 128."""
        return self.tensors[..., 0].view(np.uint8) ^ np.uint8(0x80)

    def tensors_for(self, spec: TensorSpec) -> npt.NDArray[np.int8]:
        """The recorded tensors as a model with other channels takes them.

        Args:
            spec: of the model's input.

        Returns:
            ``(n, *spec.shape[1:])`` int8.
        """
        return self.tensors if self.tensors.shape[1:] == spec.shape[1:] else to_layout(self.tensors[..., 0], spec)

    @property
    def output_spec(self) -> TensorSpec:
        """Quantisation of the recorded outputs."""
        scale, zero = float(self.info["output_scale"]), int(self.info["output_zero_point"])
        return TensorSpec("golden", (1, NUM_EMOTIONS), np.dtype(np.int8), scale, zero)

    @property
    def probabilities(self) -> FloatArray:
        """``(n, 7)`` recorded outputs as probabilities."""
        return dequantize(self.outputs, self.output_spec)

    @property
    def by_arithmetic(self) -> dict[str, FloatArray]:
        """``(n, 7)`` probabilities by each arithmetic that was recorded; single rounding first."""
        recorded = {SINGLE_ROUNDING: self.probabilities}
        if self.double_rounding is not None:
            recorded[DOUBLE_ROUNDING] = dequantize(self.double_rounding, self.output_spec)
        return recorded


def own_outputs_name(sha256: str) -> str:
    """Name of the array with the outputs of an INT8 file.

    Args:
        sha256: checksum of the file, in hexadecimal.

    Returns:
        The name.
    """
    return f"own_{sha256[:16]}"


def find_golden(model_path: Path, golden: str | os.PathLike[str] | None = None) -> Path:
    """The golden vectors to use for a model.

    Args:
        model_path: the model file.
        golden: the file that the user names; None looks for it.

    Returns:
        Path of the golden vectors.

    Raises:
        InputError: there are none.
    """
    folder = model_path.absolute().parent
    # Files for chips lie in folders of their own, one below the golden vectors.
    beside = [
        companion(model_path.absolute(), GOLDEN_NAME),
        folder.parent / GOLDEN_NAME,
        companion(PACKAGED_MODELS / model_path.name, GOLDEN_NAME),
    ]
    candidates = beside if golden is None else [Path(golden)]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise InputError(
        f"no golden vectors at {', '.join(map(str, candidates))}; fer-export writes {GOLDEN_NAME} beside the models"
    )


def read_golden(path: str | os.PathLike[str]) -> Golden:
    """Read a ``golden.npz``.

    Args:
        path: the ``.npz`` file.

    Returns:
        The vectors, their shapes and dtypes checked.

    Raises:
        InputError: it cannot be read, is damaged, or is of another format.
    """
    source = Path(path)
    try:
        with source.open("rb") as handle, np.load(handle, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        no_arrays = sorted(name for name, array in arrays.items() if not isinstance(array, np.ndarray))
        if no_arrays:
            raise ValueError(f"{no_arrays[0]} is not an array")
        info = json.loads(str(arrays["info"]))
        golden = Golden(
            path=source,
            frames=tuple(arrays[name] for name in sorted(arrays) if name.startswith("frame_")),
            boxes=arrays["boxes"],
            tensors=arrays["tensors"],
            outputs=arrays["outputs"],
            float_outputs=arrays["float_outputs"],
            labels=tuple(str(name) for name in arrays["labels"]),
            info=info,
            own_outputs={name: array for name, array in arrays.items() if name.startswith("own_")},
            double_rounding=arrays.get(DOUBLE_ROUNDING_OUTPUTS),
        )
    except Exception as error:  # zipfile, zlib, numpy and json each have errors of their own for a damaged file
        raise InputError(f"{source} cannot be read as golden vectors, truncated or damaged? {error}") from error
    if not isinstance(info, dict) or info.get("format") != GOLDEN_FORMAT:
        number = info.get("format") if isinstance(info, dict) else None
        raise InputError(f"{source} has format {number}; this version reads format {GOLDEN_FORMAT}")
    problem = _damage(golden)
    if problem is not None:
        raise InputError(f"{source} is damaged: {problem}")
    return golden


def _damage(golden: Golden) -> str | None:
    """What cannot be right in golden vectors, None when all is as :class:`Golden` says."""
    n, size = len(golden.frames), golden.tensors.shape[1] if golden.tensors.ndim == 4 else 0
    channels = 1 if golden.tensors.shape[3:] == (1,) else 3
    expected: dict[str, tuple[tuple[int, ...], type]] = {
        "boxes": ((n, 4), np.integer),
        "tensors": ((n, size, size, channels), np.int8),
        "outputs": ((n, NUM_EMOTIONS), np.int8),
        "float_outputs": ((n, NUM_EMOTIONS), np.floating),
    }
    for name, (shape, kind) in expected.items():
        array = getattr(golden, name)
        if array.shape != shape or 0 in shape or not np.issubdtype(array.dtype, kind):
            return f"{name} has shape {array.shape} and type {array.dtype}; expected {shape}"
    further = dict(golden.own_outputs)
    if golden.double_rounding is not None:
        further[DOUBLE_ROUNDING_OUTPUTS] = golden.double_rounding
    for name, array in further.items():
        if array.shape != (n, NUM_EMOTIONS) or array.dtype != np.int8:
            return f"{name} has shape {array.shape} and type {array.dtype}; expected {(n, NUM_EMOTIONS)} int8"
    for number, frame in enumerate(golden.frames):
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or 0 in frame.shape:
            return f"frame {number} is not a picture"
    if len(golden.labels) != n:
        return f"{len(golden.labels)} labels for {n} frames"
    numbers = ("input_scale", "input_zero_point", "output_scale", "output_zero_point")
    missing = [name for name in numbers if not isinstance(golden.info.get(name), (int, float))]
    if missing or not isinstance(golden.info.get("emotions"), list):
        return f"{', '.join(missing) or 'emotions'} missing"
    unusable = [name for name in numbers if not abs(golden.info[name]) < 1e6]  # nor NaN
    return f"{unusable[0]} is not a usable number" if unusable else None
