"""The formulas. Each takes ``(face (H, W, C) uint8, amount, rng)`` and gives a face of the same shape and dtype.

After Hendrycks and Dietterich 2019, "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations"
(arXiv:1903.12261), whose amounts are for 224 pixels; here they are for faces of 48 pixels as cameras and face detectors
deliver them. In the formulas x is a grey level from 0 to 255, n a standard normal number of each value's own, and
lengths in pixels are those of a face of 48: one of another side has them in proportion. Results are rounded and
saturate at 0 and 255.
"""

from __future__ import annotations

import math
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from fer_edge.arrays import Image
from fer_train.disturbances.arithmetic import area_mean, convolve, sample, to_pixels, transform_quantized

Generator = np.random.Generator
SIDE: Final[int] = 48
"""Side in pixels of the faces that lengths are for."""
READ_NOISE: Final[float] = 2.0
"""Of a cheap sensor in the dark, in grey levels: :func:`low_light`."""
WELL: Final[float] = 1000.0
"""Electrons of a white pixel of a small sensor: :func:`low_light`."""
GLARE_RADIUS: Final[float] = 0.6
"""Of a lamp's halo, as a fraction of the face's side: :func:`glare`."""
BLOCK: Final[int] = 8
"""Side of a block of JPEG and of H.264's High profile, in pixels."""


def noise(face: Image, amount: float, rng: Generator) -> Image:
    """Read noise: ``x + amount * n``; amount is sigma in grey levels. Hendrycks and Dietterich, "Gaussian noise"."""
    return to_pixels(face + amount * rng.standard_normal(face.shape))


def shot_noise(face: Image, amount: float, rng: Generator) -> Image:
    """Photons that are counted: ``x + sqrt(255 x / amount) * n``; amount is the number of electrons of a white pixel.

    The normal approximation of Hendrycks and Dietterich's "shot noise" (Poisson), as sensors are modelled in Foi et al.
    2008, "Practical Poissonian-Gaussian noise modeling and fitting for single-image raw-data".
    """
    return to_pixels(face + np.sqrt(face * (255.0 / amount)) * rng.standard_normal(face.shape))


def low_light(face: Image, amount: float, rng: Generator) -> Image:
    """Evening: ``k x + sqrt(255 k x / 1000 + 2^2) * n``, k = amount, the fraction of light that is left.

    Shot noise of 1000 electrons per white pixel and read noise of 2 grey levels (Foi et al. 2008) on a face that is not
    brightened again; darkened faces with noise as in Lore et al. 2017, "LLNet" (arXiv:1511.03995).
    """
    signal = amount * face
    return to_pixels(signal + np.sqrt(signal * (255.0 / WELL) + READ_NOISE**2) * rng.standard_normal(face.shape))


def defocus(face: Image, amount: float, rng: Generator) -> Image:
    """Out of focus: mean over a disc; amount is its radius in pixels. Hendrycks and Dietterich, "defocus blur"."""
    del rng
    radius = amount * _unit(face)
    reach = math.ceil(radius)
    # Weights: in how many of a pixel's 8 x 8 points the disc is.
    points = (np.arange(-8 * reach - 4, 8 * reach + 4) + 0.5) / 8.0
    inside = points[:, None] ** 2 + points[None, :] ** 2 <= radius * radius
    weights = inside.reshape(2 * reach + 1, 8, 2 * reach + 1, 8).sum(axis=(1, 3))
    taps = [(int(y) - reach, int(x) - reach, int(weights[y, x])) for y, x in np.argwhere(weights)]
    return convolve(face, taps or [(0, 0, 1)])  # a face of a few pixels has no disc


def motion(face: Image, amount: float, rng: Generator) -> Image:
    """The face or the camera moves: mean along a line of any direction; amount is its length in pixels.

    Hendrycks and Dietterich, "motion blur"; at a constant speed, so without their Gaussian weights.
    """
    length = amount * _unit(face)
    angle = rng.uniform(0.0, math.pi)
    count = 2 * max(1, round(2 * length)) + 1
    along = np.linspace(-0.5, 0.5, count) * length
    weights: dict[tuple[int, int], int] = {}
    for y, x in zip(np.rint(16 * along * math.sin(angle)), np.rint(16 * along * math.cos(angle)), strict=True):
        (top, down), (left, right) = divmod(int(y), 16), divmod(int(x), 16)
        for dy, dx, weight in (
            (top, left, (16 - down) * (16 - right)),
            (top, left + 1, (16 - down) * right),
            (top + 1, left, down * (16 - right)),
            (top + 1, left + 1, down * right),
        ):
            weights[dy, dx] = weights.get((dy, dx), 0) + weight
    return convolve(face, [(dy, dx, weight) for (dy, dx), weight in weights.items() if weight])


