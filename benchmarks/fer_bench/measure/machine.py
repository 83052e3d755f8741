"""What machine this is and what state it is in, from ``/proc`` and ``/sys``; what cannot be read is None.

Every function takes the root of the file system, so that tests can show other machines than their own. ``psutil`` reads
the same files, but neither governor, throttling nor the flags of a Raspberry Pi's firmware, and on 32-bit Arm it has to
be compiled.
"""

from __future__ import annotations

import os
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fer_bench.schema import Machine
from fer_edge.system import usable_cpus
from fer_edge.versions import package_versions, source_commit

__all__ = [
    "ROOT",
    "CpuTimes",
    "read_cpu_times",
    "read_frequency_mhz",
    "read_governor",
    "read_machine",
    "read_pi_throttled",
    "read_process_times",
    "read_temperature_c",
    "read_throttle_events",
]

ROOT: Final[Path] = Path("/")
_FEATURES: Final[tuple[str, ...]] = (
    # x86: vector width, and the 8-bit dot product (VNNI)
    "sse4_1", "avx", "avx2", "fma", "avx512f", "avx512bw", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8",
    # Arm: asimddp is the 8-bit dot product (A76 and newer), i8mm the 8-bit matrix product
    "neon", "asimd", "asimddp", "asimdhp", "i8mm", "sve",
)  # fmt: skip


def read_machine(root: Path = ROOT) -> Machine:
    """What does not change while measuring.

    Args:
        root: of the file system.

    Returns:
        The description.
    """
    cpuinfo = _cpuinfo(root)
    board = _text(root / "proc/device-tree/model")
    flags = set((cpuinfo.get("flags") or cpuinfo.get("Features") or "").split())
    return Machine(
        cpu_model=_cpu_model(cpuinfo),
        cpu_features=[name for name in _FEATURES if name in flags],
        architecture=platform.machine(),
        n_cpus=usable_cpus(),
        memory_mib=_memory_mib(root),
        board=board,
        virtual_machine=("hypervisor" in flags) if flags and "fpu" in flags else None,
        operating_system=_operating_system(root),
        kernel=platform.release(),
        python=platform.python_version(),
        packages=package_versions(),
        commit=source_commit(),
    )


def read_governor(root: Path = ROOT) -> str | None:
    """CPU frequency governor.

    Args:
        root: of the file system.

    Returns:
        Its name, several different ones joined by ``+``; None where there is none to read.
    """
    pattern = "sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor"
    governors = {text for path in root.glob(pattern) if (text := _text(path))}
    return "+".join(sorted(governors)) or None


def read_frequency_mhz(root: Path = ROOT) -> float | None:
    """Highest present frequency of any CPU.

    Args:
        root: of the file system.

    Returns:
        In MHz; None where it cannot be read.
    """
    pattern = "sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq"
    frequencies_mhz = [int(text) / 1000 for path in root.glob(pattern) if (text := _text(path)) and text.isdigit()]
    return max(frequencies_mhz, default=None)


def read_temperature_c(root: Path = ROOT) -> float | None:
    """Highest temperature of the CPU's thermal zones; of all zones where none is named so.

    Args:
        root: of the file system.

    Returns:
        In degrees Celsius; None where it cannot be read.
    """
    named: list[float] = []
    others: list[float] = []
    for zone in root.glob("sys/class/thermal/thermal_zone*"):
        text = _text(zone / "temp")
        if text is None or not text.lstrip("-").isdigit():
            continue
        kind = (_text(zone / "type") or "").lower()
        is_cpu = any(word in kind for word in ("cpu", "x86_pkg", "soc", "core"))
        (named if is_cpu else others).append(int(text) / 1000)
    return max(named or others, default=None)


