"""From a camera frame to the model's input tensor: the only copy in the toolkit.

Training, export, benchmark and device all come through here, so that a network sees the same numbers everywhere.
The steps are integer arithmetic and bit-identical on every processor:

1. square crop around the face box, with a margin, edges replicated (:func:`crop_square`);
2. grey by OpenCV's fixed-point BT.601 weights (:func:`to_gray`);
3. a face of more than 48 pixels reduced to 48 (:func:`reduce_detail`), because that is all that the training faces
   hold: what a sharp camera adds the network has never seen;
4. resize with ``INTER_LINEAR_EXACT`` (:func:`resize_gray`): plain ``INTER_LINEAR`` differs by up to 4 grey levels
   between x86 and Arm, this one by none;
5. ``x = (p - 128) / 128`` in three equal channels (:func:`to_float_input`), which for the quantised models, with
   scale 1/128 and zero point 0, is exactly ``p - 128`` (:func:`to_int8_input`). Models of one channel get one plane.
"""

from __future__ import annotations

from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from fer_edge.arrays import FloatArray, Image
from fer_edge.defaults import DEFAULT_MARGIN
from fer_edge.errors import InputError

__all__ = [
    "DETAIL_SIDE",
    "INPUT_MAX",
    "INPUT_MIN",
    "INPUT_SCALE",
    "MAX_CROP",
    "OUTPUT_SCALE",
    "OUTPUT_ZERO_POINT",
    "PIXEL_ZERO",
    "GrayImage",
    "Int8Tensor",
    "crop_square",
    "preprocess_face",
    "reduce_detail",
    "resize_gray",
    "to_float_input",
    "to_gray",
    "to_int8_input",
]

GrayImage = Image
"""``(H, W)`` or several, ``(N, H, W)``; uint8."""
Int8Tensor = npt.NDArray[np.int8]

PIXEL_ZERO: Final[int] = 128
"""The grey value that the network sees as 0."""
INPUT_SCALE: Final[float] = 1.0 / 128.0
"""Quantisation step of the input: one grey level. ``p / 127.5 - 1`` would put every level on a rounding tie."""
OUTPUT_SCALE: Final[float] = 1.0 / 256.0
"""Quantisation step of the quantised models' output: what TFLite prescribes for SOFTMAX in int8."""
OUTPUT_ZERO_POINT: Final[int] = -128
"""The stored value of probability 0."""
INPUT_MIN: Final[float] = -1.0
INPUT_MAX: Final[float] = 127.0 / 128.0

DETAIL_SIDE: Final[int] = 48
"""Side of FER-2013's faces in pixels. Measured in edge/README.md ("Sharp faces")."""

MAX_CROP: Final[int] = 4096
"""Largest side in pixels of a face box that is cropped, whatever the size of the image."""


def to_gray(image: Image) -> GrayImage:
    """Grey image ``(H, W)`` uint8 from ``(H, W)``, ``(H, W, 1)``, BGR ``(H, W, 3)`` or BGRA ``(H, W, 4)`` uint8.

    Args:
        image: uint8, of one of these shapes.

    Returns:
        ``(H, W)`` uint8; of a grey image its own memory. Weights: ITU-R BT.601, in OpenCV's fixed-point form.

    Raises:
        InputError: any other dtype or shape.
    """
    if image.dtype != np.uint8:
        raise InputError(f"expected an image of dtype uint8, got {image.dtype}")
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    if image.ndim == 2:
        return image
    if image.ndim == 3 and image.shape[2] in (3, 4):
        code = cv2.COLOR_BGR2GRAY if image.shape[2] == 3 else cv2.COLOR_BGRA2GRAY
        return np.asarray(cv2.cvtColor(image, code), dtype=np.uint8)
    raise InputError(f"expected an image of shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), got {image.shape}")


