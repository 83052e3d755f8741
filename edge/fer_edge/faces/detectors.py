"""Where the faces in a frame are: YuNet (small network, exact) or Haar (inside OpenCV 4, needs no file).

On ``talking_head.mp4`` (115 frames, one face) YuNet at width 320 finds exactly 115 faces; Haar finds false ones too and
is several times slower. So ``auto`` means YuNet wherever its 230 KB file is at hand or can be fetched once, and Haar,
with a notice, where it is not.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from fer_edge.errors import FerError, MissingDependencyError, ModelError, UsageError

Box = tuple[int, int, int, int]
"""``(x, y, w, h)`` in whole pixels of the frame; x to the right, y downwards, from the upper left corner."""
Image = npt.NDArray[np.uint8]

DEFAULT_DETECT_WIDTH: Final[int] = 320
"""Frames wider than this are shrunk to it before detection. A face should keep about 16 pixels or more."""
YUNET_SCORE: Final[float] = 0.7
YUNET_OVERLAP: Final[float] = 0.3
YUNET_MAX_FACES: Final[int] = 100
HAAR_FILE: Final[str] = "haarcascade_frontalface_default.xml"
HAAR_SCALE_STEP: Final[float] = 1.1
HAAR_NEIGHBOURS: Final[int] = 5
HAAR_MIN_FACE: Final[int] = 24  # the window of the cascade, in pixels of the shrunken frame
DETECTORS: Final[tuple[str, ...]] = ("auto", "yunet", "haar")


@dataclass(frozen=True)
class DetectedFace:
    """One face found in one frame."""

    box: Box
    """Inside the frame, at least one pixel wide and high."""
    score: float
    """The detector's confidence in [0, 1]; 1 for Haar, which gives none."""
    landmarks: npt.NDArray[np.float32] | None = None
    """``(5, 2)`` x and y in pixels of the frame: right eye, left eye (the person's), nose tip, right and left mouth
    corner; None for Haar."""


class FaceDetector(Protocol):
    """Finds faces in BGR frames. Not to be shared between threads. Open one with :func:`open_detector`."""

    name: str

    def detect(self, image: Image, small: Image | None = None) -> list[DetectedFace]:
        """Faces in ``image`` ``(H, W, 3)`` BGR uint8, from left to right.

        ``small`` is the same picture at fewer pixels, where the camera delivers one, so that nothing need be shrunk.
        """
        ...


def clip_box(box: tuple[float, float, float, float], width: int, height: int) -> Box | None:
    """The part of a box that lies in a frame of ``width`` x ``height`` pixels, in whole pixels; None if none does."""
    x, y, w, h = box
    left, top = max(round(x), 0), max(round(y), 0)
    right, bottom = min(round(x + w), width), min(round(y + h), height)
    if right <= left or bottom <= top:
        return None
    return left, top, right - left, bottom - top


def shrink(image: Image, width: int) -> Image:
    """``image`` at most ``width`` pixels wide, its proportions kept; never enlarged."""
    image_height, image_width = image.shape[:2]
    if image_width <= width:
        return image
    size = (width, max(1, round(image_height * width / image_width)))
    # Plain linear filtering skips pixels below half size, which makes small faces flicker.
    interpolation = cv2.INTER_AREA if image_width >= 2 * width else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size, interpolation=interpolation), dtype=np.uint8)


class YuNetDetector:
    """YuNet (Wu et al. 2023, "YuNet: A Tiny Millisecond-level Face Detector") through OpenCV's ``FaceDetectorYN``.

    ``model_path`` is one of opencv_zoo's ``face_detection_yunet_*.onnx``; ``width`` see :data:`DEFAULT_DETECT_WIDTH`.
    Raises :class:`ModelError` for a file that is no such model.
    """

    name = "yunet"

    def __init__(
        self, model_path: str | os.PathLike[str], *, width: int = DEFAULT_DETECT_WIDTH, score: float = YUNET_SCORE
    ) -> None:
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
        try:
            self._net = _create_yunet(path, score)
            self.detect(np.zeros((64, 64, 3), np.uint8))  # a model of another kind fails only when it runs
        except (cv2.error, ValueError, TypeError, IndexError, UnicodeDecodeError) as error:
            raise ModelError(
                f"{path} cannot be used as YuNet with OpenCV {cv2.__version__}, truncated or another model? "
                "Expected face_detection_yunet_*.onnx of opencv_zoo"
            ) from error

    def detect(self, image: Image, small: Image | None = None) -> list[DetectedFace]:
        """See :meth:`FaceDetector.detect`."""
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
    arguments = (str(path), "", (64, 64), score, YUNET_OVERLAP, YUNET_MAX_FACES)
    return cv2.FaceDetectorYN.create(*arguments)


