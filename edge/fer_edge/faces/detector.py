"""What the toolkit has to know of a face detector without loading it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fer_edge.faces.detection import FaceDetector


@dataclass(frozen=True, kw_only=True)
class DetectorSpec:
    """One face detector; ``DETECTOR`` in each module of :mod:`fer_edge.faces.detectors`."""

    name: str
    """What ``--detector`` takes."""
    open: Callable[..., FaceDetector]
    """``open(model=None, *, width)``: ``model`` is the file that ``--detector-model`` names, None without one."""
    title: str | None = None
    """Its name in messages, where that is written otherwise."""
    takes_file: bool = False
    """Whether ``--detector-model`` means something to it."""
    rank: int = 100
    """``--detector auto`` tries those that are :attr:`automatic` in this order; lower comes first."""
    automatic: bool = False
    """Whether ``--detector auto`` may take it."""
    drawback: str | None = None
    """What is reported where ``auto`` has to take it instead of a better one: "faces are found by Haar, ..."."""
