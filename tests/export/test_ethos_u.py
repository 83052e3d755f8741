"""Ethos-U: our table against vela's own configurations, the compiled file, and networks that do not map."""

from __future__ import annotations

import configparser
import dataclasses
from pathlib import Path

import pytest

from fer_edge.errors import CheckFailedError
from fer_edge.verification.golden import DOUBLE_ROUNDING
from fer_export.file_names import INT8_TFLITE
from fer_export.request import Steps
from fer_export.targets import chosen_targets
from fer_export.targets.available.ethos_u import BOARDS, Board
from fer_export.targets.job import TargetJob
from fer_export.targets.run import manifest_entry, run_targets
from fer_export.tflite_file import read_tflite

ACCELERATORS = (
    *(f"ethos-u55-{macs}" for macs in (32, 64, 128, 256)),
    *(f"ethos-u65-{macs}" for macs in (256, 512)),
    *(f"ethos-u85-{macs}" for macs in (128, 256, 512, 1024, 2048)),
)
MAX_BYTES, MAX_SRAM_BYTES = 2_500_000, 92 * 1024


@pytest.fixture(scope="module")
def vela() -> Path:
    """Folder of vela's own configurations."""
    ethosu = pytest.importorskip("ethosu", reason="vela is not installed (extra vela)")
    return Path(next(iter(ethosu.__path__))) / "config_files"


def board(name: str) -> Board:
    return next(each for each in BOARDS if each.name == name)


def test_all_eleven_accelerators_are_there() -> None:
    assert [each.name for each in BOARDS if not each.suffix] == list(ACCELERATORS)
    assert len({each.name for each in BOARDS}) == len(BOARDS)


@pytest.mark.parametrize("each", BOARDS, ids=lambda each: each.name)
def test_the_table_is_what_vela_knows(each: Board, vela: Path) -> None:
    """A configuration of another NPU is taken without a word: 1.0 ms instead of 5.2."""
    known = configparser.ConfigParser()
    known.read(vela / "Arm" / "vela.ini")
    family = each.accelerator.rsplit("-", 1)[0].replace("ethos-u", "Ethos_U")
    assert each.system.startswith(f"{family}_")
    assert float(known[f"System_Config.{each.system}"]["core_clock"]) == 1e6 * each.clock_mhz
    assert f"Memory_Mode.{each.memory}" in known
    if family == "Ethos_U55":
        assert each.optimise == "Size" and not each.memory.startswith("Dedicated")


def test_the_compiled_file(job: TargetJob, vela: Path) -> None:
    results, verdict = run_targets(chosen_targets(["ethos-u55-128"]), job, job.out, Steps())
    assert verdict.passed, verdict.failures
    (result,) = results
    entry = manifest_entry(result, job.out, labelled=False)
    assert (entry["cpu_operators"], entry["arithmetic"]) == (0, DOUBLE_ROUNDING)
    assert entry["accelerator_operators"] > 0
    assert entry["bytes"] <= MAX_BYTES and entry["memory_bytes"] <= MAX_SRAM_BYTES
    assert 5.0 < entry["estimated_time_ms"] < 6.2
    assert "vela 5.2" in entry["time_source"] and "500 MHz" in entry["time_source"]
    assert entry["rounding"]["double"] > entry["rounding"]["other"]
    folder = job.out / "ethos-u55-128"
    assert {path.name for path in folder.iterdir()} == {f"fer_int8_vela.{end}" for end in ("tflite", "h", "cc")}
    assert [op.name for op in read_tflite(folder / "fer_int8_vela.tflite").operators] == ["ethos-u"]


@pytest.mark.slow
@pytest.mark.parametrize("each", BOARDS, ids=lambda each: each.name)
def test_every_board(job: TargetJob, vela: Path, each: Board) -> None:
    results, verdict = run_targets(chosen_targets([each.name]), job, job.out, Steps())
    assert verdict.passed, verdict.failures
    entry = manifest_entry(results[0], job.out, labelled=False)
    assert entry["cpu_operators"] == 0 and entry["bytes"] <= MAX_BYTES
    if each.accelerator.startswith("ethos-u55"):
        assert entry["memory_bytes"] <= MAX_SRAM_BYTES


def test_another_configuration_than_asked_for_is_refused(job: TargetJob, vela: Path) -> None:
    """The clock of our table is wrong here, as after a change of vela's configuration file."""
    from fer_export.targets.vela import compile_for

    (job.out / "wrong").mkdir()
    other = dataclasses.replace(board("ethos-u55-32"), clock_mhz=400)
    with pytest.raises(CheckFailedError, match=r"reports the configuration .* 500\), asked for was .* 400\)"):
        compile_for(other, dataclasses.replace(job, out=job.out / "wrong"))


def test_a_network_that_does_not_map_is_refused_with_the_reason(job: TargetJob, vela: Path) -> None:
    """A custom operator counts, which is what an already compiled file holds."""
    from fer_export.targets.vela import compile_for

    first = job.out / "first"
    first.mkdir()
    compiled = compile_for(board("ethos-u55-32"), dataclasses.replace(job, out=first)).model
    models, second = job.out / "models", job.out / "second"
    models.mkdir()
    second.mkdir()
    (models / INT8_TFLITE).write_bytes(compiled.read_bytes())
    with pytest.raises(CheckFailedError) as caught:
        compile_for(board("ethos-u55-128"), dataclasses.replace(job, models=models, out=second))
    line = str(caught.value)
    assert "ethos-u55-128: 1 of 1 operators are left to the CPU, expected none (CUSTOM: Unsupported opType)" in line
    assert "\n" not in line


def test_a_file_that_is_no_network_is_refused_in_one_line(job: TargetJob, vela: Path) -> None:
    from fer_export.targets.vela import compile_for

    (job.models / INT8_TFLITE).write_bytes(b"\0\0\0\0TFL3" + bytes(64))
    with pytest.raises(CheckFailedError, match=r"^ethos-u55-128: vela refused fer_int8.tflite: [^\n]+$"):
        compile_for(board("ethos-u55-128"), job)
