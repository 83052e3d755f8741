"""The seven expressions as movements of brows, eyes and mouth, for :mod:`fer_train.synthetic.faces`.

Lengths are in units of half a face's height, y grows downwards, and 0 stands for a face at rest. What moves in which
expression follows the prototypes of Ekman and Friesen's Facial Action Coding System (the AU numbers below).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

import numpy as np

from fer_edge.errors import UsageError
from fer_edge.labels import EMOTIONS


@dataclass(frozen=True)
class Expression:
    """How far each part of the face is from rest."""

    brow_inner: float = 0.0
    """Height of the inner end of the brows: positive is raised (AU 1), negative lowered (AU 4)."""
    brow_outer: float = 0.0
    """Height of the outer end (AU 2)."""
    brow_arch: float = 0.045
    """How far the middle of a brow stands above the line between its ends."""
    brow_squeeze: float = 0.0
    """How far the brows are drawn together."""
    lid_upper: float = 0.085
    """Opening above the middle of the eye (AU 5 raises it)."""
    lid_lower: float = 0.06
    """Opening below the middle of the eye; negative pushes the lid up into the eye (AU 6, 7)."""
    lid_tilt: float = 0.0
    """Slope of the eyes: positive lowers the inner corners (glare), negative the outer ones (droop)."""
    gaze_down: float = 0.0
    mouth_width: float = 0.27
    """Half of the mouth's width."""
    mouth_corner: float = 0.0
    """How far the corners are pulled up (AU 12) or, negative, down (AU 15)."""
    mouth_open: float = 0.0
    """Gap between the lips at the middle (AU 25 to 27)."""
    mouth_square: float = 2.0
    """Exponent of the lips' curve: 2 is a bow, 5 nearly a rectangle (AU 20, 22)."""
    mouth_skew: float = 0.0
    """One corner higher than the other; the upper lip is pulled up on that side (AU 10)."""
    lip_raise: float = 0.0
    """The upper lip's middle pulled up towards the nose (AU 10)."""
    lip_pout: float = 0.0
    """The lower lip pushed up and forward (AU 17)."""
    lip_press: float = 0.0
    """Lips pressed to a line (AU 24), 0 to 1."""
    teeth: float = 0.0
    """How much of the gap the upper teeth fill, 0 to 1; above 1 clenched teeth fill it all."""
    tongue: float = 0.0
    """Tongue out, 0 to 1."""
    nose_wrinkle: float = 0.0
    """AU 9, 0 to 1."""
    cheek_fold: float = 0.0
    """Folds from the nose to the corners of the mouth, 0 to 1."""
    frown_lines: float = 0.0
    """Upright lines between the brows, 0 to 1."""
    forehead_lines: float = 0.0
    """Lines across the forehead, 0 to 1."""
    tear: float = 0.0
    jaw_drop: float = 0.0
    """How far the chin moves down."""