def resize_gray(gray: GrayImage, size: int) -> GrayImage:
    """Resize a grey ``(H, W)`` uint8 image to ``(size, size)``, bit-identical on every processor.

    One of more than 48 pixels goes through :func:`reduce_detail` on its way to a larger ``size`` than that; one that
    already has the size asked for is returned as it is.

    Args:
        gray: ``(H, W)`` uint8.
        size: side of the result, in pixels.

    Returns:
        ``(size, size)`` uint8.
    """
    if gray.shape == (size, size):
        return gray
    return _resize(reduce_detail(gray, size), size)


def reduce_detail(gray: GrayImage, size: int) -> GrayImage:
    """A grey face at most as detailed as those of the training: a larger one as ``(48, 48)``, others unchanged.

    ``size`` is the side of the model's input; for one of 48 or fewer pixels nothing need be done.

    Args:
        gray: ``(H, W)`` uint8.
        size: side of the model's input, in pixels.

    Returns:
        ``(48, 48)`` uint8, or ``gray`` itself.
    """
    return _resize(gray, DETAIL_SIDE) if min(gray.shape) > DETAIL_SIDE < size else gray


def _resize(gray: GrayImage, size: int) -> GrayImage:
    height, width = gray.shape
    # Shrinking by more than 2 with a two-tap filter skips pixels; area averaging by whole numbers first does not,
    # and is exact integer arithmetic too (a mean of k*k bytes, rounded half up).
    k = min(height, width) // (2 * size)
    if k >= 2:
        gray = _box_mean(gray, k)
    return np.asarray(cv2.resize(gray, (size, size), interpolation=cv2.INTER_LINEAR_EXACT), dtype=np.uint8)


