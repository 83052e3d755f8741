"""The table of kinds with their three strengths, and the random numbers of each face."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np

from fer_edge.arrays import Image
from fer_edge.errors import InputError, UsageError
from fer_train.disturbances import formulas

__all__ = ["KINDS", "STRENGTHS", "Kind", "disturb", "disturb_faces", "generator"]

STRENGTHS: Final[tuple[int, ...]] = (1, 2, 3)
"""Mild, clear, strong."""


@dataclass(frozen=True)
class Kind:
    """One kind of disturbance. Training may call :attr:`formula` with amounts of its own."""

    name: str
    """Key in :data:`KINDS`."""
    title: str
    """For people, in a few words."""
    formula: Callable[[Image, float, np.random.Generator], Image]
    """``(face (H, W, C) uint8, amount, rng)`` to a face of that shape; its docstring tells formula and source."""
    amounts: tuple[float, float, float]
    """Of the strengths 1, 2 and 3."""
    unit: str
    """What the amounts are."""
    held_out: bool = False
    """Never used in training, so that the benchmark measures what was not trained for."""

    def amount(self, strength: float) -> float:
        """The amount of a strength.

        Args:
            strength: 1, 2 or 3; a real number between takes the amount in proportion.

        Returns:
            The amount, in :attr:`unit`.

        Raises:
            UsageError: another strength.
        """
        if not STRENGTHS[0] <= strength <= STRENGTHS[-1]:
            raise UsageError(f"unknown strength {strength} of {self.name}; expected 1, 2 or 3")
        below = min(int(strength), STRENGTHS[-2])
        low, high = self.amounts[below - 1 : below + 1]
        share = strength - below
        return (1.0 - share) * low + share * high


_TABLE: Final[tuple[Kind, ...]] = (
    Kind("noise", "read noise", formulas.noise, (8.0, 16.0, 28.0), "sigma of 255"),
    Kind("shot_noise", "shot noise", formulas.shot_noise, (500.0, 200.0, 80.0), "electrons", held_out=True),
    Kind("low_light", "low light with noise", formulas.low_light, (0.6, 0.4, 0.25), "of light"),
    Kind("defocus", "out of focus", formulas.defocus, (0.8, 1.4, 2.0), "px radius"),
    Kind("motion", "motion blur", formulas.motion, (2.5, 4.0, 6.0), "px long", held_out=True),
    Kind("jpeg", "JPEG", formulas.jpeg, (25.0, 13.0, 7.0), "quality"),
    Kind("h264", "H.264 blocks", formulas.h264, (30.0, 36.0, 41.0), "QP", held_out=True),
    Kind("few_pixels", "few pixels", formulas.few_pixels, (32.0, 24.0, 18.0), "px wide"),
    Kind("bright", "overexposed", formulas.bright, (1.3, 1.7, 2.2), "x gain"),
    Kind("glare", "glare", formulas.glare, (0.6, 0.8, 0.95), "of white", held_out=True),
    Kind("contrast", "low contrast", formulas.contrast, (0.5, 0.3, 0.2), "x contrast"),
    Kind("side_light", "side light", formulas.side_light, (0.6, 0.8, 0.95), "darker"),
    Kind("turned", "turned", formulas.turned, (12.0, 24.0, 36.0), "degrees"),
    Kind("shifted", "shifted box", formulas.shifted, (0.1, 0.17, 0.25), "of side"),
    Kind("scaled", "box of wrong size", formulas.scaled, (1.2, 1.4, 1.7), "x or 1/x"),
    Kind("hidden", "partly hidden", formulas.hidden, (0.1, 0.2, 0.3), "of area"),
)

KINDS: Final[Mapping[str, Kind]] = MappingProxyType({kind.name: kind for kind in _TABLE})
"""All kinds by name, in the order in which they are shown."""


def generator(*, seed: int, kind: str, strength: int, index: int) -> np.random.Generator:
    """The random numbers of one face: they depend on nothing else, neither on order nor on what else is computed.

    Args:
        seed: another seed, other random numbers; at least 0.
        kind: name of the kind.
        strength: 1, 2 or 3.
        index: of the image in its split, from 0.

    Returns:
        A generator of its own: PCG64, seeded with ``(seed, CRC-32 of the name, strength, index)``.
    """
    entropy = [seed, zlib.crc32(kind.encode()), strength, index]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))


def disturb(face: Image, kind: Kind, strength: float, rng: np.random.Generator) -> Image:
    """One disturbed face.

    Args:
        face: ``(H, W)`` grey or ``(H, W, C)`` uint8; it is not changed.
        kind: one of :data:`KINDS`.
        strength: as of :meth:`Kind.amount`.
        rng: see :func:`generator`.

    Returns:
        A face of the same shape and dtype.

    Raises:
        InputError: a face of another dtype or shape.
        UsageError: another strength.
    """
    if face.dtype != np.uint8 or face.ndim not in (2, 3) or 0 in face.shape:
        raise InputError(f"expected a face (H, W) or (H, W, C) of dtype uint8, got {face.shape} of {face.dtype}")
    amount = kind.amount(strength)
    return kind.formula(face if face.ndim == 3 else face[..., None], amount, rng).reshape(face.shape)


def disturb_faces(faces: Image, kind: Kind, strength: int, *, seed: int, indices: Sequence[int]) -> Image:
    """Several disturbed faces, each with random numbers of its own.

    Args:
        faces: ``(N, H, W)`` or ``(N, H, W, C)`` uint8.
        kind: one of :data:`KINDS`.
        strength: 1, 2 or 3.
        seed: see :func:`generator`.
        indices: N, of each face in its split.

    Returns:
        The disturbed faces, of the same shape and dtype.

    Raises:
        InputError: faces of another dtype or shape.
        UsageError: another strength.
    """
    out = np.empty_like(faces)
    for place, (face, index) in enumerate(zip(faces, indices, strict=True)):
        rng = generator(seed=seed, kind=kind.name, strength=strength, index=int(index))
        out[place] = disturb(face, kind, strength, rng)
    return out
