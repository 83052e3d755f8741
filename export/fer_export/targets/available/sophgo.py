"""Sophgo's CV181x (Milk-V Duo 256M and its like), by tpu-mlir, which quantises the float network of the QAT weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fer_export.targets.spec import Target

if TYPE_CHECKING:
    from fer_export.targets.job import Conversion, TargetJob, TargetResult

CHIP: Final[str] = "cv181x"
ENVIRONMENT: Final[str] = "tpu-mlir"


def _convert(job: TargetJob) -> Conversion:
    from fer_export.targets.tpu_build import convert

    return convert(job, CHIP)


def _check(job: TargetJob, conversion: Conversion) -> TargetResult:
    from fer_export.targets.tpu_build import check

    return check(job, conversion, CHIP)


def _why_not_here() -> str | None:
    from fer_export.targets.environments import why_not_installed

    return why_not_installed(ENVIRONMENT)


TARGET = Target(
    name=CHIP,
    devices="Milk-V Duo 256M, Duo S (SG2002, SG2000)",
    tool="tpu-mlir 1.30.2",
    checked="size; accuracy in the model of the chip",
    arithmetic="own",
    convert=_convert,
    check=_check,
    environment=ENVIRONMENT,
    why_not_here=_why_not_here,
    takes_float=True,
    rank=60,
)
