"""Names of the kinds, without numpy and OpenCV: options of ``fer-train`` are made of them."""

from __future__ import annotations

from typing import Final

__all__ = ["FOR_TRAINING", "HELD_OUT"]

HELD_OUT: Final[tuple[str, ...]] = ("shot_noise", "motion", "h264", "glare")
"""Kinds that training must not use, so that the benchmark tells what becomes of a disturbance never seen."""
FOR_TRAINING: Final[tuple[str, ...]] = (
    "noise",
    "low_light",
    "defocus",
    "jpeg",
    "few_pixels",
    "bright",
    "contrast",
    "side_light",
    "turned",
    "shifted",
    "scaled",
    "hidden",
)
"""The other kinds."""
