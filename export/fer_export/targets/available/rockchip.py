"""Rockchip NPUs, by rknn-toolkit2: from the INT8 TFLite file, so that no second quantisation takes place."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final

from fer_export.targets.spec import Target

if TYPE_CHECKING:
    from fer_export.targets.job import Conversion, TargetJob, TargetResult

ENVIRONMENT: Final[str] = "rknn"
CHIPS: Final[dict[str, str]] = {
    "rk3588": "Orange Pi 5, Radxa Rock 5B, NanoPC-T6 (RK3588, RK3588S)",
    "rk3576": "Radxa Rock 4D, NanoPi M5",
    "rk3568": "Radxa Rock 3A, Odroid-M1",
    "rk3566": "Radxa Zero 3W, Orange Pi 3B, Quartz64",
    "rk3562": "modules with RK3562",
    "rv1103": "Luckfox Pico Mini",
    "rv1106": "Luckfox Pico Pro, Pico Max",
    "rv1126b": "camera modules with RV1126B",
}
"""Chip -> boards with it, for example."""


def _convert(job: TargetJob, chip: str) -> Conversion:
    from fer_export.targets.rknn_build import convert

    return convert(job, chip)


def _check(job: TargetJob, conversion: Conversion, chip: str) -> TargetResult:
    from fer_export.targets.rknn_build import check

    return check(job, conversion, chip)


def _why_not_here() -> str | None:
    from fer_export.targets.environments import why_not_installed

    return why_not_installed(ENVIRONMENT)


TARGET = tuple(
    Target(
        name=chip,
        devices=boards,
        tool="rknn-toolkit2 2.5.0",
        checked="placement, INT8, size; accuracy in the simulator",
        arithmetic="own",
        convert=functools.partial(_convert, chip=chip),
        check=functools.partial(_check, chip=chip),
        environment=ENVIRONMENT,
        why_not_here=_why_not_here,
        rank=40 + place,
    )
    for place, (chip, boards) in enumerate(CHIPS.items())
)
