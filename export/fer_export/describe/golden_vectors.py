"""Golden vectors: what this network computes on synthetic colour frames, recorded where it was exported.

The frames are synthetic, because FER-2013 may not be redistributed, and coloured, so that swapped channels show. Each
holds a face box; sizes vary, so that enlarging, shrinking and averaging of the preprocessing all occur, and some boxes
reach beyond the frame. ``fer_edge.verification.replay`` replays them on a device.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fer_edge.errors import ModelError
from fer_edge.files import atomic_path, sha256_of
from fer_edge.inference.classifier import Classifier
from fer_edge.inference.tensors import to_model_input
from fer_edge.labels import EMOTIONS
from fer_edge.preprocess import preprocess_face
from fer_edge.verification.golden import DOUBLE_ROUNDING_OUTPUTS, GOLDEN_FORMAT, own_outputs_name
from fer_train.synthetic.faces import draw_scene

__all__ = ["N_FRAMES", "SEED", "add_outputs", "draw_frames", "write_golden"]

N_FRAMES: Final[int] = 64
SEED: Final[int] = 20_13
_SIZES: Final[tuple[tuple[int, int], ...]] = ((96, 96), (112, 84), (84, 112), (104, 80))
_KEPT_BITS: Final[int] = 0xF8
"""Synthetic noise does not compress; the five upper bits of each colour show every fault just as well."""


def draw_frames(
    input_size: int, n: int = N_FRAMES, seed: int = SEED
) -> tuple[list[npt.NDArray[np.uint8]], npt.NDArray[np.int32], list[str]]:
    """Synthetic frames with a face box each.

    Most faces are smaller than ``input_size``, every sixteenth is larger, and the last is so large (pixels repeated)
    that preprocessing averages before it resizes.

    Args:
        input_size: side of the network's input, in pixels.
        n: how many.
        seed: of the drawing.

    Returns:
        BGR frames ``(H, W, 3)`` uint8, face boxes ``(n, 4)`` int32 as ``(x, y, w, h)`` in pixels, and the emotions
        drawn.
    """
    frames, boxes, emotions = [], [], []
    for i in range(n):
        rng = np.random.default_rng((seed, i))
        emotion = EMOTIONS[i % len(EMOTIONS)]
        width, height = (320, 240) if i % 16 == 14 else _SIZES[i % len(_SIZES)]
        frame, box = draw_scene(emotion, rng, width, height)
        x, y, w, h = box
        if i == n - 1:
            k = -(-4 * input_size // width) + 1
            frame, (x, y, w, h) = frame.repeat(k, axis=0).repeat(k, axis=1), (0, 0, width * k, height * k)
        elif i % 16 == 14:
            x, y, w, h = x - w // 4, y - h // 4, w + w // 2, h + h // 2
        elif i % 8 == 7:  # a box that reaches beyond the frame, as detectors give them
            x, w = x - width // 2, w + width // 2
        frames.append(frame & np.uint8(_KEPT_BITS))
        boxes.append((x, y, w, h))
        emotions.append(emotion)
    return frames, np.asarray(boxes, np.int32), emotions


def write_golden(
    path: str | os.PathLike[str],
    int8: Classifier,
    floating: Classifier,
    versions: dict[str, Any],
    others: Sequence[Classifier] = (),
    double_rounding: Classifier | None = None,
) -> None:
    """Compute and write ``golden.npz`` for an INT8 TFLite model (run by LiteRT) and its float counterpart.

    Arrays: ``frame_00``.. (H, W, 3) BGR, ``boxes`` (n, 4), ``tensors`` int8 (n, S, S, 3) after preprocessing and
    quantisation, ``outputs`` int8 (n, 7) by XNNPACK, ``outputs_double_rounding`` the same by kernels that round twice,
    ``float_outputs`` float32 (n, 7), ``labels`` the names decided,
    ``drawn`` the names drawn, ``own_<sha256>`` int8 (n, 7) for each of ``others``, ``info`` JSON with format,
    emotions, scales, model checksum, runtime and versions.

    Args:
        path: of the file; written atomically.
        int8: the INT8 TFLite model.
        floating: the float model.
        versions: of the packages that took part.
        others: INT8 files of another network, which get outputs of their own.
        double_rounding: the INT8 TFLite model on kernels that round twice; None where they do not compute it.

    Raises:
        ModelError: ``int8`` is not quantised.
    """
    if not (int8.input_spec.is_quantized and int8.output_spec.is_quantized):
        raise ModelError(f"{int8.model_path} is not quantised; golden vectors are recorded from the INT8 model")
    frames, boxes, emotions = draw_frames(int8.input_size)
    faces = np.stack([preprocess_face(frame, int8.input_size, box) for frame, box in zip(frames, boxes, strict=True)])
    tensors = to_model_input(faces, int8.input_spec)
    outputs = _answers(int8, tensors)
    info = _info(int8) | {"versions": versions}
    arrays: dict[str, Any] = {f"frame_{i:02d}": frame for i, frame in enumerate(frames)}
    arrays |= {
        "boxes": boxes,
        "tensors": tensors,
        "outputs": outputs,
        "float_outputs": floating.predict(faces),
        "labels": np.asarray([EMOTIONS[int(i)] for i in outputs.argmax(axis=1)]),
        "drawn": np.asarray(emotions),
        "info": np.asarray(json.dumps(info, sort_keys=True)),
    }
    if double_rounding is not None:
        arrays[DOUBLE_ROUNDING_OUTPUTS] = _answers(double_rounding, tensors)
    for other in others:
        arrays[own_outputs_name(sha256_of(other.model_path))] = _answers(other, to_model_input(faces, other.input_spec))
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, **arrays)


def _answers(classifier: Classifier, tensors: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.concatenate([classifier.infer(tensors[i : i + 1]) for i in range(len(tensors))])


def _info(int8: Classifier) -> dict[str, Any]:
    return {
        "format": GOLDEN_FORMAT,
        "emotions": list(EMOTIONS),
        "input_scale": int8.input_spec.scale,
        "input_zero_point": int8.input_spec.zero_point,
        "output_scale": int8.output_spec.scale,
        "output_zero_point": int8.output_spec.zero_point,
        "model": Path(int8.model_path).name,
        "model_sha256": sha256_of(int8.model_path),
        "backend": int8.backend,
        "runtime": int8.runtime_version,
    }


def add_outputs(path: str | os.PathLike[str], outputs: dict[str, npt.NDArray[np.int8]]) -> None:
    """Add outputs of further files to a ``golden.npz``.

    Args:
        path: of the file; rewritten atomically.
        outputs: int8 ``(n, 7)`` by name, see ``fer_edge.verification.golden.own_outputs_name``.
    """
    if not outputs:
        return
    with np.load(path, allow_pickle=False) as stored:
        arrays: dict[str, Any] = {name: stored[name] for name in stored.files}
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, **(arrays | outputs))
