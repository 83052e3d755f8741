"""The outcome of one replayed stage."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["StageResult"]


@dataclass(frozen=True)
class StageResult:
    """One replayed stage: whether it passed, what was compared, and what its failure looks like."""

    name: str
    """One of :data:`fer_edge.verification.replay.STAGES`, or ``detector``."""
    passed: bool
    """Whether it agrees, within the backend's tolerance."""
    detail: str
    """What was compared, and what came out."""
    diagnosis: str = ""
    """What the difference looks like; empty where there is none."""