def jpeg(face: Image, amount: float, rng: Generator) -> Image:
    """JPEG of quality ``amount`` by OpenCV's libjpeg-turbo, which computes in whole numbers: the same bits everywhere.

    Hendrycks and Dietterich, "JPEG"; here blocks begin anywhere in the face, as they do in a frame.
    """
    top, left, padded = _with_grid(face, rng)
    done, data = cv2.imencode(".jpg", padded, [cv2.IMWRITE_JPEG_QUALITY, round(amount)])
    assert done  # there is no face that cannot be encoded
    flag = cv2.IMREAD_GRAYSCALE if face.shape[2] == 1 else cv2.IMREAD_COLOR
    restored = np.asarray(cv2.imdecode(data, flag), np.uint8).reshape(padded.shape)
    return restored[top : top + face.shape[0], left : left + face.shape[1]]


def h264(face: Image, amount: float, rng: Generator) -> Image:
    """Blocks of a video stream: 8x8 transform, coefficients rounded to multiples of ``2^((amount - 4) / 6)``, and back.

    Amount is H.264's QP, the step its Qstep, which doubles every 6 (ITU-T H.264, 8.5; Richardson 2010, "The H.264
    Advanced Video Compression Standard", chapter 7). Without prediction, motion and deblocking filter: OpenCV's wheels
    hold no H.264 encoder, and encoders differ from build to build, so this is the lossy step alone, by formula. Blocks
    begin anywhere in the face.
    """
    top, left, padded = _with_grid(face, rng)
    restored = transform_quantized(padded, _quantiser_step(amount))
    return restored[top : top + face.shape[0], left : left + face.shape[1]]


def bright(face: Image, amount: float, rng: Generator) -> Image:
    """Overexposed: ``amount * x``, saturating. Hendrycks and Dietterich's "brightness", as a gain instead of a sum."""
    del rng
    return to_pixels(amount * face)


def glare(face: Image, amount: float, rng: Generator) -> Image:
    """A lamp or the sun in the lens: ``x + (255 - x) a / (1 + (d / r)^2)``, a = amount, r = 0.6 of the face's side.

    d is the distance from a centre anywhere in the face. Scattered light is added and takes contrast, most beside its
    source (Talvala et al. 2007, "Veiling glare in high dynamic range imaging"); the fall with d is ours.
    """
    height, width = face.shape[:2]
    y, x = rng.uniform(0.0, height - 1.0), rng.uniform(0.0, width - 1.0)
    square = (np.arange(height)[:, None] - y) ** 2 + (np.arange(width)[None, :] - x) ** 2
    veil = amount / (1.0 + square / (GLARE_RADIUS * min(height, width)) ** 2)
    return to_pixels(face + (255.0 - face) * veil[..., None])


def contrast(face: Image, amount: float, rng: Generator) -> Image:
    """Fog, a dirty lens: ``m + amount (x - m)``, m the face's mean. Hendrycks and Dietterich, "contrast"."""
    del rng
    mean = int(face.sum(dtype=np.int64)) / face.size
    return to_pixels(mean + amount * (face - mean))


def few_pixels(face: Image, amount: float, rng: Generator) -> Image:
    """A face far away: amount pixels wide, each the mean of its area, brought back to size by bilinear interpolation.

    Hendrycks and Dietterich, "pixelate", which leaves squares; cameras and this toolkit interpolate.
    """
    del rng
    height, width = face.shape[:2]
    rows, columns = (max(1, min(side, round(amount * side / SIDE))) for side in (height, width))
    small = area_mean(face, rows, columns)
    return sample(small, *_grid(height, width, rows / height, columns / width))


