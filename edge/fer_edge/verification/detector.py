"""Replay of the face detector's golden vectors: does this device find the faces that the developers' machine found?

``detector_golden.npz`` holds synthetic scenes, YuNet's three int8 maps of each, and the faces decoded from them
(``export/yunet_golden.py`` writes it). The network is replayed from the scenes and the decoding from the *recorded*
maps, so that the part at fault can be named. INT8 must be identical to the last bit on every processor. In float, on
LiteRT or OpenCV, boxes may differ by :data:`FLOAT_TOLERANCE_PX`.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from fer_edge.arrays import FloatArray, Image
from fer_edge.command import counted
from fer_edge.errors import FerError, InputError, MissingDependencyError
from fer_edge.faces.detectors import AUTO, detectors, open_detector
from fer_edge.faces.yunet_file import cached_yunet_file
from fer_edge.verification.stage import StageResult

if TYPE_CHECKING:
    from fer_edge.faces.detectors.yunet import YuNetDetector

__all__ = [
    "DETECTOR_GOLDEN",
    "DETECTOR_GOLDEN_FORMAT",
    "FLOAT_TOLERANCE_PX",
    "STAGE",
    "DetectorGolden",
    "read_detector_golden",
    "verify_detector",
]

STAGE: Final[str] = "detector"
DETECTOR_GOLDEN: Final[Path] = Path(__file__).with_name("detector_golden.npz")
DETECTOR_GOLDEN_FORMAT: Final[int] = 1
FLOAT_TOLERANCE_PX: Final[float] = 0.05
"""Of boxes and landmarks in float. Measured between LiteRT and OpenCV on x86: 6e-5."""
_MAPS: Final[tuple[str, ...]] = ("map8", "map16", "map32")


@dataclass(frozen=True)
class DetectorGolden:
    """The content of a ``detector_golden.npz``; one entry of each tuple per scene."""

    views: tuple[Image, ...]
    """B, G, R, each ``(H, W, 3)``."""
    maps: tuple[list[npt.NDArray[np.int8]], ...]
    """The network's outputs for strides 8, 16, 32, each ``(H / s, W / s, 16)``."""
    rows: dict[str, tuple[FloatArray, ...]]
    """By engine, ``(n, 15)`` faces: x, y, width, height, five landmarks, score; pixels of the scene."""
    info: dict[str, Any]
    """Format, score, and what made it."""


