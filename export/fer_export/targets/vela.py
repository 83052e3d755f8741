"""Arm's ``vela`` as a command: compile a TFLite file for one board, and read what it reports."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any, Final, Protocol

from fer_edge.errors import CheckFailedError, DeviceError
from fer_export.log import LOG
from fer_export.targets.c_array import write_c_array
from fer_export.targets.job import Conversion, TargetJob
from fer_export.tflite_file import read_tflite

__all__ = ["CUSTOM_OPERATOR", "VELA_SECONDS", "compile_for"]

CUSTOM_OPERATOR: Final[str] = "ethos-u"
VELA_SECONDS: Final[int] = 600
_CONFIGURATION: Final[str] = "Arm/vela.ini"
_UNSUPPORTED: Final = re.compile(r"operator: (\w+), ofm: [^\n]*\nReason: ([^\n]*)")
_ROUNDING: Final = re.compile(r"NPU_SET_OFM_PRECISION.*round_mode = \w*?(NATURAL|DOUBLE_SYMMETRIC|DBL|TRUNCATE)")
_OFM_ROUNDING: Final = re.compile(r"ROUND_MODE_OFM_(\w+)")


class _Board(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def accelerator(self) -> str: ...
    @property
    def system(self) -> str: ...
    @property
    def memory(self) -> str: ...
    @property
    def clock_mhz(self) -> int: ...
    @property
    def optimise(self) -> str: ...


def compile_for(board: _Board, job: TargetJob) -> Conversion:
    """Compile the INT8 TFLite file, twice, and check what comes out.

    Args:
        board: accelerator, system configuration and memory mode.
        job: what to compile and where to.

    Returns:
        The compiled file, and vela's figures.

    Raises:
        CheckFailedError: vela refuses the network, leaves operators to the CPU, changes its ends, gives other bytes
            the second time, or reports another configuration than asked for.
        DeviceError: vela does not finish.
    """
    source = job.int8_tflite
    scratch = job.out / "again"
    text = _run(board, source, job.out)
    compiled = job.out / f"{source.stem}_vela.tflite"
    on_npu, on_cpu = _count(text, "NPU"), _count(text, "CPU")
    if on_cpu or not on_npu:
        raise CheckFailedError(_why_not_all(board, text, on_npu, on_cpu))
    row = _summary(board, job.out / f"{source.stem}_summary_{board.system}.csv")
    _check_ends(board, source, compiled)
    stream = _run(board, source, scratch, "--verbose-register-command-stream")
    if (scratch / compiled.name).read_bytes() != compiled.read_bytes():
        raise CheckFailedError(f"{board.name}: vela gave other bytes for the same network the second time")
    for path in [*scratch.iterdir(), *job.out.glob("*.csv")]:
        path.unlink()
    scratch.rmdir()
    write_c_array(compiled, f"{source.stem}_vela", note=f"for {board.name}: {board.system}, {board.memory}")
    tool = f"ethos-u-vela {metadata.version('ethos-u-vela')}"
    storage = row["weights_storage_area"]
    return Conversion(
        model=compiled,
        tool=tool,
        accelerator_operators=on_npu,
        cpu_operators=on_cpu,
        memory_bytes=round(float(row["sram_memory_used"]) * 1024),
        memory_kind=f"SRAM, as {tool} allocates it",
        time_ms=1000.0 * float(row["inference_time"]),
        time_source=f"estimate of {tool} for {board.system} at {board.clock_mhz} MHz, weights in {storage}",
        facts=_facts(board, row) | {"rounding": _roundings(board, stream)},
    )


def _run(board: _Board, source: Path, out: Path, *more: str) -> str:
    command = [sys.executable, "-m", "ethosu.vela", str(source), "--output-dir", str(out)]
    command += ["--accelerator-config", board.accelerator, "--config", _CONFIGURATION]
    command += ["--system-config", board.system, "--memory-mode", board.memory, "--optimise", board.optimise, *more]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=VELA_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DeviceError(f"{board.name}: vela could not be run: {error}") from error
    text = done.stdout + done.stderr
    LOG.debug("%s: exit code %d\n%s", " ".join(command), done.returncode, text if not more else "")
    if done.returncode != 0:
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        reason = next((line for line in lines if re.search(r"error", line, re.IGNORECASE)), lines[-1] if lines else "")
        raise CheckFailedError(f"{board.name}: vela refused {source.name}: {reason or f'exit code {done.returncode}'}")
    return text


def _summary(board: _Board, path: Path) -> dict[str, str]:
    """The report as vela writes it for programs; what it prints has no time. Its configuration must be ours."""
    try:
        with path.open(encoding="utf-8", newline="") as handle:
            (row,) = csv.DictReader(handle)
        reported = (
            row["accelerator_configuration"].lower().replace("_", "-"),
            row["system_config"],
            row["memory_mode"],
            round(float(row["core_clock"]) / 1e6),
        )
        float(row["sram_memory_used"]), float(row["inference_time"])
    except (OSError, ValueError, KeyError) as error:
        raise CheckFailedError(f"{board.name}: vela's report {path.name} cannot be read: {error!r}") from error
    asked = (board.accelerator, board.system, board.memory, board.clock_mhz)
    if reported != asked:
        raise CheckFailedError(f"{board.name}: vela reports the configuration {reported}, asked for was {asked}")
    if not float(row["inference_time"]) > 0.0:
        raise CheckFailedError(f"{board.name}: vela estimates no time at all; nothing runs on the NPU")
    return dict(row)


def _count(text: str, where: str) -> int:
    match = re.search(rf"^{where} operators = (\d+)", text, re.MULTILINE)
    if match is None:
        raise CheckFailedError(f"vela gave a report in an unknown format: it does not count {where} operators")
    return int(match.group(1))


def _why_not_all(board: _Board, text: str, on_npu: int, on_cpu: int) -> str:
    """One line on a network that does not map: how much of it, and vela's words on each kind of operator."""
    reasons = {name: reason.rstrip(".") for name, reason in _UNSUPPORTED.findall(text)}
    named = "; ".join(f"{name}: {reason}" for name, reason in list(reasons.items())[:3])
    return (
        f"{board.name}: {on_cpu} of {on_cpu + on_npu} operators are left to the CPU, expected none"
        f"{f' ({named})' if named else ''}; use operators that vela supports (vela --supported-ops-report)"
    )