_VARIANTS: Final[dict[str, tuple[Expression, ...]]] = {
    "angry": (
        Expression(  # lips pressed
            brow_inner=-0.14, brow_outer=0.05, brow_arch=0.0, brow_squeeze=0.07, lid_upper=0.055, lid_lower=0.045,
            lid_tilt=0.22, mouth_width=0.24, mouth_corner=-0.06, lip_press=0.9, frown_lines=1.0,
        ),
        Expression(  # teeth bared
            brow_inner=-0.15, brow_outer=0.06, brow_arch=0.0, brow_squeeze=0.07, lid_upper=0.07, lid_lower=0.05,
            lid_tilt=0.22, mouth_width=0.27, mouth_corner=-0.07, mouth_open=0.17, mouth_square=4.0, teeth=1.3,
            frown_lines=1.0, cheek_fold=0.5,
        ),
    ),
    "disgust": (
        Expression(  # nose wrinkled, one side of the lip up
            brow_inner=-0.08, brow_outer=-0.03, brow_arch=0.02, brow_squeeze=0.03, lid_upper=0.03, lid_lower=0.005,
            mouth_width=0.25, mouth_corner=-0.05, mouth_open=0.05, mouth_skew=0.11, lip_raise=0.08, teeth=0.8,
            nose_wrinkle=1.0, cheek_fold=1.0,
        ),
        Expression(  # tongue out
            brow_inner=-0.07, brow_outer=-0.02, brow_arch=0.02, brow_squeeze=0.03, lid_upper=0.025, lid_lower=0.0,
            mouth_width=0.25, mouth_corner=-0.07, mouth_open=0.11, mouth_skew=0.04, lip_raise=0.06, tongue=1.0,
            nose_wrinkle=1.0, cheek_fold=0.9,
        ),
    ),
    "fear": (
        Expression(  # lips stretched over clenched teeth
            brow_inner=0.14, brow_outer=0.03, brow_arch=-0.005, brow_squeeze=0.07, lid_upper=0.145, lid_lower=0.085,
            mouth_width=0.31, mouth_corner=-0.08, mouth_open=0.10, mouth_square=3.5, teeth=1.2, forehead_lines=0.8,
        ),
        Expression(  # mouth open, corners pulled back and down
            brow_inner=0.15, brow_outer=0.02, brow_arch=-0.01, brow_squeeze=0.07, lid_upper=0.15, lid_lower=0.085,
            mouth_width=0.30, mouth_corner=-0.13, mouth_open=0.18, mouth_square=3.0, forehead_lines=0.8, jaw_drop=0.05,
        ),
    ),
    "happy": (
        Expression(  # broad smile with teeth
            brow_inner=0.02, brow_outer=0.02, brow_arch=0.06, lid_upper=0.075, lid_lower=-0.015, mouth_width=0.36,
            mouth_corner=0.15, mouth_open=0.14, teeth=0.75, cheek_fold=0.8,
        ),
        Expression(  # lips closed
            brow_inner=0.02, brow_outer=0.02, brow_arch=0.06, lid_upper=0.08, lid_lower=0.015, mouth_width=0.35,
            mouth_corner=0.14, cheek_fold=0.6,
        ),
        Expression(  # laugh
            brow_inner=0.04, brow_outer=0.03, brow_arch=0.07, lid_upper=0.05, lid_lower=-0.03, mouth_width=0.36,
            mouth_corner=0.15, mouth_open=0.27, teeth=0.45, cheek_fold=1.0, jaw_drop=0.05,
        ),
    ),
    "neutral": (Expression(),),
    "sad": (
        Expression(
            brow_inner=0.13, brow_outer=-0.09, brow_arch=0.0, brow_squeeze=0.04, lid_upper=0.045, lid_lower=0.05,
            lid_tilt=-0.26, gaze_down=0.04, mouth_width=0.22, mouth_corner=-0.13, lip_pout=0.5,
        ),
        Expression(  # with tears
            brow_inner=0.14, brow_outer=-0.09, brow_arch=0.0, brow_squeeze=0.04, lid_upper=0.035, lid_lower=0.04,
            lid_tilt=-0.28, gaze_down=0.04, mouth_width=0.23, mouth_corner=-0.15, lip_pout=0.8, tear=1.0,
        ),
    ),
    "surprise": (
        Expression(
            brow_inner=0.16, brow_outer=0.15, brow_arch=0.10, lid_upper=0.155, lid_lower=0.09, mouth_width=0.16,
            mouth_open=0.33, forehead_lines=1.0, jaw_drop=0.12,
        ),
        Expression(
            brow_inner=0.14, brow_outer=0.13, brow_arch=0.09, lid_upper=0.14, lid_lower=0.085, mouth_width=0.12,
            mouth_open=0.21, forehead_lines=0.8, jaw_drop=0.07,
        ),
    ),
}  # fmt: skip

_REST: Final[Expression] = Expression()


def draw_expression(emotion: str, rng: np.random.Generator) -> Expression:
    """A random example of ``emotion``: a variant, at 75 to 115 % of full strength, every part a little off.

    Raises :class:`UsageError` for an unknown emotion.
    """
    if emotion not in _VARIANTS:
        raise UsageError(f"unknown emotion {emotion!r}; expected one of {', '.join(EMOTIONS)}")
    variants = _VARIANTS[emotion]
    variant = variants[int(rng.integers(len(variants)))]
    strength = rng.uniform(0.75, 1.15)
    mirror = -1.0 if rng.integers(2) else 1.0
    values: dict[str, float] = {}
    for field in fields(Expression):
        rest, full = getattr(_REST, field.name), getattr(variant, field.name)
        value = rest + (full - rest) * strength * rng.uniform(0.88, 1.12)
        values[field.name] = value * mirror if field.name == "mouth_skew" else value
    # Nobody is at rest exactly.
    for name, amount in (("brow_inner", 0.012), ("brow_outer", 0.012), ("mouth_corner", 0.015), ("lid_upper", 0.01)):
        values[name] += rng.uniform(-amount, amount)
    return Expression(**values)
