"""Arm Ethos-U: NPUs beside Cortex-M and Cortex-A processors, compiled for by Arm's ``vela``.

The compiled file holds one custom operator, ``ethos-u``, which only the device computes. What it computes can be proven
without it: every requantisation of the command stream rounds twice, as TFLite's reference kernels do, and Arm's TOSA
reference model gives the same bits as they (``tests/export/test_tosa.py``).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fer_export.targets.spec import Target

if TYPE_CHECKING:
    from fer_export.targets.job import Conversion, TargetJob, TargetResult

__all__ = ["BOARDS", "TARGET", "VELA_PIN", "Board"]

VELA_PIN: Final[str] = "5.2.*"


@dataclass(frozen=True)
class Board:
    """One accelerator in one kind of system: everything that vela needs.

    vela takes a system configuration of another NPU without a word and estimates nonsense (1.0 ms instead of 5.2), and
    without any it chooses one; so this table holds every combination that is offered, and its parts are checked against
    the report.
    """

    accelerator: str
    """``--accelerator-config``."""
    system: str
    """``--system-config``, a section of ``Arm/vela.ini``."""
    memory: str
    """``--memory-mode``, likewise."""
    clock_mhz: int
    """What that section says; estimates are for this clock."""
    devices: str
    """Examples."""
    suffix: str = ""
    """Of the target's name, where the accelerator occurs in several kinds of system."""

    @property
    def name(self) -> str:
        """Name of the target."""
        return self.accelerator + self.suffix

    @property
    def optimise(self) -> str:
        """``--optimise``: Size where the SRAM is shared with the processor, else nothing is gained by it."""
        return "Performance" if self.memory.startswith("Dedicated") else "Size"


_HIGH, _DEEP = "Ethos_U55_High_End_Embedded", "Ethos_U55_Deep_Embedded"
_MIDDLE, _FAST = "Ethos_U85_SYS_DRAM_Mid", "Ethos_U85_SYS_DRAM_High"
_DEDICATED, _LARGE = "Dedicated_Sram_384KB", "Dedicated_Sram_512KB"
_FPGA: Final[str] = "Arm Corstone-300"

BOARDS: Final[tuple[Board, ...]] = (
    Board("ethos-u55-32", _HIGH, "Shared_Sram", 500, _FPGA),
    Board("ethos-u55-64", _HIGH, "Shared_Sram", 500, "Himax WiseEye2"),
    Board("ethos-u55-128", _HIGH, "Shared_Sram", 500, "Infineon PSOC Edge, Alif Ensemble (HE core)"),
    Board("ethos-u55-256", _HIGH, "Shared_Sram", 500, "Alif Ensemble (HP core), Renesas RA8P1"),
    Board("ethos-u65-256", "Ethos_U65_High_End", _DEDICATED, 1000, "NXP i.MX 93"),
    Board("ethos-u65-512", "Ethos_U65_High_End", _DEDICATED, 1000, "Arm Corstone-300 with U65"),
    Board("ethos-u85-128", _MIDDLE, _DEDICATED, 1000, "Arm Corstone-320"),
    Board("ethos-u85-256", _MIDDLE, _DEDICATED, 1000, "Arm Corstone-320"),
    Board("ethos-u85-512", _MIDDLE, _DEDICATED, 1000, "Arm Corstone-320"),
    Board("ethos-u85-1024", _FAST, _LARGE, 1000, "Arm Corstone-320"),
    Board("ethos-u85-2048", _FAST, _LARGE, 1000, "Arm Corstone-320"),
    # The same accelerators in other systems: a slow clock and flash, or weights in memory on the chip.
    *(
        Board(f"ethos-u55-{macs}", system, memory, clock, devices, suffix)
        for system, memory, clock, devices, suffix in (
            (_DEEP, "Shared_Sram", 200, "200 MHz, slow external flash", "-deep-embedded"),
            (_HIGH, "Sram_Only", 500, "weights in memory on the chip (MRAM, SRAM)", "-on-chip"),
        )
        for macs in (32, 64, 128, 256)
    ),
    Board("ethos-u65-256", "Ethos_U65_Embedded", "Shared_Sram", 500, "beside a Cortex-M, weights in flash", "-flash"),
    Board("ethos-u85-128", "Ethos_U85_SYS_Flash_Low", "Shared_Sram", 200, "200 MHz, weights in flash", "-flash"),
    Board("ethos-u85-256", "Ethos_U85_SYS_Flash_High", "Shared_Sram", 500, "Alif Ensemble E4, E6, E8", "-flash"),
)


def _convert(board: Board, job: TargetJob) -> Conversion:
    from fer_export.targets.vela import compile_for

    return compile_for(board, job)


def _check(board: Board, job: TargetJob, conversion: Conversion) -> TargetResult:
    from fer_export.targets.judging import judge_double_rounding
    from fer_export.targets.tosa import proof

    conversion.facts["tosa_reference_model"] = proof(job)
    return judge_double_rounding(
        job,
        conversion,
        target=board.name,
        computed_by="TFLite's reference kernels, which round twice as every requantisation of the command stream does",
    )


TARGET: Final[tuple[Target, ...]] = tuple(
    Target(
        name=board.name,
        devices=board.devices,
        tool=f"ethos-u-vela {VELA_PIN}",
        checked="all operators on the NPU, ends kept, same bytes twice, rounding",
        arithmetic="double-rounding",
        convert=functools.partial(_convert, board),
        check=functools.partial(_check, board),
        extra="vela",
        rank=20 if not board.suffix else 25,
    )
    for board in BOARDS
)
