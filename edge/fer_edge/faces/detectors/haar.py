"""Faces by Haar features, which OpenCV 4 brings along: needs no file, but is slower and finds false faces, too."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from fer_edge.defaults import DEFAULT_DETECT_WIDTH
from fer_edge.errors import MissingDependencyError
from fer_edge.faces.detection import DetectedFace, clip_box, shrink
from fer_edge.faces.detector import DetectorSpec

if TYPE_CHECKING:
    from fer_edge.arrays import Image

HAAR_FILE: Final[str] = "haarcascade_frontalface_default.xml"
HAAR_SCALE_STEP: Final[float] = 1.1
HAAR_NEIGHBOURS: Final[int] = 5
HAAR_MIN_FACE: Final[int] = 24  # the window of the cascade, in pixels of the shrunken frame


class HaarDetector:
    """OpenCV's frontal-face cascade (Viola and Jones 2001): no file to fetch, but slower and with false faces."""

    name = "haar"

    def __init__(self, *, width: int = DEFAULT_DETECT_WIDTH) -> None:
        import cv2

        path = _haar_path()
        if path is None:
            raise MissingDependencyError(
                f"OpenCV {cv2.__version__} has no Haar cascade; use YuNet: fer-camera --fetch, or --detector-model FILE"
            )
        self._cascade = cv2.CascadeClassifier(str(path))
        self.width = width

    def smallest(self, width: int) -> int:
        """From which width on faces are found in a picture of ``width`` pixels, in pixels of it."""
        return round(HAAR_MIN_FACE * max(1.0, width / self.width))

    def detect(self, image: Image, small: Image | None = None) -> list[DetectedFace]:
        """See :meth:`FaceDetector.detect`."""
        import cv2

        height, width = image.shape[:2]
        view = shrink(image if small is None else small, self.width)
        scale_x, scale_y = width / view.shape[1], height / view.shape[0]
        gray = cv2.cvtColor(view, cv2.COLOR_BGR2GRAY)
        boxes = self._cascade.detectMultiScale(
            gray, scaleFactor=HAAR_SCALE_STEP, minNeighbors=HAAR_NEIGHBOURS, minSize=(HAAR_MIN_FACE, HAAR_MIN_FACE)
        )
        faces = []
        for x, y, w, h in boxes:
            box = clip_box((x * scale_x, y * scale_y, w * scale_x, h * scale_y), width, height)
            if box is not None:
                faces.append(DetectedFace(box, 1.0))
        return sorted(faces, key=lambda face: face.box)


def _haar_path() -> Path | None:
    """The cascade's file: in the wheel of OpenCV 4, or where Debian's package puts it; None where there is none."""
    import cv2

    if not hasattr(cv2, "CascadeClassifier"):
        return None
    folders = [Path("/usr/share/opencv4/haarcascades"), Path("/usr/share/opencv/haarcascades")]
    data = getattr(cv2, "data", None)
    if data is not None:
        folders.insert(0, Path(data.haarcascades))
    return next((folder / HAAR_FILE for folder in folders if (folder / HAAR_FILE).is_file()), None)


def open_haar(model: None = None, *, width: int = DEFAULT_DETECT_WIDTH) -> HaarDetector:
    """OpenCV's own cascade.

    Raises:
        MissingDependencyError: OpenCV 5, which has none.
    """
    del model  # it has no file of its own
    return HaarDetector(width=width)


DETECTOR = DetectorSpec(
    name="haar",
    open=open_haar,
    title="Haar",
    rank=20,
    automatic=True,
    drawback="slower and with false positives",
)