def turned(face: Image, amount: float, rng: Generator) -> Image:
    """A tilted head or camera: turned by ``amount`` degrees to either side about the centre; edges are replicated."""
    angle = math.radians(amount) * (1.0 if rng.integers(2) else -1.0)
    y, x, middle_y, middle_x = _centred(face)
    cos, sin = math.cos(angle), math.sin(angle)
    return sample(face, middle_y + cos * y + sin * x, middle_x + cos * x - sin * y)


def shifted(face: Image, amount: float, rng: Generator) -> Image:
    """A detector's box off by ``amount`` of the face's side in any direction; edges are replicated."""
    angle = rng.uniform(0.0, 2.0 * math.pi)
    y, x, middle_y, middle_x = _centred(face)
    far = amount * min(face.shape[:2])
    return sample(face, middle_y + y + far * math.sin(angle), middle_x + x + far * math.cos(angle))


def scaled(face: Image, amount: float, rng: Generator) -> Image:
    """A detector's box too large or too small by the factor ``amount``; edges are replicated."""
    factor = amount if rng.integers(2) else 1.0 / amount
    y, x, middle_y, middle_x = _centred(face)
    return sample(face, middle_y + factor * y, middle_x + factor * x)


def hidden(face: Image, amount: float, rng: Generator) -> Image:
    """A hand, a cup, a scarf: a rectangle of ``amount`` of the area, sides 1:2 to 2:1, anywhere, of one grey level.

    Zhong et al. 2020, "Random Erasing" (arXiv:1708.04896), algorithm 1, with one grey level per rectangle.
    """
    height, width, channels = face.shape
    ratio = rng.uniform(-1.0, 1.0)
    ratio = 1.0 + ratio if ratio >= 0.0 else 1.0 / (1.0 - ratio)
    rows = min(height, max(1, round(math.sqrt(amount * height * width * ratio))))
    columns = min(width, max(1, round(amount * height * width / rows)))
    top, left = int(rng.integers(0, height - rows + 1)), int(rng.integers(0, width - columns + 1))
    covered = face.copy()
    covered[top : top + rows, left : left + columns] = rng.integers(0, 256, channels, dtype=np.uint8)
    return covered


def side_light(face: Image, amount: float, rng: Generator) -> Image:
    """A window at one side: ``x (1 - amount * s)``, s rising from 0 to 1 across the face in any direction.

    Lambertian shading by a near light, to first order; as in the light directions of Extended Yale B (Georghiades et
    al. 2001, "From few to many").
    """
    angle = rng.uniform(0.0, 2.0 * math.pi)
    y, x, middle_y, middle_x = _centred(face)
    cos, sin = math.cos(angle), math.sin(angle)
    reach = middle_y * abs(sin) + middle_x * abs(cos)
    shade = 0.5 + (y * sin + x * cos) / (2.0 * max(reach, 1e-9))
    return to_pixels(face * (1.0 - amount * shade)[..., None])


def _unit(face: Image) -> float:
    """Pixels of this face per pixel of one of 48."""
    return float(min(face.shape[:2]) / SIDE)


def _quantiser_step(parameter: float) -> float:
    """Qstep of a QP in grey levels of an orthonormal transform: 1 at 4, and twice as much for each 6 more."""
    return math.pow(2.0, (parameter - 4.0) / 6.0)


def _with_grid(face: Image, rng: Generator) -> tuple[int, int, Image]:
    """The face with replicated edges, to whole blocks, at a random place in them: ``(top, left, padded)``."""
    top, left = (int(value) for value in rng.integers(0, BLOCK, 2))
    bottom, right = (-(top + face.shape[0]) % BLOCK), (-(left + face.shape[1]) % BLOCK)
    return top, left, np.pad(face, ((top, bottom), (left, right), (0, 0)), mode="edge")


def _centred(face: Image) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], float, float]:
    """Rows ``(H, 1)`` and columns ``(1, W)`` counted from the centre, broadcast to ``(H, W)``, and the centre."""
    height, width = face.shape[:2]
    middle_y, middle_x = (height - 1) / 2.0, (width - 1) / 2.0
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    return y - middle_y, x - middle_x, middle_y, middle_x


def _grid(
    height: int, width: int, per_row: float, per_column: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Where the pixels of a larger image lie in a smaller one, pixel areas aligned at the borders."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    return (y + 0.5) * per_row - 0.5, (x + 0.5) * per_column - 0.5
