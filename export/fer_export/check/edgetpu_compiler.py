"""The Edge TPU compiler, where it is installed: compile a model and read its log."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fer_edge.errors import CheckFailedError, DeviceError
from fer_export.log import LOG

__all__ = ["COMPILER", "COMPILE_SECONDS", "Compilation", "compile_model", "find_compiler"]

COMPILER: Final[str] = "edgetpu_compiler"
COMPILE_SECONDS: Final[int] = 600


# -- the compiler itself --------------------------------------------------------------------------------------------


def find_compiler() -> str | None:
    """Where ``edgetpu_compiler`` is; it exists for x86-64 Debian and Ubuntu only.

    Returns:
        Its path; None when it is not installed.
    """
    return shutil.which(COMPILER)


@dataclass(frozen=True)
class Compilation:
    """What the compiler reported."""

    path: Path
    """The compiled file."""
    on_tpu: int
    """Operators that run on the Edge TPU."""
    on_cpu: int
    """Operators that are left to the CPU."""
    report: str
    """Its whole text."""


def compile_model(model: Path, out: Path) -> Compilation:
    """Compile ``NAME.tflite`` to ``out/NAME_edgetpu.tflite``.

    Args:
        model: the INT8 file.
        out: folder for the result.

    Returns:
        What the compiler reported.

    Raises:
        DeviceError: the compiler is missing or does not finish.
        CheckFailedError: it refuses the model, or leaves operators to the CPU.
    """
    compiler = find_compiler()
    if compiler is None:
        raise DeviceError(f"{COMPILER} is not installed; see edge/install/coral.md")
    command = [compiler, "-s", "-o", str(out), str(model)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMPILE_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DeviceError(f"{COMPILER} could not be run: {error}") from error
    report = done.stdout + done.stderr
    LOG.debug("%s: exit code %d\n%s", " ".join(command), done.returncode, report)
    compiled = out / f"{model.stem}_edgetpu.tflite"
    if done.returncode != 0 or not compiled.is_file():
        lines = (line.strip() for line in report.splitlines() if re.search("error|invalid", line, re.IGNORECASE))
        reason = next(lines, "no reason given")
        raise CheckFailedError(f"{COMPILER} refused {model.name}: {reason}")
    on_tpu, on_cpu = _count(report, "Edge TPU"), _count(report, "CPU")
    if on_tpu is None or on_cpu is None:
        raise CheckFailedError(f"{COMPILER} gave a report in an unknown format; its first line: {report[:100]!r}")
    if on_cpu:
        raise CheckFailedError(f"{COMPILER} leaves {on_cpu} operators of {model.name} to the CPU; expected none")
    return Compilation(compiled, on_tpu, on_cpu, report)


def _count(report: str, where: str) -> int | None:
    match = re.search(rf"Number of operations that will run on {where}:\s*(\d+)", report)
    return int(match.group(1)) if match else None