def _check_ends(board: _Board, source: Path, compiled: Path) -> None:
    before, after = read_tflite(source), read_tflite(compiled)
    operators = [op.name for op in after.operators]
    if operators != [CUSTOM_OPERATOR]:
        raise CheckFailedError(f"{board.name}: the compiled file holds {operators}, expected one {CUSTOM_OPERATOR}")
    for which in ("inputs", "outputs"):
        old, new = (
            [
                (t.shape, t.type_name, t.scales.tolist(), t.zero_points.tolist())
                for t in (model.tensors[i] for i in getattr(model, which))
            ]
            for model in (before, after)
        )
        if old != new:
            raise CheckFailedError(f"{board.name}: vela changed the {which}: {old} became {new}")


def _roundings(board: _Board, stream: str) -> dict[str, int]:
    """How the operations of the command stream round their results; ``double`` is what the golden vectors follow."""
    modes = _OFM_ROUNDING.findall(stream) or _ROUNDING.findall(stream)
    double = sum(mode in ("DBL", "DOUBLE_SYMMETRIC") for mode in modes)
    if not double:
        raise CheckFailedError(
            f"{board.name}: no operation of vela's command stream rounds twice; the golden vectors do not hold for it"
        )
    return {"double": double, "other": len(modes) - double}


def _facts(board: _Board, row: dict[str, str]) -> dict[str, Any]:
    return {
        "accelerator": board.accelerator,
        "system_config": board.system,
        "memory_mode": board.memory,
        "optimise": board.optimise,
        "clock_mhz": board.clock_mhz,
        "cycles_total": int(float(row["cycles_total"])),
        "cycles_npu": int(float(row["cycles_npu"])),
        "macs": int(float(row["nn_macs"])),
        "weights_bytes": {
            name: round(float(row[f"{name}_memory_used"]) * 1024)
            for name in ("dram", "on_chip_flash", "off_chip_flash")
            if float(row[f"{name}_memory_used"])
        },
    }
