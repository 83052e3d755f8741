"""What a target is: a chip or runtime that the quantised network is exported to, by its maker's own tool.

This module is read for ``fer-export --target list`` and by every module in :mod:`fer_export.targets.available`, so it
imports neither numpy nor the tools.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fer_edge.extras import missing_packages

if TYPE_CHECKING:
    from fer_export.targets.job import Conversion, TargetJob, TargetResult

__all__ = ["ArithmeticName", "Target"]

ArithmeticName = Literal["single-rounding", "double-rounding", "own"]
"""Which golden outputs a target is held to: those of XNNPACK, those of TFLite's reference kernels, or its own, which
its simulator gave at the export."""


@dataclass(frozen=True)
class Target:
    """One chip, or one runtime for many chips: how to convert for it, and what is checked without the device."""

    name: str
    """What users write: ``--target NAME``."""
    devices: str
    """Examples of what one can buy with it, for the table."""
    tool: str
    """The maker's tool with its pin, for example ``ethos-u-vela 5.2.*``."""
    checked: str
    """What is checked without the device, a few words for the table."""
    arithmetic: ArithmeticName
    """Which golden outputs it is held to."""
    convert: Callable[[TargetJob], Conversion]
    """Runs the tool, and writes its files to ``job.out``. Raises ``CheckFailedError`` with the reason for a network
    that does not map onto the target."""
    check: Callable[[TargetJob, Conversion], TargetResult]
    """Computes with the result, in a simulator where there is one, and judges it."""
    extra: str = ""
    """The extra of this toolkit that holds the tool; empty where it is in an environment of its own."""
    environment: str = ""
    """The separate environment that holds the tool (``--install-target``); empty where the extra does."""
    why_not_here: Callable[[], str | None] | None = None
    """Tells in one line why the tool cannot run here, and what to do; None where it can. By default the packages of
    the extra are looked for."""
    takes_float: bool = False
    """Whether its tool quantises by itself: then ``job.float_nchw_onnx`` and ``job.calibration`` are there."""
    rank: int = 100
    """Place in the table; lower comes first."""

    def problem(self) -> str | None:
        """Why this target cannot be made here.

        Returns:
            One line with what to do; None when all is there.
        """
        if self.why_not_here is not None:
            return self.why_not_here()
        missing = missing_packages(self.extra) if self.extra else ()
        if not missing:
            return None
        return f"{' '.join(missing)} is not installed; install it with: pip install {shlex.join(missing)}"

    @property
    def home(self) -> str:
        """Where the tool is installed, for the table: an extra, or an environment of its own."""
        return f"extra {self.extra}" if self.extra else f"own environment {self.environment}"
