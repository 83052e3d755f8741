"""Synthetic faces with the seven expressions, drawn by rules: what runs without any data set. They are **not** people.

Everything follows from a :class:`numpy.random.Generator`: the same generator gives the same picture on every processor
(drawing is fixed-point, filters are whole numbers). Networks learn these faces in minutes; what they learn says nothing
about real faces, and no accuracy measured here may be given as one of a model for people.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from fer_edge.arrays import Image
from fer_edge.errors import UsageError
from fer_edge.labels import EMOTIONS, NUM_EMOTIONS
from fer_edge.preprocess import preprocess_face
from fer_train.data.dataset import Split
from fer_train.synthetic.canvas import Color, box_blur, ellipse, fill, mix, shrink
from fer_train.synthetic.expressions import draw_expression
from fer_train.synthetic.face_painter import HALF_WIDTH, FacePainter
from fer_train.synthetic.looks import draw_looks, draw_pose

__all__ = [
    "MIN_SIZE",
    "SYNTHETIC_PER_CLASS",
    "SYNTHETIC_SPLIT",
    "draw_face",
    "draw_scene",
    "judging_split",
    "numbered_face",
    "synthetic_split",
]

MIN_SIZE: Final[int] = 16
SYNTHETIC_SPLIT: Final[str] = "synthetic"
"""Name of the split of synthetic faces that models are judged on without a data set."""
SYNTHETIC_PER_CLASS: Final[int] = 40
_DRAWN_SIDE: Final[int] = 192
"""Small faces are drawn at least this large and shrunk, so that thin lines fade instead of breaking up."""


def draw_face(emotion: str, rng: np.random.Generator, size: int) -> Image:
    """A face that fills the picture as in FER-2013.

    Args:
        emotion: one of :data:`fer_edge.labels.EMOTIONS`.
        rng: where all chance comes from.
        size: side in pixels, at least 16.

    Returns:
        BGR ``(size, size, 3)`` uint8.

    Raises:
        UsageError: an unknown emotion, or a smaller size.
    """
    if size < MIN_SIZE:
        raise UsageError(f"a synthetic face needs a size of at least {MIN_SIZE} pixels, got {size}")
    k = max(1, -(-_DRAWN_SIDE // size))
    side = size * k
    expression, looks, pose = draw_expression(emotion, rng), draw_looks(rng), draw_pose(rng)
    canvas = _background(rng, side, side)
    scale = side * rng.uniform(0.47, 0.54)
    x = side * (0.5 + rng.uniform(-0.03, 0.03))
    y = side * (0.5 + rng.uniform(-0.03, 0.03))
    FacePainter(canvas, x, y, scale, looks, pose, expression).paint()
    image = shrink(canvas, k)
    if rng.uniform() < 0.15:
        image = box_blur(image, max(1, size // 96))
    return _noise(_light(image, rng), rng)


def draw_scene(
    emotion: str, rng: np.random.Generator, width: int, height: int
) -> tuple[Image, tuple[int, int, int, int]]:
    """A person before a background, as a camera sees them.

    Args:
        emotion: one of :data:`fer_edge.labels.EMOTIONS`.
        rng: where all chance comes from.
        width: in pixels, at least 64.
        height: in pixels, at least 64.

    Returns:
        ``(image, box)``: BGR ``(height, width, 3)`` uint8, and ``(x, y, w, h)`` of the face in pixels, from the
            hairline to the chin and from ear to ear, inside the frame.

    Raises:
        UsageError: an unknown emotion, or a smaller frame.
    """
    if min(width, height) < 64:
        raise UsageError(f"a synthetic scene needs at least 64x64 pixels, got {width}x{height}")
    expression, looks, pose = draw_expression(emotion, rng), draw_looks(rng), draw_pose(rng)
    k = 2 if max(width, height) < 1000 else 1
    canvas = box_blur(_background(rng, width * k, height * k), max(1, min(width, height) * k // 80))  # out of focus
    scale = min(width, height) * k * rng.uniform(0.20, 0.28)
    x = width * k * rng.uniform(0.38, 0.62)
    y = height * k * rng.uniform(0.40, 0.50)
    painter = FacePainter(canvas, x, y, scale, looks, pose, expression)
    painter.paint_back()
    _shoulders(canvas, rng, (x, y), scale, mix(looks.skin, (20, 25, 45), 0.3))
    painter.paint_front()
    image = _noise(_light(shrink(canvas, k), rng), rng)
    half_width, half_height = HALF_WIDTH * looks.face_width * scale / k, 0.97 * scale / k
    left, top = max(0, round(x / k - half_width)), max(0, round(y / k - half_height))
    right = min(width, round(x / k + half_width))
    bottom = min(height, round(y / k + half_height))
    return image, (left, top, right - left, bottom - top)


def synthetic_split(n_per_class: int, seed: int, size: int = 48, name: str = "validation") -> Split:
    """A split of synthetic faces.

    Args:
        n_per_class: faces of each class.
        seed: the same seed gives the same result.
        size: side in pixels.
        name: of the split; another one gives other faces for the same seed, so that train and validation never share
            one.

    Returns:
        ``(7 * n_per_class, size, size)`` uint8 images, classes taking turns, and their labels and names.

    Raises:
        UsageError: fewer than one face per class.
    """
    if n_per_class < 1:
        raise UsageError(f"expected at least one synthetic face per class, got {n_per_class}")
    n = n_per_class * NUM_EMOTIONS
    images = np.empty((n, size, size), dtype=np.uint8)
    names = []
    for i in range(n):
        images[i] = preprocess_face(numbered_face(name, seed, i, size), size)
        names.append(f"{name}/{EMOTIONS[i % NUM_EMOTIONS]}/Synthetic_{i // NUM_EMOTIONS:05d}.png")
    images.flags.writeable = False
    labels = np.arange(n, dtype=np.int64) % NUM_EMOTIONS
    return Split(name, images, labels, tuple(names))


def judging_split(seed: int = 0, per_class: int = SYNTHETIC_PER_CLASS) -> Split:
    """The synthetic faces that stand in for a data set where models are compared, the same for export and benchmark.

    The split is called :data:`SYNTHETIC_SPLIT`, so none of its faces is in a synthetic data set to train on.

    Args:
        seed: the same seed gives the same result.
        per_class: faces of each class.

    Returns:
        The split.
    """
    return synthetic_split(per_class, seed, name=SYNTHETIC_SPLIT)


def numbered_face(split: str, seed: int, index: int, size: int) -> Image:
    """Face ``index`` of a split, of class ``index % 7``; each is drawn from a generator of its own.

    Args:
        split: name of the split.
        seed: the same seed gives the same result.
        index: of the face in it.
        size: side in pixels.

    Returns:
        BGR ``(size, size, 3)`` uint8.
    """
    rng = np.random.default_rng([seed, index, *split.encode()])
    return draw_face(EMOTIONS[index % NUM_EMOTIONS], rng, size)


def _background(rng: np.random.Generator, width: int, height: int) -> Image:
    """A plain wall with a few large soft shapes."""
    base: Color = tuple(int(v) for v in rng.integers(40, 216, 3))  # type: ignore[assignment]
    canvas = np.empty((height, width, 3), dtype=np.uint8)
    canvas[:] = base
    for _ in range(int(rng.integers(2, 6))):
        color: Color = tuple(int(v) for v in rng.integers(20, 236, 3))  # type: ignore[assignment]
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        if rng.integers(2):
            shape = ellipse(x, y, rng.uniform(0.05, 0.3) * width, rng.uniform(0.05, 0.4) * height)
        else:
            w, h = rng.uniform(0.05, 0.3) * width, rng.uniform(0.1, 0.6) * height
            shape = np.array([(x - w, y - h), (x + w, y - h), (x + w, y + h), (x - w, y + h)])
        fill(canvas, shape, mix(base, color, 0.6))
    return canvas


def _shoulders(canvas: Image, rng: np.random.Generator, face: tuple[float, float], scale: float, neck: Color) -> None:
    x, y = face
    cloth: Color = tuple(int(v) for v in rng.integers(20, 220, 3))  # type: ignore[assignment]
    neck_half = 0.4 * scale
    fill(canvas, ellipse(x, y + 3.1 * scale, 2.0 * scale, 1.75 * scale), cloth)
    sides, tip = (y + 1.5 * scale), (y + 1.75 * scale)
    collar = [(x - neck_half, y), (x + neck_half, y), (x + neck_half, sides), (x, tip), (x - neck_half, sides)]
    fill(canvas, np.array(collar), neck)


def _light(image: Image, rng: np.random.Generator) -> Image:
    """A light from one side, brighter or darker as a whole: gain and slopes in 256ths."""
    height, width = image.shape[:2]
    gain, slope_x, slope_y = int(rng.integers(190, 300)), int(rng.integers(-70, 71)), int(rng.integers(-40, 41))
    across = (2 * np.arange(width, dtype=np.int32) - width + 1) * slope_x // width
    down = (2 * np.arange(height, dtype=np.int32) - height + 1) * slope_y // height
    gains = np.clip(gain + across[None, :] + down[:, None], 60, 400)
    lit = (image.astype(np.int32) * gains[:, :, None] + 128) >> 8
    return np.asarray(np.clip(lit, 0, 255), dtype=np.uint8)


def _noise(image: Image, rng: np.random.Generator) -> Image:
    """Sensor noise of a strength of its own, by the sum of two uniform whole numbers per pixel."""
    strength = int(rng.integers(1, 7))
    height, width = image.shape[:2]
    grain = rng.integers(-strength, strength + 1, (2, height, width), dtype=np.int16).sum(axis=0, dtype=np.int16)
    return np.asarray(np.clip(image.astype(np.int16) + grain[:, :, None], 0, 255), dtype=np.uint8)
