"""Draws one face: a person's looks (:class:`Looks`), a head pose (:class:`Pose`) and an expression, onto an image.

The face is an ellipsoid of half-height 1 and half-width :data:`HALF_WIDTH`; features lie on its front and are turned
with it, so that eyes, nose and mouth shift and shorten against each other as the head moves.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from fer_train.synthetic.canvas import Color, Points, blend, ellipse, fill, mix, stroke, unit_circle
from fer_train.synthetic.expressions import Expression

HALF_WIDTH: Final[float] = 0.78
_DEPTH: Final[float] = 0.75
_EYE_X: Final[float] = 0.33
_EYE_Y: Final[float] = -0.13
_EYE_HALF_WIDTH: Final[float] = 0.165
_MOUTH_Y: Final[float] = 0.50

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


@dataclass
class FacePainter:
    """Paints one face onto ``image``, centred at ``(x, y)`` pixels, with half a face's height of ``scale`` pixels."""

    image: npt.NDArray[np.uint8]
    x: float
    y: float
    scale: float
    looks: Looks
    pose: Pose
    expression: Expression

    def __post_init__(self) -> None:
        pose = self.pose
        self._yaw = (math.cos(pose.yaw), math.sin(pose.yaw))
        self._pitch = (math.cos(pose.pitch), math.sin(pose.pitch))
        self._roll = (math.cos(pose.roll), math.sin(pose.roll))
        self._shadow = mix(self.looks.skin, (20, 25, 45), 0.38)
        self._crease = mix(self.looks.skin, (15, 20, 40), 0.55)
        self._light = mix(self.looks.skin, (225, 240, 255), 0.28)

    def paint(self) -> None:
        """Paint the whole head, back to front."""
        self.paint_back()
        self.paint_front()

    def paint_back(self) -> None:
        """Paint the hair that hangs behind neck and shoulders."""
        if self.looks.hair_style == 4:
            fill(self.image, self._flat(ellipse(0, 0.25, HALF_WIDTH + 0.2, 1.35)), self.looks.hair)
        elif self.looks.hair_style > 0:
            fill(self.image, self._flat(ellipse(0, -0.28, HALF_WIDTH + 0.1, 0.88)), self.looks.hair)

    def paint_front(self) -> None:
        """Paint what lies before the neck: ears, head, features."""
        self._ears()
        self._head()
        self._front_hair()
        self._cheeks_and_folds()
        self._nose()
        for side in (-1, 1):
            self._eye(side)
            self._brow(side)
        self._mouth()
        self._beard()
        if self.looks.glasses:
            self._glasses()

    # Geometry

    def _project(self, points: Points, lift: float = 0.0) -> Points:
        """Points on the face's front, ``(N, 2)`` in face units, to pixels; ``lift`` raises them off the surface."""
        x, y = points[:, 0] * self.looks.face_width, points[:, 1]
        u, v = x / (HALF_WIDTH * self.looks.face_width), y / 1.05
        z = _DEPTH * np.sqrt(np.maximum(0.0, 1.0 - u * u - v * v)) + lift
        (cos_yaw, sin_yaw), (cos_pitch, sin_pitch) = self._yaw, self._pitch
        turned_x, z = x * cos_yaw + z * sin_yaw, z * cos_yaw - x * sin_yaw
        return self._to_pixels(turned_x, y * cos_pitch + z * sin_pitch)

    def _flat(self, points: Points) -> Points:
        """Outlines of the head, which stay outlines as it turns: rolled only."""
        return self._to_pixels(points[:, 0] * self.looks.face_width, points[:, 1])

    def _to_pixels(self, x: Points, y: Points) -> Points:
        cos_roll, sin_roll = self._roll
        rolled_x = x * cos_roll - y * sin_roll
        rolled_y = x * sin_roll + y * cos_roll
        return np.stack([self.x + rolled_x * self.scale, self.y + rolled_y * self.scale], axis=1)

    def _outline(self, grow: float = 0.0) -> Points:
        points = unit_circle(72).copy()
        below = np.maximum(points[:, 1], 0.0)
        points[:, 0] *= (HALF_WIDTH + grow) * (1.0 - self.looks.jaw * below * below)
        points[:, 1] = points[:, 1] * (1.0 + grow) + self.expression.jaw_drop * below
        return points

    # Head

    def _ears(self) -> None:
        for side in (-1, 1):
            # The ear on the far side disappears as the head turns.
            seen = HALF_WIDTH + 0.03 - 0.25 * side * self._yaw[1]
            fill(self.image, self._flat(ellipse(side * seen, 0.03, 0.1, 0.2)), self._shadow)

    def _head(self) -> None:
        outline = self._outline()
        fill(self.image, self._flat(outline), self._shadow)
        # Rounded shading: ever smaller, ever lighter copies, drawn towards where the face looks.
        steps = 8
        for i in range(1, steps + 1):
            inner = outline * (1.0 - 0.032 * i) + np.array([0.03, 0.02]) * i * np.array([self._yaw[1], self._pitch[1]])
            color = mix(self._shadow, self.looks.skin, i / steps)
            fill(self.image, self._flat(inner), color)
        blend(self.image, self._project(ellipse(0, -0.58, 0.34, 0.16)), self._light, 70)

    def _front_hair(self) -> None:
        style = self.looks.hair_style
        if style == 0:
            return
        top = [point for point in self._outline(0.05) if point[1] < -0.55]
        right = [p for p in top if p[0] >= 0]
        left = [p for p in top if p[0] < 0]
        rim = np.array(left + right)
        lines = {
            1: [(0.55, -0.62), (0.3, -0.76), (0.0, -0.78), (-0.3, -0.76), (-0.55, -0.62)],
            2: [(0.62, -0.45), (0.4, -0.52), (0.15, -0.48), (-0.1, -0.54), (-0.35, -0.49), (-0.62, -0.45)],
            3: [(0.62, -0.42), (0.45, -0.60), (0.15, -0.76), (-0.25, -0.78), (-0.5, -0.66), (-0.62, -0.50)],
            4: [(0.64, -0.30), (0.45, -0.60), (0.0, -0.80), (-0.45, -0.60), (-0.64, -0.30)],
        }
        hairline = np.array(lines[style]) + np.array([0.12 * self._yaw[1], 0.5 * self._pitch[1]])
        fill(self.image, self._flat(np.concatenate([rim, hairline])), self.looks.hair)

    def _cheeks_and_folds(self) -> None:
        e = self.expression
        if e.cheek_fold > 0.1:
            for side in (-1, 1):
                blend(self.image, self._project(ellipse(side * 0.42, 0.2, 0.17, 0.13)), self._light, 90)
                end = (side * (e.mouth_width + 0.08), _MOUTH_Y - 0.5 * e.mouth_corner - 0.03)
                fold = _bow((side * 0.17, 0.2), end, side * 0.05)
                self._line(fold, self._crease, 0.035 * min(1.0, e.cheek_fold))
        if e.frown_lines > 0.1:
            for x in (-0.055, 0.055):
                line = np.array([(x * 0.8, -0.42), (x, -0.34), (x * 1.1, -0.25)])
                self._line(line, self._crease, 0.038 * min(1.0, e.frown_lines))
        if e.forehead_lines > 0.1 and self.looks.hair_style != 2:
            for y in (-0.66, -0.57):
                self._line(_bow((-0.3, y), (0.3, y), -0.035), self._crease, 0.022 * min(1.0, e.forehead_lines))

    def _nose(self) -> None:
        e = self.expression
        shade = np.array([(0.05, -0.12), (0.09, 0.15), (0.13, 0.26), (0.0, 0.3), (-0.02, 0.2)])
        side = -1.0 if self.pose.yaw > 0 else 1.0
        blend(self.image, self._project(shade * np.array([side, 1.0]), 0.08), self._shadow, 150)
        blend(self.image, self._project(ellipse(0, 0.2, 0.07, 0.07), 0.14), self._light, 120)
        wing = 0.115 + 0.025 * e.nose_wrinkle
        lift = 0.02 * e.nose_wrinkle
        for x in (-1, 1):
            fill(self.image, self._project(ellipse(x * 0.055, 0.275 - lift, 0.036, 0.02), 0.1), self._crease)
            curve = np.array(
                [(x * wing, 0.17 - lift), (x * (wing + 0.02), 0.23 - lift), (x * wing * 0.9, 0.275 - lift)]
            )
            self._line(curve, self._crease, 0.028)
        if e.nose_wrinkle > 0.1:
            for y in (-0.13, -0.06, 0.01):
                self._line(_bow((-0.1, y + 0.02), (0.1, y + 0.02), -0.045), self._crease, 0.03 * e.nose_wrinkle)
            for x in (-1, 1):
                self._line(_bow((x * 0.06, -0.02), (x * 0.13, 0.14), x * 0.02), self._crease, 0.028 * e.nose_wrinkle)

    # Eyes

    def _eye(self, side: int) -> None:
        e = self.expression
        center = side * _EYE_X * self.looks.eye_spread
        t = np.linspace(-1.0, 1.0, 17)
        bow = 1.0 - t * t
        x = center + t * _EYE_HALF_WIDTH
        # Tilt lowers (glare) or raises (droop) the inner part of the upper lid; inner is towards x = 0.
        inner = -t * side
        upper = _EYE_Y - e.lid_upper * bow + e.lid_tilt * 0.14 * (inner + 0.25) * (0.35 + 0.65 * bow)
        lower = np.maximum(_EYE_Y + e.lid_lower * bow, upper + 0.006)
        lids = np.concatenate([np.stack([x, upper], 1), np.stack([x, lower], 1)[::-1]])
        socket = ellipse(center, _EYE_Y - 0.02, _EYE_HALF_WIDTH + 0.05, 0.15)
        blend(self.image, self._project(socket), self._shadow, 110)
        fill(self.image, self._project(lids), (225, 230, 234))
        opening = float(np.max(lower - upper))
        if opening > 0.03:
            gaze = np.array([center + 0.10 * self._yaw[1], _EYE_Y + e.gaze_down])
            for radius, color in ((0.088, self.looks.iris), (0.046, (12, 12, 14))):
                disc = unit_circle(28) * radius + gaze
                disc[:, 1] = np.clip(disc[:, 1], np.interp(disc[:, 0], x, upper), np.interp(disc[:, 0], x, lower))
                fill(self.image, self._project(disc), color)
            glint = gaze + np.array([-0.03, -0.03])
            if np.interp(glint[0], x, upper) < glint[1] - 0.02:
                fill(self.image, self._project(ellipse(glint[0], glint[1], 0.02, 0.02, 12)), (250, 250, 250))
        self._line(np.stack([x, upper], 1), mix(self.looks.hair, (10, 10, 10), 0.5), 0.045)
        self._line(np.stack([x, lower], 1), self._crease, 0.022)
        if e.lid_lower < 0.02:  # cheeks push the lid up: a bag below, crow's feet beside
            self._line(np.stack([x, lower + 0.055 + 0.03 * bow], 1), self._crease, 0.022)
            corner = center + side * (_EYE_HALF_WIDTH + 0.03)
            for dy in (-0.04, 0.02):
                foot = np.array([(corner, _EYE_Y + dy * 0.4), (corner + side * 0.08, _EYE_Y + dy * 1.6)])
                self._line(foot, self._crease, 0.02)
        else:
            self._line(np.stack([x, upper - 0.05], 1)[3:14], self._shadow, 0.022)
        if e.tear > 0.5 and side < 0:
            drop = ellipse(center, _EYE_Y + 0.24, 0.035, 0.06)
            self._line(np.array([(center, _EYE_Y + 0.08), (center, _EYE_Y + 0.22)]), (235, 225, 205), 0.03)
            fill(self.image, self._project(drop), (240, 228, 205))

    def _brow(self, side: int) -> None:
        e = self.expression
        inner = (side * (0.155 - 0.6 * e.brow_squeeze), -0.33 - e.brow_inner)
        outer = (side * 0.555, -0.345 - e.brow_outer)
        t = np.linspace(0.0, 1.0, 13)
        x = inner[0] + (outer[0] - inner[0]) * t
        # The arch peaks beyond the middle, as real brows do.
        y = inner[1] + (outer[1] - inner[1]) * t - e.brow_arch * 4.0 * t * (1.0 - t) * (0.7 + 0.6 * t)
        width = self.looks.brow_width * (1.0 - 0.5 * np.maximum(0.0, t - 0.45)) * np.minimum(1.0, 0.6 + 2.0 * t)
        edge_up, edge_down = np.stack([x, y - width / 2], 1), np.stack([x, y + width / 2], 1)
        # Light skin with light hair still has a brow that can be seen.
        color = mix(self.looks.hair, (15, 18, 22), 0.5)
        fill(self.image, self._project(np.concatenate([edge_up, edge_down[::-1]]), 0.03), color)

    def _glasses(self) -> None:
        for side in (-1, 1):
            rim = ellipse(side * _EYE_X, _EYE_Y + 0.02, 0.25, 0.2, 32)
            closed = np.concatenate([rim, rim[:1]])
            for i in range(0, 32, 4):
                self._line(closed[i : i + 6], (28, 28, 30), 0.035, 0.08)
        self._line(np.array([(-0.09, _EYE_Y), (0.0, _EYE_Y - 0.02), (0.09, _EYE_Y)]), (28, 28, 30), 0.035)

    # Mouth

    def _mouth(self) -> None:
        e = self.expression
        gap = max(0.0, e.mouth_open)
        t = np.linspace(-1.0, 1.0, 25)
        fall = _power(np.abs(t), max(2, round(e.mouth_square)))
        x = e.mouth_width * t
        lift = 0.5 * e.mouth_corner
        corner_y = _MOUTH_Y - lift - e.mouth_skew * 0.5 * t
        bend = t * t
        middle_upper = _MOUTH_Y + lift - 0.35 * gap - e.lip_raise
        middle_lower = _MOUTH_Y + lift + 0.65 * gap
        # A raised corner bends the line of the lips; the gap opens along the exponent.
        line = corner_y * bend + (_MOUTH_Y + lift) * (1.0 - bend)
        sneer = e.mouth_skew * np.maximum(0.0, t if e.mouth_skew > 0 else -t) * (1.0 - bend) * 1.2
        sneer = np.abs(sneer)
        upper = line + (middle_upper - _MOUTH_Y - lift) * (1.0 - fall) - sneer
        lower = line + (middle_lower - _MOUTH_Y - lift) * (1.0 - fall)
        lower = np.maximum(lower, upper)
        thin = 1.0 - 0.75 * min(1.0, e.lip_press)
        arc = np.sqrt(np.maximum(0.0, 1.0 - bend))
        dip = 1.0 - 0.35 * np.maximum(0.0, 1.0 - 25.0 * bend)  # the notch below the nose
        top_lip = upper - 0.055 * thin * arc * dip
        bottom_lip = lower + (0.075 * thin + 0.03 * e.lip_pout) * arc
        self._area(x, top_lip, bottom_lip, self.looks.lips)
        if gap > 0.02 or e.lip_raise > 0.02 or abs(e.mouth_skew) > 0.03:
            self._inside(x, upper, lower)
        seam = mix(self.looks.lips, (15, 10, 30), 0.75)
        if gap <= 0.02:
            self._line(np.stack([x, (upper + lower) / 2], 1), seam, 0.045)
        else:
            self._line(np.stack([x, upper], 1), seam, 0.02)
        below = bottom_lip + 0.045
        blend(self.image, self._project(_between(x[6:19], below[6:19], below[6:19] + 0.05)), self._shadow, 140)
        for side in (0, -1):  # shadows at the corners
            spot = ellipse(x[side], float(line[side]), 0.035, 0.035, 16)
            blend(self.image, self._project(spot), self._crease, 130)
        if e.tongue > 0.3:
            self._tongue(float(middle_lower))

    def _inside(self, x: Points, upper: Points, lower: Points) -> None:
        e = self.expression
        self._area(x, upper, lower, (22, 16, 40))
        height = lower - upper
        if e.teeth > 0.05:
            bottom = upper + height * min(1.0, e.teeth) * (1.0 if e.teeth > 1.0 else 0.9)
            inset = slice(2, -2)
            self._area(x[inset], upper[inset] + 0.004, bottom[inset], (222, 230, 234))
            if e.teeth > 1.0:  # clenched: the line between the rows, and between the teeth
                self._line(np.stack([x, upper + height * 0.52], 1)[2:-2], (110, 120, 130), 0.022)
                for i in range(5, 20, 3):
                    tooth = np.array([(x[i], upper[i] + 0.15 * height[i]), (x[i], lower[i] - 0.15 * height[i])])
                    self._line(tooth, (150, 160, 168), 0.014)
        elif float(np.max(height)) > 0.12:
            red = (70, 60, 150)
            top = lower - height * 0.38 * np.sqrt(np.maximum(0.0, 1.0 - (x / (0.75 * e.mouth_width)) ** 2))
            self._area(x[4:-4], top[4:-4], lower[4:-4], red)

    def _tongue(self, lip: float) -> None:
        length = 0.2 * self.expression.tongue
        points = ellipse(0.0, lip + 0.3 * length, 0.12, length)
        points[:, 1] = np.maximum(points[:, 1], lip - 0.05)
        fill(self.image, self._project(points, 0.05), (110, 100, 205))
        self._line(np.array([(0.0, lip - 0.03), (0.0, lip + 0.75 * length)]), (75, 65, 165), 0.03, 0.05)

    def _beard(self) -> None:
        color = mix(self.looks.hair, self.looks.skin, 0.25)
        if self.looks.beard == 1:
            y = _MOUTH_Y - 0.11 - 0.5 * self.expression.lip_raise - 0.35 * self.expression.mouth_open
            for side in (-1, 1):
                wing = np.array([(0.0, y - 0.03), (side * 0.12, y - 0.03), (side * 0.26, y + 0.06), (0.0, y + 0.03)])
                fill(self.image, self._project(wing, 0.03), color)
        elif self.looks.beard == 2:
            chin = [p for p in self._outline(-0.02) if p[1] > 0.2]
            right = [p for p in chin if p[0] >= 0]
            left = [p for p in chin if p[0] < 0]
            inside = [(-0.5, 0.3), (-0.42, 0.62), (-0.25, 0.8), (0.25, 0.8), (0.42, 0.62), (0.5, 0.3)]
            blend(self.image, self._flat(np.array(right + left + inside)), color, 120)

    # Strokes

    def _line(self, points: Points, color: Color, width: float, lift: float = 0.0) -> None:
        stroke(self.image, self._project(points, lift), color, width * self.scale)

    def _area(self, x: Points, top: Points, bottom: Points, color: Color) -> None:
        fill(self.image, self._project(_between(x, top, bottom)), color)


def _power(x: Points, exponent: int) -> Points:
    """``x ** exponent`` by multiplication: numpy's own power differs between processors in the last bit."""
    product = x
    for _ in range(exponent - 1):
        product = product * x
    return product


def _between(x: Points, top: Points, bottom: Points) -> Points:
    return np.concatenate([np.stack([x, top], 1), np.stack([x, bottom], 1)[::-1]])


def _bow(start: tuple[float, float], end: tuple[float, float], bulge: float, n: int = 9) -> Points:
    """A curve from ``start`` to ``end`` that stands off the straight line by ``bulge`` at its middle."""
    t = np.linspace(0.0, 1.0, n)
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = math.sqrt(dx * dx + dy * dy) or 1.0
    off = 4.0 * bulge * t * (1.0 - t)
    return np.stack([start[0] + dx * t + dy / length * off, start[1] + dy * t - dx / length * off], 1)