def _box_mean(gray: GrayImage, k: int) -> GrayImage:
    """Means of blocks of ``k`` x ``k``, rounded half up. Whole rows, then whole columns are added: ten times as fast as
    one sum over two axes, which took longer than the network for a face of 200 pixels."""
    height, width = (gray.shape[0] // k) * k, (gray.shape[1] // k) * k
    # 16 x 16 x 255 and half a divisor fit into 16 bits.
    rows: npt.NDArray[Any] = gray[:height:k, :width].astype(np.uint16 if k <= 16 else np.uint32)
    for i in range(1, k):
        rows += gray[i:height:k, :width]
    sums = rows[:, ::k].copy()
    for i in range(1, k):
        sums += rows[:, i::k]
    sums += k * k // 2
    sums //= k * k
    return sums.astype(np.uint8)


def crop_square(
    image: Image, box_xywh: tuple[int, int, int, int] | npt.NDArray[Any], margin: float = DEFAULT_MARGIN
) -> Image:
    """Square crop centred on a face box, side ``max(w, h) * (1 + 2 * margin)`` pixels; edges are replicated.

    ``box_xywh`` is ``(x, y, w, h)`` in pixels of ``image``; it may reach beyond the image, but must touch it.

    Args:
        image: ``(H, W, 3)`` or ``(H, W)`` uint8.
        box_xywh: ``(x, y, w, h)`` in pixels of ``image``; it may reach beyond the image, but must touch it.
        margin: extra space on each side, as a fraction of the box's longer side.

    Returns:
        ``(side, side, ...)`` uint8; inside the image a view of it.

    Raises:
        InputError: an empty box, one that lies outside, or one so large that its crop would fill the memory
            (:data:`MAX_CROP` pixels, or twice the image's longer side).
    """
    x, y, w, h = (int(value) for value in box_xywh)
    image_height, image_width = image.shape[:2]
    if w <= 0 or h <= 0 or x >= image_width or y >= image_height or x + w <= 0 or y + h <= 0:
        raise InputError(f"face box {(x, y, w, h)} does not lie in an image of {image_width}x{image_height} pixels")
    side = max(1, round(max(w, h) * (1.0 + 2.0 * margin)))
    if side > max(MAX_CROP, 2 * max(image_width, image_height)):
        raise InputError(f"face box {(x, y, w, h)} is too large for an image of {image_width}x{image_height} pixels")
    left = x + (w - side) // 2
    top = y + (h - side) // 2
    inner = image[max(top, 0) : min(top + side, image_height), max(left, 0) : min(left + side, image_width)]
    before_y, before_x = max(-top, 0), max(-left, 0)
    after_y, after_x = max(top + side - image_height, 0), max(left + side - image_width, 0)
    if before_y or before_x or after_y or after_x:
        padded = cv2.copyMakeBorder(inner, before_y, after_y, before_x, after_x, cv2.BORDER_REPLICATE)
        return np.asarray(padded, dtype=np.uint8)
    return inner


def preprocess_face(
    image: Image,
    size: int,
    box_xywh: tuple[int, int, int, int] | npt.NDArray[Any] | None = None,
    margin: float = DEFAULT_MARGIN,
) -> GrayImage:
    """Grey ``(size, size)`` uint8 face from a frame and a box, or from a whole image that already is a face.

    Args:
        image: ``(H, W, 3)`` BGR or ``(H, W)`` grey, uint8.
        size: side of the model's input, in pixels.
        box_xywh: ``(x, y, w, h)`` of the face in pixels of ``image``; None takes the whole image.
        margin: extra space on each side, as a fraction of the box's longer side.

    Returns:
        ``(size, size)`` uint8 grey.

    Raises:
        InputError: an image of another shape or dtype, or a box that does not lie in it.
    """
    crop = image if box_xywh is None else crop_square(image, box_xywh, margin)
    # Reduced here and not only in resize_gray, so that a face which happens to have the model's size is no exception.
    return resize_gray(reduce_detail(to_gray(crop), size), size)


def to_float_input(faces: Image, channels: int = 3) -> FloatArray:
    """``(N, S, S)`` uint8 grey faces to ``(N, S, S, C)`` float32, ``x = (p - 128) / 128`` in [-1, 127/128].

    Args:
        faces: ``(N, S, S)`` uint8 grey.
        channels: C, 1 or 3; three are equal.

    Returns:
        ``(N, S, S, C)`` float32.
    """
    # By a table: after a network has run, code and memory are not in the cache, and this touches least of either.
    if not faces.size:
        return np.empty((*faces.shape, channels), np.float32)
    return _with_channels(cv2.LUT(_tall(faces), _FLOAT_VALUES), faces.shape, channels)


def to_int8_input(faces: Image, channels: int = 3) -> Int8Tensor:
    """``(N, S, S)`` uint8 grey faces to ``(N, S, S, C)`` int8, exactly ``p - 128``.

    Args:
        faces: ``(N, S, S)`` uint8 grey.
        channels: C, 1 or 3; three are equal.

    Returns:
        ``(N, S, S, C)`` int8.
    """
    if not faces.size:
        return np.empty((*faces.shape, channels), np.int8)
    # Flipping the top bit of a byte is the subtraction of 128 in two's complement.
    return _with_channels(_tall(faces) ^ _TOP_BIT, faces.shape, channels).view(np.int8)


_FLOAT_VALUES: Final = ((np.arange(256) - PIXEL_ZERO) * INPUT_SCALE).astype(np.float32)
_TOP_BIT: Final = np.uint8(0x80)


def _tall(faces: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """``(N, S, S)`` as one tall image, ``(N * S, S)``."""
    n, height, width = faces.shape
    return faces.reshape(n * height, width)


def _with_channels(tall: Any, shape: tuple[int, ...], channels: int) -> npt.NDArray[Any]:
    """A tall image to ``(N, S, S, C)``, the values repeated; three to five times as fast as ``np.repeat``."""
    values: npt.NDArray[Any] = tall if channels == 1 else cv2.cvtColor(tall, cv2.COLOR_GRAY2BGR)
    return values.reshape(*shape, channels)
