"""Figures of a search: how much was looked at."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Searched"]


@dataclass
class Searched:
    """What was searched so far."""

    whole: int = 0
    """Whole frames at full width."""
    half: int = 0
    """Whole frames at half the width."""
    looks: int = 0
    """Close looks."""
    still: int = 0
    """Frames of which nothing but known faces was searched, because nothing else had moved."""
    pixels: int = 0
    """Pixels that the detector was given."""
