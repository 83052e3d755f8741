"""TensorFlow Lite Micro: firmware on microcontrollers, from ESP32-S3 to Cortex-M, without an accelerator.

The ``tflite-micro`` package runs the file with the kernels that firmware links, so that what it gives is what a board
with those kernels must give, bit for bit. Boards with kernels of their own (CMSIS-NN, ESP-NN) round alike.
"""

from __future__ import annotations

import platform
import sys
from typing import TYPE_CHECKING, Final

from fer_edge.extras import missing_packages
from fer_export.targets.spec import Target

if TYPE_CHECKING:
    from fer_export.targets.job import Conversion, TargetJob, TargetResult

__all__ = ["TARGET"]

_PIN: Final[str] = "0.dev20261023182759"


def _why_not_here() -> str | None:
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return f"tflite-micro {_PIN} exists for Linux on x86-64 only, this is {platform.system()} {platform.machine()}"
    missing = missing_packages("tflm")
    if missing:
        return f"{' '.join(missing)} is not installed; install it with: pip install {' '.join(missing)}=={_PIN}"
    return None


def _convert(job: TargetJob) -> Conversion:
    from fer_export.targets.micro import convert

    return convert(job)


def _check(job: TargetJob, conversion: Conversion) -> TargetResult:
    from fer_export.targets.micro import check

    return check(job, conversion)


TARGET: Final = Target(
    name="tflm",
    devices="ESP32-S3 with PSRAM, RP2350, Cortex-M with 4 MB flash",
    tool=f"tflite-micro {_PIN}",
    checked="runs here: arena measured, golden and sample faces bit for bit",
    arithmetic="double-rounding",
    convert=_convert,
    check=_check,
    extra="tflm",
    why_not_here=_why_not_here,
    rank=10,
)
