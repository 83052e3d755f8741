"""What computes YuNet: LiteRT, which the classifier needs anyway, in 8 bits or in float, or OpenCV's own DNN.

OpenCV's and LiteRT's float form give the same candidates (within 1e-4 pixels); the INT8 form gives the same faces,
their boxes a little moved (``tests/edge/test_yunet_int8.py`` states by how much). The TFLite files are made from
opencv_zoo's ONNX file, and kept beside it in the cache folder.
"""

from __future__ import annotations

import copy
import hashlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from fer_edge.arrays import FloatArray, Image
from fer_edge.errors import FerError, MissingDependencyError, ModelError
from fer_edge.faces.yunet_decode import Int8Candidates, candidates, suppress
from fer_edge.faces.yunet_forms import FLOAT_FORMAT, HEAD_RANGES, INT8_FORMAT
from fer_edge.files import write_bytes
from fer_edge.logs import LOG
from fer_edge.system import cache_folder, places_to_look

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = [
    "ENGINES",
    "MAX_CANDIDATES",
    "OVERLAP",
    "Engine",
    "FloatEngine",
    "Int8Engine",
    "OpenCVEngine",
    "Rows",
    "open_engine",
    "yunet_tflite",
]

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
    """As ``fer-bench`` shows it."""

    def find(self, view: Image) -> Rows:
        """Faces in a picture.

        Args:
            view: ``(H, W, 3)`` uint8 in B, G, R order, of any size.

        Returns:
            ``(n, 15)`` float32: x, y, width, height, x and y of five landmarks, all in pixels of the view, and
            the score in [0, 1].
        """
        ...

    def again(self, score: float, *, same_size: bool) -> Engine:
        """The same engine with another least score.

        Args:
            score: in [0, 1].
            same_size: whether its views have the size of this one's, so that the network can be shared.

        Returns:
            A new engine.
        """
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

        self._path = path

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
        faces = self._net.detect(view)[1]
        return np.empty((0, 15), np.float32) if faces is None else np.asarray(faces, np.float32)

    def again(self, score: float, *, same_size: bool) -> OpenCVEngine:
        """See :meth:`Engine.again`; nothing is shared."""
        del same_size
        return OpenCVEngine(self._path, score)


