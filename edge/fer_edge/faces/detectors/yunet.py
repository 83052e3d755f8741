"""Faces by YuNet, a small network: exact and fast, from a file of 230 KB that is fetched once."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fer_edge.defaults import DEFAULT_DETECT_WIDTH
from fer_edge.errors import ModelError
from fer_edge.faces.detection import DetectedFace, clip_box, shrink
from fer_edge.faces.detector import DetectorSpec

__all__ = ["DETECTOR", "YUNET_MIN_FACE", "YUNET_SCORE", "YuNetDetector", "open_yunet"]

if TYPE_CHECKING:
    from fer_edge.arrays import Image

__all__ = ["DETECTOR", "YUNET_MIN_FACE", "YUNET_SCORE", "YuNetDetector", "open_yunet"]

YUNET_SCORE: Final[float] = 0.7
YUNET_MIN_FACE: Final[int] = 16
"""Width in pixels of the shrunken frame from which on a face is found with some certainty."""


class YuNetDetector:
    """YuNet (Wu et al. 2023, "YuNet: A Tiny Millisecond-level Face Detector").

    Args:
        model_path: one of opencv_zoo's ``face_detection_yunet_*.onnx``.
        width: see :data:`fer_edge.defaults.DEFAULT_DETECT_WIDTH`, in pixels.
        score: least score of a face.
        engine: ``litert-int8``, ``litert-float``, ``opencv``, or ``auto``: the first of them that can compute the file.
        average: with LiteRT, whether boxes are averaged over neighbouring candidates, which steadies them.

    Raises:
        ModelError: a file that is not such a model.
        MissingDependencyError: the engine is not installed, or OpenCV is too old.
    """

    def __init__(
        self,
        model_path: str | os.PathLike[str],
        *,
        width: int = DEFAULT_DETECT_WIDTH,
        score: float = YUNET_SCORE,
        engine: str = "auto",
        average: bool = True,
    ) -> None:
        path = Path(model_path)
        if not path.is_file():
            raise ModelError(
                f"no face detector file {path}; expected YuNet's .onnx (fetch it with: fer-camera --fetch)"
            )
        if path.stat().st_size == 0:
            raise ModelError(f"{path} is empty; expected YuNet's .onnx (fetch it with: fer-camera --fetch)")
        from fer_edge.faces.yunet_engines import open_engine

        self.name = {"opencv": "yunet-opencv", "litert-float": "yunet-float"}.get(engine, "yunet")
        self.model_path = path
        self.width = width
        self.score = score
        self._engine = open_engine(engine, path, score, average=average)

    @property
    def engine(self) -> str:
        """What computes it: ``litert-int8``, ``litert-float`` or ``opencv``."""
        return self._engine.name

    def at_width(self, width: int, score: float | None = None) -> YuNetDetector:
        """The same detector for views of another width.

        Args:
            width: of the views, in pixels.
            score: least score of a face, in [0, 1]; None keeps this detector's.

        Returns:
            A new detector.
        """
        made = copy.copy(self)
        made.width = width
        made.score = self.score if score is None else score
        made._engine = self._engine.again(made.score, same_size=width == self.width)
        return made

    def smallest(self, width: int) -> int:
        """Width of the smallest face that is found.

        Args:
            width: of the picture, in pixels.

        Returns:
            In pixels of the picture.
        """
        return round(YUNET_MIN_FACE * max(1.0, width / self.width))

    def detect(self, image: Image, small: Image | None = None) -> list[DetectedFace]:
        """See :meth:`FaceDetector.detect`."""
        import numpy as np

        height, width = image.shape[:2]
        view = shrink(image if small is None else small, self.width)
        scale_x, scale_y = width / view.shape[1], height / view.shape[0]
        faces = []
        for row in self._engine.find(view):
            x, y, w, h = (float(value) for value in row[:4])
            box = clip_box((x * scale_x, y * scale_y, w * scale_x, h * scale_y), width, height)
            if box is not None:
                points = (row[4:14].reshape(5, 2) * (scale_x, scale_y)).astype(np.float32)
                faces.append(DetectedFace(box, min(float(row[14]), 1.0), points))
        return sorted(faces, key=lambda face: face.box)


def open_yunet(
    model: str | os.PathLike[str] | None = None, *, width: int = DEFAULT_DETECT_WIDTH, engine: str = "auto"
) -> YuNetDetector:
    """YuNet from the file ``model``, or from the cache folder, into which it is fetched once.

    Args:
        model: the file, or None.
        width: as for :class:`YuNetDetector`.
        engine: as for :class:`YuNetDetector`.

    Returns:
        The detector.

    Raises:
        ModelError: a bad file.
        MissingDependencyError: the file cannot be fetched, or OpenCV is too old.
    """
    from fer_edge.faces import yunet_file

    return YuNetDetector(yunet_file.yunet_file() if model is None else model, width=width, engine=engine)


DETECTOR = DetectorSpec(name="yunet", open=open_yunet, title="YuNet", takes_file=True, rank=10, automatic=True)
