"""What computes YuNet: LiteRT, which the classifier needs anyway, or OpenCV's own DNN.

Both give the same candidates (within 1e-4 pixels); LiteRT takes about half the time. The TFLite file that it runs is
made from opencv_zoo's ONNX file, and kept beside it in the cache folder.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from fer_edge.arrays import FloatArray, Image
from fer_edge.errors import FerError, MissingDependencyError, ModelError
from fer_edge.faces.yunet_decode import candidates, suppress
from fer_edge.faces.yunet_tflite import FORMAT, write_yunet
from fer_edge.faces.yunet_weights import read_yunet
from fer_edge.files import write_bytes
from fer_edge.logs import LOG
from fer_edge.system import cache_folder, places_to_look

Rows = FloatArray

OVERLAP: Final[float] = 0.3
"""Two faces overlap at most by this intersection over union; OpenCV's own default."""
MAX_CANDIDATES: Final[int] = 5000
"""OpenCV's own default. It counts candidates, of which every face has several, before overlapping ones are joined."""
_MULTIPLE: Final[int] = 32
"""The coarsest map has one cell for this many pixels."""
_DIGEST_BYTES: Final[int] = 32


class Engine(Protocol):
    """Finds faces in a picture of any size."""

    name: str

    def find(self, view: Image) -> Rows:
        """``(n, 15)`` for ``(H, W, 3)`` B, G, R: x, y, width, height, five landmarks, score; pixels of the view."""
        ...


class OpenCVEngine:
    """``cv2.FaceDetectorYN``.

    Args:
        path: the ONNX file.
        score: least score of a face.

    Raises:
        MissingDependencyError: OpenCV is older than 4.8.
        ModelError: OpenCV cannot use the file.
    """

    name = "opencv"

    def __init__(self, path: Path, score: float) -> None:
        import cv2

        if not hasattr(cv2, "FaceDetectorYN"):
            raise MissingDependencyError(f"OpenCV {cv2.__version__} has no YuNet; 4.8 or newer is needed")
        try:
            self._net: Any = cv2.FaceDetectorYN.create(str(path), "", (64, 64), score, OVERLAP, MAX_CANDIDATES)
            self.find(np.zeros((64, 64, 3), np.uint8))  # a model of another kind fails only when it runs
        except (cv2.error, ValueError, TypeError, IndexError, UnicodeDecodeError) as error:
            raise ModelError(
                f"{path} cannot be used as YuNet with OpenCV {cv2.__version__}, truncated or another model? "
                "Expected face_detection_yunet_*.onnx of opencv_zoo"
            ) from error

    def find(self, view: Image) -> Rows:
        """See :meth:`Engine.find`."""
        self._net.setInputSize((view.shape[1], view.shape[0]))
        found = self._net.detect(view)[1]
        return np.empty((0, 15), np.float32) if found is None else np.asarray(found, np.float32)


class LiteRTEngine:
    """The same network on LiteRT, on one thread.

    Args:
        path: the ONNX file.
        score: least score of a face.
        average: see :func:`fer_edge.faces.yunet_decode.suppress`.

    Raises:
        MissingDependencyError: ai-edge-litert is not installed.
        ModelError: the file holds another network.
    """

    name = "litert"

    def __init__(self, path: Path, score: float, *, average: bool = True) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise MissingDependencyError(
                f"ai-edge-litert cannot be imported ({error}); install it with: pip install ai-edge-litert"
            ) from error
        self._score, self._average = score, average
        self._interpreter: Any = Interpreter(model_content=yunet_tflite(path), num_threads=1)
        self._input = int(self._interpreter.get_input_details()[0]["index"])
        self._outputs = [int(each["index"]) for each in self._interpreter.get_output_details()]
        self._padded = np.zeros((0, 0, 0, 0), np.float32)
        self._size = (0, 0)

    def find(self, view: Image) -> Rows:
        """See :meth:`Engine.find`."""
        height, width = view.shape[:2]
        shape = (1, -(-height // _MULTIPLE) * _MULTIPLE, -(-width // _MULTIPLE) * _MULTIPLE, 3)
        if self._padded.shape != shape:
            self._padded = np.zeros(shape, np.float32)
            self._interpreter.resize_tensor_input(self._input, shape)
            self._interpreter.allocate_tensors()
        elif self._size != (height, width):
            self._padded.fill(0.0)  # what a larger view left at the right and below would be seen, too
        self._size = (height, width)
        self._padded[0, :height, :width] = view
        self._interpreter.set_tensor(self._input, self._padded)
        self._interpreter.invoke()
        maps = [self._interpreter.get_tensor(index)[0] for index in self._outputs]
        found = candidates(maps, self._score)[:MAX_CANDIDATES]
        return suppress(found, OVERLAP, average=self._average)


def open_engine(name: str, path: Path, score: float, *, average: bool = True) -> Engine:
    """The engine ``litert`` or ``opencv``, or with ``auto`` the first of them that can compute the file.

    Raises:
        FerError: what the last one that was tried raises.
    """
    if name == OpenCVEngine.name:
        return OpenCVEngine(path, score)
    try:
        return LiteRTEngine(path, score, average=average)
    except FerError as error:
        if name == LiteRTEngine.name:
            raise
        LOG.debug("YuNet on OpenCV: %s", error)
        return OpenCVEngine(path, score)


def yunet_tflite(path: Path) -> bytes:
    """The TFLite file of an ONNX file, from the cache folder where it is there and whole, else made and kept there.

    Args:
        path: opencv_zoo's file.

    Returns:
        Its content.

    Raises:
        ModelError: the file holds another network.
        MissingDependencyError: it has to be made, and the schema for it is not installed.
    """
    content = path.read_bytes()
    name = f"yunet-{hashlib.sha256(content).hexdigest()[:16]}-float-{FORMAT}.bin"
    for place in places_to_look(name):
        try:
            kept = place.read_bytes()
        except OSError:
            continue
        if hashlib.sha256(kept[_DIGEST_BYTES:]).digest() == kept[:_DIGEST_BYTES]:
            return kept[_DIGEST_BYTES:]
    made = write_yunet(read_yunet(content))
    try:
        write_bytes(cache_folder() / name, hashlib.sha256(made).digest() + made)
    except (OSError, FerError) as error:  # it costs some milliseconds at each start
        LOG.debug("%s cannot be kept: %s", name, error)
    return made