def read_pi_throttled(root: Path = ROOT) -> str | None:
    """The Raspberry Pi firmware's throttling flags (raspberrypi.com/documentation, ``vcgencmd get_throttled``).

    Args:
        root: of the file system.

    Returns:
        Hexadecimal text such as ``0x50005``; None on other machines.
    """
    text = _text(root / "sys/devices/platform/soc/soc:firmware/get_throttled")
    if text:
        return f"0x{int(text, 16):x}"
    if root != ROOT or not Path("/usr/bin/vcgencmd").exists():
        return None
    try:
        answer = subprocess.run(
            ["/usr/bin/vcgencmd", "get_throttled"], check=False, capture_output=True, text=True, timeout=5
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    _, separator, value = answer.stdout.strip().partition("throttled=")
    return value if separator else None


def read_throttle_events(root: Path = ROOT) -> int | None:
    """Thermal throttling events counted by all CPUs since boot (x86).

    Args:
        root: of the file system.

    Returns:
        Their number; None where it cannot be read.
    """
    pattern = "sys/devices/system/cpu/cpu[0-9]*/thermal_throttle/core_throttle_count"
    counts = [int(text) for path in root.glob(pattern) if (text := _text(path)) and text.isdigit()]
    return sum(counts) if counts else None


@dataclass(frozen=True)
class CpuTimes:
    """CPU time of all CPUs together since boot, in seconds."""

    busy_s: float
    """Spent computing."""
    stolen_s: float
    """Taken away by the hypervisor."""
    total_s: float
    """All of it, idle time included."""


def read_cpu_times(root: Path = ROOT) -> CpuTimes | None:
    """CPU time since boot, from ``/proc/stat``, see proc(5).

    Args:
        root: of the file system.

    Returns:
        The times; None where they cannot be read.
    """
    text = _text(root / "proc/stat")
    if not text or not text.startswith("cpu "):
        return None
    tick = os.sysconf("SC_CLK_TCK")
    fields = [int(value) / tick for value in text.splitlines()[0].split()[1:9]]
    user, nice, system, idle, iowait, irq, softirq, steal = fields + [0.0] * (8 - len(fields))
    busy = user + nice + system + irq + softirq
    return CpuTimes(busy_s=busy, stolen_s=steal, total_s=busy + idle + iowait + steal)


def read_process_times(root: Path = ROOT) -> dict[int, tuple[str, float]]:
    """CPU seconds so far of every process that we may see.

    Args:
        root: of the file system.

    Returns:
        ``{process id: (command name, seconds)}``.
    """
    tick = os.sysconf("SC_CLK_TCK")
    processes = {}
    for path in root.glob("proc/[0-9]*/stat"):
        text = _text(path)
        if not text:  # it ended meanwhile
            continue
        name = text[text.find("(") + 1 : text.rfind(")")]
        after = text[text.rfind(")") + 2 :].split()  # a name may hold spaces and brackets
        processes[int(path.parent.name)] = (name, (int(after[11]) + int(after[12])) / tick)
    return processes


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip("\0\n ") or None
    except OSError:
        return None


def _cpuinfo(root: Path) -> dict[str, str]:
    """First value of each key in ``/proc/cpuinfo``."""
    values: dict[str, str] = {}
    for line in (_text(root / "proc/cpuinfo") or "").splitlines():
        key, separator, value = line.partition(":")
        if separator:
            values.setdefault(key.strip(), value.strip())
    return values


_ARM_PARTS: Final[dict[str, str]] = {
    "0xd03": "Cortex-A53", "0xd04": "Cortex-A35", "0xd05": "Cortex-A55", "0xd07": "Cortex-A57", "0xd08": "Cortex-A72",
    "0xd09": "Cortex-A73", "0xd0a": "Cortex-A75", "0xd0b": "Cortex-A76", "0xd0c": "Neoverse-N1", "0xd41": "Cortex-A78",
    "0xc07": "Cortex-A7", "0xb76": "ARM1176",
}  # fmt: skip


def _cpu_model(cpuinfo: dict[str, str]) -> str:
    part = cpuinfo.get("CPU part", "")
    arm = _ARM_PARTS.get(part) or (f"Arm part {part}" if part else None)
    return cpuinfo.get("model name") or arm or platform.processor() or "unknown"


def _memory_mib(root: Path) -> float | None:
    for line in (_text(root / "proc/meminfo") or "").splitlines():
        if line.startswith("MemTotal:"):
            return round(int(line.split()[1]) / 1024, 1)
    return None


def _operating_system(root: Path) -> str:
    for line in (_text(root / "etc/os-release") or "").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip('"')
    return platform.system()