class _Network:
    """The TFLite file, laid out for one size of view at a time, on one thread.

    Args:
        content: the TFLite file.
        dtype: of its input.
        nothing: input value of a black pixel, of which the padding consists.

    Raises:
        MissingDependencyError: ai-edge-litert is not installed.
    """

    def __init__(self, content: bytes, dtype: npt.DTypeLike, nothing: int) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise MissingDependencyError(
                f"ai-edge-litert cannot be imported ({error}); install it with: pip install ai-edge-litert"
            ) from error
        self._content, self._nothing = content, nothing
        self._interpreter: Any = Interpreter(model_content=content, num_threads=1)
        self._input = int(self._interpreter.get_input_details()[0]["index"])
        self._outputs = [int(details["index"]) for details in self._interpreter.get_output_details()]
        self._padded = np.zeros((0, 0, 0, 0), dtype)
        self._size = (0, 0)
        self._lock = threading.Lock()  # engines of several scores share it, perhaps in several threads

    def another(self) -> _Network:
        """The same network, for views of another size."""
        return _Network(self._content, self._padded.dtype, self._nothing)

    def maps(self, view: Image, fill: Callable[[npt.NDArray[Any], Image], None]) -> list[npt.NDArray[Any]]:
        """What it gives for a view, which ``fill`` writes into its part of the input."""
        height, width = view.shape[:2]
        shape = (1, -(-height // _MULTIPLE) * _MULTIPLE, -(-width // _MULTIPLE) * _MULTIPLE, 3)
        with self._lock:
            if self._padded.shape != shape:
                self._padded = np.full(shape, self._nothing, self._padded.dtype)
                self._interpreter.resize_tensor_input(self._input, shape)
                self._interpreter.allocate_tensors()
            elif self._size != (height, width):
                self._padded.fill(self._nothing)  # what a larger view left at the right and below would be seen, too
            self._size = (height, width)
            fill(self._padded[0, :height, :width], view)
            self._interpreter.set_tensor(self._input, self._padded)
            self._interpreter.invoke()
            return [self._interpreter.get_tensor(index)[0] for index in self._outputs]


class _OnLiteRT:
    """What both forms share. Args as :class:`_Network`, and ``average`` as :func:`suppress`."""

    def __init__(self, content: bytes, dtype: type[np.generic], nothing: int, average: bool) -> None:
        self._network = _Network(content, dtype, nothing)
        self._average = average

    def maps(self, view: Image) -> list[npt.NDArray[Any]]:
        """The three maps ``(H / s, W / s, 16)`` for ``(H, W, 3)``, as the network gives them.

        Args:
            view: B, G, R, of any size.

        Returns:
            For strides 8, 16, 32 of the view, which is padded to multiples of 32.
        """
        return self._network.maps(view, self._fill)

    def again(self, score: float, *, same_size: bool) -> Self:
        """See :meth:`Engine.again`."""
        made = copy.copy(self)
        if not same_size:
            made._network = self._network.another()
        made._begin_at(score)
        return made

    def _begin_at(self, score: float) -> None:
        raise NotImplementedError

    def _fill(self, part: npt.NDArray[Any], view: Image) -> None:
        part[:] = view


class FloatEngine(_OnLiteRT):
    """YuNet on LiteRT in float.

    Args:
        path: the ONNX file.
        score: least score of a face.
        average: see :func:`fer_edge.faces.yunet_decode.suppress`.

    Raises:
        MissingDependencyError: ai-edge-litert is not installed.
        ModelError: the file holds another network.
    """

    name = "litert-float"

    def __init__(self, path: Path, score: float, *, average: bool = True) -> None:
        super().__init__(yunet_tflite(path, "float"), np.float32, 0, average)
        self._begin_at(score)

    def _begin_at(self, score: float) -> None:
        self._score = score

    def find(self, view: Image) -> Rows:
        """See :meth:`Engine.find`."""
        candidates_ = candidates(self.maps(view), self._score)[:MAX_CANDIDATES]
        return suppress(candidates_, OVERLAP, average=self._average)


class Int8Engine(_OnLiteRT):
    """YuNet on LiteRT in 8 bits: the same answer to the last bit on every processor.

    Args:
        path: the ONNX file.
        score: least score of a face.
        average: see :func:`fer_edge.faces.yunet_decode.suppress`.

    Raises:
        MissingDependencyError: ai-edge-litert is not installed.
        ModelError: the file holds another network, or other weights than those whose ranges are known.
    """

    name = "litert-int8"

    def __init__(self, path: Path, score: float, *, average: bool = True) -> None:
        super().__init__(yunet_tflite(path, "int8"), np.int8, -128, average)
        self._begin_at(score)

    def _begin_at(self, score: float) -> None:
        self._candidates = Int8Candidates(HEAD_RANGES, score)

    def find(self, view: Image) -> Rows:
        """See :meth:`Engine.find`."""
        return self.faces(self.maps(view))

    def faces(self, maps: list[npt.NDArray[np.int8]]) -> Rows:
        """What :meth:`find` makes of the network's maps.

        Args:
            maps: as :meth:`maps` gives them.

        Returns:
            As :meth:`find`.
        """
        candidates_ = self._candidates.find(maps)[:MAX_CANDIDATES]
        return suppress(candidates_, OVERLAP, average=self._average)

    def _fill(self, part: npt.NDArray[Any], view: Image) -> None:
        np.bitwise_xor(view, np.uint8(0x80), out=part.view(np.uint8))


ENGINES: Final[dict[str, Callable[..., Engine]]] = {
    Int8Engine.name: Int8Engine,
    FloatEngine.name: FloatEngine,
    OpenCVEngine.name: OpenCVEngine,
}
"""By name, in the order in which ``auto`` tries them."""


def open_engine(name: str, path: Path, score: float, *, average: bool = True) -> Engine:
    """One of :data:`ENGINES`, or with ``auto`` the first of them that can compute the file.

    Args:
        name: of the engine.
        path: the ONNX file.
        score: least score of a face.
        average: see :func:`fer_edge.faces.yunet_decode.suppress`; OpenCV's engine never averages.

    Returns:
        The engine.

    Raises:
        FerError: what the last one that was tried raises.
    """
    names = [name] if name != "auto" else list(ENGINES)
    first: FerError | None = None
    for tried in names:
        options = {} if tried == OpenCVEngine.name else {"average": average}
        try:
            engine = ENGINES[tried](path, score, **options)
        except FerError as error:
            if tried == names[-1]:
                raise
            LOG.debug("YuNet is not computed by %s: %s", tried, error)
            first = first or error
            continue
        if first is not None and tried == OpenCVEngine.name:
            LOG.warning(f"YuNet runs on OpenCV, which takes three times as long as LiteRT: {first}")
        return engine
    raise AssertionError("unreachable")


def yunet_tflite(path: Path, form: str) -> bytes:
    """The TFLite file of an ONNX file, from the cache folder where it is there and whole, else made and kept there.

    Args:
        path: opencv_zoo's file.
        form: ``float`` or ``int8``.

    Returns:
        Its content.

    Raises:
        ModelError: the file holds another network; for ``int8``: or other weights.
        MissingDependencyError: it has to be made, and the schema for it is not installed.
    """
    content = path.read_bytes()
    number = FLOAT_FORMAT if form == "float" else INT8_FORMAT
    name = f"yunet-{hashlib.sha256(content).hexdigest()[:16]}-{form}-{number}.bin"
    for place in places_to_look(name):
        try:
            kept = place.read_bytes()
        except OSError:
            continue
        if hashlib.sha256(kept[_DIGEST_BYTES:]).digest() == kept[:_DIGEST_BYTES]:
            return kept[_DIGEST_BYTES:]
    made = _written(content, form)
    try:
        write_bytes(cache_folder() / name, hashlib.sha256(made).digest() + made)
    except (OSError, FerError) as error:  # it costs some milliseconds at each start
        LOG.debug("%s cannot be kept: %s", name, error)
    return made


def _written(content: bytes, form: str) -> bytes:
    from fer_edge.faces.yunet_weights import read_yunet  # late: once on a device

    weights = read_yunet(content)
    if form == "float":
        from fer_edge.faces.yunet_tflite import write_yunet

        return write_yunet(weights)
    from fer_edge.faces.yunet_int8 import write_yunet_int8

    return write_yunet_int8(weights)
