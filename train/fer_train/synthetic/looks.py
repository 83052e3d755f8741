"""How a synthetic person looks and holds the head: what stays the same whatever the expression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from fer_train.synthetic.canvas import Color, mix

_SKINS: Final[tuple[Color, ...]] = (
    (188, 208, 240), (160, 190, 230), (140, 172, 220), (120, 152, 204), (95, 128, 184), (70, 100, 152), (48, 72, 118),
)  # fmt: skip
_HAIRS: Final[tuple[Color, ...]] = ((22, 22, 26), (30, 42, 60), (35, 60, 95), (70, 120, 170), (120, 125, 130))
_IRISES: Final[tuple[Color, ...]] = ((35, 50, 75), (50, 75, 60), (130, 100, 60), (30, 35, 45))


@dataclass(frozen=True)
class Pose:
    """Turn of the head in radians: to the side, up or down, towards a shoulder."""

    yaw: float
    pitch: float
    roll: float


@dataclass(frozen=True)
class Looks:
    """What a person looks like, whatever the expression."""

    skin: Color
    hair: Color
    iris: Color
    lips: Color
    hair_style: int
    """0 bald, 1 short, 2 fringe, 3 parted, 4 long."""
    brow_width: float
    beard: int
    """0 none, 1 moustache, 2 stubble."""
    glasses: bool
    face_width: float
    """Factor of the head's width."""
    jaw: float
    """How much narrower the jaw is than an ellipse."""
    eye_spread: float


def draw_looks(rng: np.random.Generator) -> Looks:
    """A random person."""
    skin = mix(_SKINS[int(rng.integers(len(_SKINS)))], (110, 140, 190), rng.uniform(0.0, 0.3))
    hair = _HAIRS[int(rng.integers(len(_HAIRS)))]
    return Looks(
        skin=skin,
        hair=hair,
        iris=_IRISES[int(rng.integers(len(_IRISES)))],
        lips=mix(skin, (70, 60, 170), rng.uniform(0.3, 0.55)),
        hair_style=int(rng.choice(5, p=[0.1, 0.25, 0.2, 0.2, 0.25])),
        brow_width=rng.uniform(0.055, 0.085),
        beard=int(rng.choice(3, p=[0.8, 0.1, 0.1])),
        glasses=bool(rng.uniform() < 0.08),
        face_width=rng.uniform(0.93, 1.05),
        jaw=rng.uniform(0.10, 0.22),
        eye_spread=rng.uniform(0.96, 1.05),
    )


def draw_pose(rng: np.random.Generator) -> Pose:
    """A random pose within about 20 degrees sideways, 10 up or down, 12 towards a shoulder."""
    return Pose(yaw=rng.uniform(-0.35, 0.35), pitch=rng.uniform(-0.17, 0.17), roll=rng.uniform(-0.2, 0.2))