class HaarDetector:
    """OpenCV's frontal-face cascade (Viola and Jones 2001): no file to fetch, but slower and with false faces."""

    name = "haar"

    def __init__(self, *, width: int = DEFAULT_DETECT_WIDTH) -> None:
        path = _haar_path()
        if path is None:
            raise MissingDependencyError(
                f"OpenCV {cv2.__version__} has no Haar cascade; use YuNet: fer-camera --fetch, or --detector-model FILE"
            )
        self._cascade = cv2.CascadeClassifier(str(path))
        self.width = width

    def detect(self, image: Image, small: Image | None = None) -> list[DetectedFace]:
        """See :meth:`FaceDetector.detect`."""
        height, width = image.shape[:2]
        view = shrink(image if small is None else small, self.width)
        scale_x, scale_y = width / view.shape[1], height / view.shape[0]
        gray = cv2.cvtColor(view, cv2.COLOR_BGR2GRAY)
        found = self._cascade.detectMultiScale(
            gray, scaleFactor=HAAR_SCALE_STEP, minNeighbors=HAAR_NEIGHBOURS, minSize=(HAAR_MIN_FACE, HAAR_MIN_FACE)
        )
        faces = []
        for x, y, w, h in found:
            box = clip_box((x * scale_x, y * scale_y, w * scale_x, h * scale_y), width, height)
            if box is not None:
                faces.append(DetectedFace(box, 1.0))
        return sorted(faces, key=lambda face: face.box)


def _haar_path() -> Path | None:
    """The cascade's file: in the wheel of OpenCV 4, or where Debian's package puts it; None where there is none."""
    if not hasattr(cv2, "CascadeClassifier"):
        return None
    folders = [Path("/usr/share/opencv4/haarcascades"), Path("/usr/share/opencv/haarcascades")]
    data = getattr(cv2, "data", None)
    if data is not None:
        folders.insert(0, Path(data.haarcascades))
    return next((folder / HAAR_FILE for folder in folders if (folder / HAAR_FILE).is_file()), None)


def open_detector(
    name: str = "auto",
    model: str | os.PathLike[str] | None = None,
    *,
    width: int = DEFAULT_DETECT_WIDTH,
    on_notice: Callable[[str], None] = lambda _: None,
) -> FaceDetector:
    """Open the face detector ``name``: ``yunet``, ``haar``, or ``auto`` (YuNet where possible, else Haar).

    ``model`` is YuNet's file; without it the user's cache folder is looked in, and the file fetched once if it is not
    there. ``on_notice`` gets one line where ``auto`` has to fall back to Haar.

    Raises :class:`UsageError` for an unknown name, :class:`ModelError` for a bad file, and
    :class:`MissingDependencyError` when YuNet was asked for and cannot be fetched, or OpenCV lacks Haar.
    """
    if name not in DETECTORS:
        raise UsageError(f"unknown detector {name!r}; known: {', '.join(DETECTORS)}")
    if name == "haar":
        if model is not None:
            raise UsageError("--detector-model belongs to YuNet; leave it out with --detector haar")
        return HaarDetector(width=width)
    if model is not None:
        return YuNetDetector(model, width=width)
    from fer_edge.faces.yunet_file import yunet_file

    if name == "yunet":
        return YuNetDetector(yunet_file(), width=width)
    try:
        return YuNetDetector(yunet_file(), width=width)
    except FerError as error:
        try:
            haar = HaarDetector(width=width)
        except MissingDependencyError:
            raise error from None
        on_notice(f"faces are found by Haar, slower and with false ones: {error}")
        return haar