def read_detector_golden(path: str | os.PathLike[str] = DETECTOR_GOLDEN) -> DetectorGolden:
    """Read a ``detector_golden.npz``.

    Args:
        path: the file; by default the package's own.

    Returns:
        The vectors.

    Raises:
        InputError: it cannot be read, is damaged, or is of another format.
    """
    try:
        with Path(path).open("rb") as handle, np.load(handle, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        info = json.loads(str(arrays["info"]))
        n = int(info["n_scenes"])
        golden = DetectorGolden(
            views=tuple(arrays[f"view_{i}"] for i in range(n)),
            maps=tuple([arrays[f"{name}_{i}"] for name in _MAPS] for i in range(n)),
            rows={engine: tuple(arrays[f"{engine}_{i}"] for i in range(n)) for engine in info["engines"]},
            info=info,
        )
    except Exception as error:  # zipfile, zlib, numpy and json each have errors of their own for a damaged file
        raise InputError(f"{path} cannot be read as the detector's golden vectors, damaged? {error}") from error
    if info.get("format") != DETECTOR_GOLDEN_FORMAT:
        raise InputError(f"{path} has format {info.get('format')}; this version reads format {DETECTOR_GOLDEN_FORMAT}")
    return golden


def verify_detector(
    name: str = AUTO, model: str | os.PathLike[str] | None = None, golden: DetectorGolden | None = None
) -> StageResult:
    """Replay golden vectors through the face detector that ``fer-camera`` would use. Nothing is fetched.

    Args:
        name: as ``--detector``.
        model: as ``--detector-model``; by default YuNet's file in the cache folder.
        golden: the vectors; by default the package's own.

    Returns:
        What came out. A detector that has no golden vectors passes and says so, as does one whose file is not here.

    Raises:
        UsageError: an unknown name, or a file for a detector that has none.
        ModelError: a bad file.
        MissingDependencyError: the detector asked for by name cannot run here.
    """
    from fer_edge.faces.detectors.yunet import YuNetDetector

    spec = detectors().get(name)
    if model is None and (name == AUTO or (spec is not None and spec.takes_file)):
        model = cached_yunet_file()
        if model is None:
            return StageResult(STAGE, True, "not checked: YuNet's file is not here yet; fer-camera --fetch fetches it")
    try:
        # With a file, `auto` means YuNet; where that cannot run, frames are searched by another one.
        detector = open_detector(name, model)
    except MissingDependencyError as error:
        if name != AUTO:
            raise
        return StageResult(STAGE, True, f"not checked: {error}")
    if not isinstance(detector, YuNetDetector):
        return StageResult(STAGE, True, f"not applicable: {detector.name} has no golden vectors")
    return _replay(detector, read_detector_golden() if golden is None else golden)


def _replay(detector: YuNetDetector, golden: DetectorGolden) -> StageResult:
    from fer_edge.faces.yunet_engines import Int8Engine, open_engine

    # At the score of the vectors, not at the detector's own.
    engine = open_engine(detector.engine, detector.model_path, float(golden.info["score"]))
    expected = golden.rows[engine.name]
    if not _holds_known_weights(detector.model_path):
        return StageResult(STAGE, True, f"not applicable: {detector.model_path} holds other weights than opencv_zoo's")
    try:
        faces = [engine.find(view) for view in golden.views]
        if not isinstance(engine, Int8Engine):
            return _compare_float(engine.name, faces, expected)
        maps = [engine.maps(view) for view in golden.views]
        decoded = [engine.faces(recorded) for recorded in golden.maps]
    except FerError:
        raise
    except Exception as error:  # a runtime's own errors share no base class
        return StageResult(STAGE, False, f"the runtime failed: {error}")
    steps = max(
        int(np.abs(got.astype(int) - want).max()) if got.shape == want.shape else 255
        for scene in zip(maps, golden.maps, strict=True)
        for got, want in zip(*scene, strict=True)
    )
    n_faces = sum(map(len, expected))
    what = f"INT8 maps of {len(golden.views)} scenes identical, {n_faces} faces identical"
    if steps:
        detail = f"INT8 maps differ by up to {counted(steps, 'step')}"
        cause = "a delegate or kernel that computes differently (--detector yunet-float avoids it)"
        return StageResult(STAGE, False, detail, f"{detail}: {cause}")
    for name, rows in (("the decoding", decoded), ("the search", faces)):
        if not all(np.array_equal(got, want) for got, want in zip(rows, expected, strict=True)):
            detail = f"INT8 maps are identical, but {name} gives other faces"
            return StageResult(STAGE, False, detail)
    return StageResult(STAGE, True, f"{what} ({engine.name})")


def _holds_known_weights(path: Path) -> bool:
    from fer_edge.faces.yunet_int8 import read_ranges, weights_digest
    from fer_edge.faces.yunet_weights import read_yunet

    try:
        return weights_digest(read_yunet(path.read_bytes())) == read_ranges().weights_sha256
    except FerError:  # a graph that only OpenCV reads
        return False


def _compare_float(engine: str, boxes: list[FloatArray], expected: tuple[FloatArray, ...]) -> StageResult:
    counts, expected_counts = [len(rows) for rows in boxes], [len(rows) for rows in expected]
    if counts != expected_counts:
        detail = f"{counts} faces in {len(counts)} scenes, expected {expected_counts} ({engine})"
        return StageResult(STAGE, False, detail)
    worst = max(float(np.abs(got - want).max(initial=0.0)) for got, want in zip(boxes, expected, strict=True))
    detail = (
        f"{sum(counts)} faces, boxes differ by {worst:.2g} pixels at most ({engine}; allowed: {FLOAT_TOLERANCE_PX})"
    )
    return StageResult(STAGE, worst <= FLOAT_TOLERANCE_PX, detail)
