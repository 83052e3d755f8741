"""Reading a machine's identity and state: other machines are shown as folders with their /proc and /sys files."""

from __future__ import annotations

from pathlib import Path

import pytest

from fer_bench.measure import machine
from fer_bench.measure.machine import CpuTimes

PI5_CPUINFO = """processor\t: 0
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp
CPU implementer\t: 0x41
CPU part\t: 0xd0b
"""
X86_CPUINFO = """processor\t: 0
model name\t: AMD EPYC
flags\t\t: fpu sse4_1 avx2 fma avx512f avx512_vnni hypervisor
processor\t: 1
model name\t: another
"""


def put(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_a_raspberry_pi_5(tmp_path: Path) -> None:
    root = put(
        tmp_path,
        {
            "proc/cpuinfo": PI5_CPUINFO,
            "proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0",
            "proc/meminfo": "MemTotal:        8255488 kB\nMemFree: 1 kB\n",
            "etc/os-release": 'NAME="x"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n',
            "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "ondemand\n",
            "sys/devices/system/cpu/cpu1/cpufreq/scaling_governor": "ondemand\n",
            "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "2400000\n",
            "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
            "sys/class/thermal/thermal_zone0/temp": "52150\n",
            "sys/devices/platform/soc/soc:firmware/get_throttled": "50005\n",
        },
    )
    found = machine.read_machine(root)
    assert (found.cpu_model, found.board) == ("Cortex-A76", "Raspberry Pi 5 Model B Rev 1.0")
    assert found.cpu_features == ["asimd", "asimddp", "asimdhp"]
    assert found.memory_mib == 8062.0
    assert found.virtual_machine is None  # Arm's cpuinfo does not tell
    assert found.operating_system == "Debian GNU/Linux 12 (bookworm)"
    assert machine.read_governor(root) == "ondemand"
    assert machine.read_frequency_mhz(root) == 2400.0
    assert machine.read_temperature_c(root) == 52.15
    assert machine.read_pi_throttled(root) == "0x50005"


def test_a_virtual_x86_server(tmp_path: Path) -> None:
    found = machine.read_machine(put(tmp_path, {"proc/cpuinfo": X86_CPUINFO}))
    assert found.cpu_model == "AMD EPYC"
    assert found.virtual_machine is True
    assert found.cpu_features == ["sse4_1", "avx2", "fma", "avx512f", "avx512_vnni"]
    assert found.board is None


def test_what_cannot_be_read_is_unknown(tmp_path: Path) -> None:
    readers = (
        machine.read_governor,
        machine.read_frequency_mhz,
        machine.read_temperature_c,
        machine.read_pi_throttled,
        machine.read_throttle_events,
        machine.read_cpu_times,
    )
    assert [read(tmp_path) for read in readers] == [None] * len(readers)
    assert machine.read_process_times(tmp_path) == {}


def test_zones_of_the_cpu_go_before_others(tmp_path: Path) -> None:
    files = {}
    for number, (kind, temperature) in enumerate([("acpitz", 90_000), ("x86_pkg_temp", 61_000), ("iwlwifi", 70_000)]):
        files[f"sys/class/thermal/thermal_zone{number}/type"] = kind
        files[f"sys/class/thermal/thermal_zone{number}/temp"] = str(temperature)
    assert machine.read_temperature_c(put(tmp_path, files)) == 61.0


def test_throttle_events_of_all_cpus(tmp_path: Path) -> None:
    name = "sys/devices/system/cpu/cpu{}/thermal_throttle/core_throttle_count"
    assert machine.read_throttle_events(put(tmp_path, {name.format(0): "3\n", name.format(1): "4\n"})) == 7


def test_cpu_times_count_waiting_as_idle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sysconf", lambda name: 100)
    root = put(tmp_path, {"proc/stat": "cpu  100 200 300 400 500 600 700 800 0 0\ncpu0 1 2 3\n"})
    assert machine.read_cpu_times(root) == CpuTimes(busy_s=19.0, stolen_s=8.0, total_s=36.0)


def test_process_names_may_hold_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sysconf", lambda name: 100)
    stat = "42 (a) b (c) R 1 1 1 0 -1 0 0 0 0 0 150 50 0 0 20 0\n"
    assert machine.read_process_times(put(tmp_path, {"proc/42/stat": stat})) == {42: ("a) b (c", 2.0)}


def test_this_machine() -> None:
    found = machine.read_machine()
    assert found.cpu_model
    assert found.n_cpus >= 1
    assert "numpy" in found.packages
