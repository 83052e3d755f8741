"""Faces by YuNet, a small network: exact and fast, from a file of 230 KB that is fetched once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fer_edge.defaults import DEFAULT_DETECT_WIDTH
from fer_edge.errors import MissingDependencyError, ModelError
from fer_edge.faces.detection import DetectedFace, clip_box, shrink
from fer_edge.faces.detector import DetectorSpec

if TYPE_CHECKING:
    from fer_edge.faces.detection import Image

YUNET_SCORE: Final[float] = 0.7
YUNET_OVERLAP: Final[float] = 0.3
YUNET_MAX_FACES: Final[int] = 5000
"""OpenCV's own default. It counts candidates, of which every face has several, before overlapping ones are joined."""
YUNET_MIN_FACE: Final[int] = 16
"""Width in pixels of the shrunken frame from which on a face is found with some certainty."""


class YuNetDetector:
    """YuNet (Wu et al. 2023, "YuNet: A Tiny Millisecond-level Face Detector") through OpenCV's ``FaceDetectorYN``.

    ``model_path`` is one of opencv_zoo's ``face_detection_yunet_*.onnx``; ``width`` see :data:`DEFAULT_DETECT_WIDTH`.
    Raises :class:`ModelError` for a file that is not such a model.
    """

    name = "yunet"

    def __init__(
        self, model_path: str | os.PathLike[str], *, width: int = DEFAULT_DETECT_WIDTH, score: float = YUNET_SCORE
    ) -> None:
        import cv2
        import numpy as np

        path = Path(model_path)
        if not path.is_file():
            raise ModelError(
                f"no face detector file {path}; expected YuNet's .onnx (fetch it with: fer-camera --fetch)"
            )
        if path.stat().st_size == 0:
            raise ModelError(f"{path} is empty; expected YuNet's .onnx (fetch it with: fer-camera --fetch)")
        if not hasattr(cv2, "FaceDetectorYN"):
            raise MissingDependencyError(f"OpenCV {cv2.__version__} has no YuNet; 4.8 or newer is needed")
        self.model_path = path
        self.width = width
        self.score = score
        try:
            self._net = _create_yunet(path, score)
            self.detect(np.zeros((64, 64, 3), np.uint8))  # a model of another kind fails only when it runs
        except (cv2.error, ValueError, TypeError, IndexError, UnicodeDecodeError) as error:
            raise ModelError(
                f"{path} cannot be used as YuNet with OpenCV {cv2.__version__}, truncated or another model? "
                "Expected face_detection_yunet_*.onnx of opencv_zoo"
            ) from error

    def smallest(self, width: int) -> int:
        """From which width on faces are found in a picture of ``width`` pixels, in pixels of it."""
        return round(YUNET_MIN_FACE * max(1.0, width / self.width))

    def detect(self, image: Image, small: Image | None = None) -> list[DetectedFace]:
        """See :meth:`FaceDetector.detect`."""
        import numpy as np

        height, width = image.shape[:2]
        view = shrink(image if small is None else small, self.width)
        scale_x, scale_y = width / view.shape[1], height / view.shape[0]
        self._net.setInputSize((view.shape[1], view.shape[0]))
        found: Any = self._net.detect(view)[1]
        faces = []
        for row in () if found is None else found:
            x, y, w, h = (float(value) for value in row[:4])
            box = clip_box((x * scale_x, y * scale_y, w * scale_x, h * scale_y), width, height)
            if box is not None:
                points = (row[4:14].reshape(5, 2) * (scale_x, scale_y)).astype(np.float32)
                faces.append(DetectedFace(box, min(float(row[14]), 1.0), points))
        return sorted(faces, key=lambda face: face.box)


def _create_yunet(path: Path, score: float) -> Any:
    import cv2

    arguments = (str(path), "", (64, 64), score, YUNET_OVERLAP, YUNET_MAX_FACES)
    return cv2.FaceDetectorYN.create(*arguments)


def open_yunet(model: str | os.PathLike[str] | None = None, *, width: int = DEFAULT_DETECT_WIDTH) -> YuNetDetector:
    """YuNet from the file ``model``, or from the cache folder, into which it is fetched once.

    Raises:
        ModelError: a bad file.
        MissingDependencyError: the file cannot be fetched, or OpenCV is too old.
    """
    from fer_edge.faces import yunet_file

    return YuNetDetector(yunet_file.yunet_file() if model is None else model, width=width)


DETECTOR = DetectorSpec(name="yunet", open=open_yunet, title="YuNet", takes_file=True, rank=10, automatic=True)
