"""Environments of their own for makers' tools, made of nothing here: what is said, what is left, what fails."""

from __future__ import annotations

import fcntl
import logging
import platform
import shutil
import sys
from pathlib import Path

import pytest

from fer_edge.errors import FerError, MissingDependencyError, UsageError
from fer_export.cli import main
from fer_export.targets import environments, installation
from fer_export.targets.available import rockchip
from fer_export.targets.environments import (
    ENVIRONMENTS,
    ToolEnvironment,
    environment_python,
    folder_of,
    why_not_installed,
)
from fer_export.targets.installation import find_python, install_environment

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the tools are for Linux")
UV = """#!/bin/sh
echo "$@" >> "{log}"
case "$1" in
  venv) for last; do :; done; mkdir -p "$last/bin"; ln -s "{python}" "$last/bin/python" ;;
  pip) {pip} ;;
esac
"""


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ToolEnvironment:
    """An environment without packages, in an empty data folder."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(environments, "REQUIREMENTS", tmp_path)
    (tmp_path / f"toy-{HERE}.txt").write_text("# nothing\n")
    environment = ToolEnvironment(
        "toy", "toy tool 1.0", (HERE,), "print('works')", 1, 1000, ("toychip",), (platform.machine(),)
    )
    monkeypatch.setitem(ENVIRONMENTS, "toy", environment)
    return environment


def with_uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pip: str = ":") -> Path:
    uv, log = tmp_path / "uv", tmp_path / "uv.log"
    uv.write_text(UV.format(log=log, python=sys.executable, pip=pip))
    uv.chmod(0o755)
    monkeypatch.setattr(installation, "find_uv", lambda: str(uv))
    return log


def test_by_uv(
    toy: ToolEnvironment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "fer_export")
    log = with_uv(tmp_path, monkeypatch)
    line = why_not_installed("toy")
    assert (
        line is not None
        and "toy tool 1.0 is not installed; install it with: fer-export --install-target toychip" in line
    )
    with pytest.raises(MissingDependencyError, match="--install-target toychip"):
        environment_python("toy")
    folder = install_environment("toy")
    assert folder.parent == tmp_path / "data" / "fer-edge-toolkit" / "environments"
    assert caplog.messages[0].startswith("toy tool 1.0: about 0.0 GB to download")  # before anything is fetched
    venv, install = log.read_text().splitlines()
    assert venv.startswith("venv ") and f"--python {environment_python('toy')} --no-deps -r" in install
    assert why_not_installed("toy") is None
    assert install_environment("toy") == folder
    assert len(log.read_text().splitlines()) == 2  # nothing was done again


def test_other_pins_are_another_environment(
    toy: ToolEnvironment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_uv(tmp_path, monkeypatch)
    older = install_environment("toy")
    (tmp_path / f"toy-{HERE}.txt").write_text("# other\n")
    monkeypatch.setitem(ENVIRONMENTS, "toy", ToolEnvironment(**{f: getattr(toy, f) for f in toy.__dataclass_fields__}))
    line = why_not_installed("toy")
    assert line is not None and "is installed in an older version; install it with" in line
    newer = install_environment("toy")
    assert newer != older and not older.exists()


@pytest.mark.slow
def test_by_venv_where_there_is_no_uv(toy: ToolEnvironment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "find_uv", lambda: None)
    folder = install_environment("toy")
    assert (folder / "bin" / "pip").exists() and (folder / "installed.json").is_file()


@pytest.mark.parametrize(
    ("pip", "check", "words"),
    [
        (
            "echo 'error: Failed to fetch https://pypi.org' >&2; exit 2",
            "",
            "cannot be installed: error: Failed to fetch",
        ),
        (":", "raise ImportError('libGL.so.1')", "was installed and does not start .exit code 1.: ImportError: libGL"),
        (":", "import os; os.abort()", "does not start .SIGABRT."),
    ],
)
def test_what_fails_leaves_nothing(
    toy: ToolEnvironment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pip: str, check: str, words: str
) -> None:
    with_uv(tmp_path, monkeypatch, pip)
    failing = ToolEnvironment("toy", "toy tool 1.0", (HERE,), check, 1, 1000, ("toychip",), (platform.machine(),))
    monkeypatch.setitem(ENVIRONMENTS, "toy", failing)
    with pytest.raises(FerError, match=words) as caught:
        install_environment("toy")
    assert "\n" not in str(caught.value)
    assert [path for path in (tmp_path / "data").rglob("*") if not path.is_dir()] == []
    assert why_not_installed("toy") is not None


def test_half_of_one_is_made_anew(toy: ToolEnvironment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_uv(tmp_path, monkeypatch)
    folder = install_environment("toy")
    (folder / "installed.json").unlink()
    (folder / "rest").touch()
    assert why_not_installed("toy") is not None
    install_environment("toy")
    assert not (folder / "rest").exists()


def test_no_space_no_place_and_another_process(
    toy: ToolEnvironment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_uv(tmp_path, monkeypatch)
    lock = folder_of(toy).with_name(f"{toy.folder_name}.lock")
    lock.parent.mkdir(parents=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(UsageError, match="another process is installing toy tool"):
            install_environment("toy")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1))
    with pytest.raises(UsageError, match=r"takes 0\.0 GB, .* free; make room, or set XDG_DATA_HOME"):
        install_environment("toy")
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file"))
    with pytest.raises(UsageError, match="cannot be written; set XDG_DATA_HOME"):
        install_environment("toy")


def test_a_python_that_is_not_here_is_fetched_by_uv_or_named(
    toy: ToolEnvironment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_python(HERE) is not None
    monkeypatch.setattr(installation, "find_python", lambda _: None)
    monkeypatch.setattr(installation, "find_uv", lambda: None)
    with pytest.raises(MissingDependencyError, match=f"needs Python {HERE}, which is not here; install uv"):
        install_environment("toy")
    log = with_uv(tmp_path, monkeypatch)
    install_environment("toy")
    assert f"--python {HERE} " in log.read_text()


def test_a_machine_that_the_tool_does_not_know(toy: ToolEnvironment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    line = why_not_installed("toy")
    assert line is not None and "only, this is Linux on riscv64" in line
    with pytest.raises(MissingDependencyError, match="riscv64"):
        install_environment("toy")


def test_the_command_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    if platform.machine() != "x86_64":
        pytest.skip("the tool is for x86-64")
    assert main(["--int8", "--target", "rk3588"]) == 3
    assert "install it with: fer-export --install-target rk3588 (about 3." in capsys.readouterr().err
    assert main(["--install-target", "rk3589"]) == 2
    assert "unknown target 'rk3589'; did you mean rk3588?" in capsys.readouterr().err


def test_the_pins_are_complete() -> None:
    """Every file holds exact versions only, and the tool that it is for."""
    for environment in ENVIRONMENTS.values():
        for python in environment.pythons:
            lines = environment.requirements(python).read_text().splitlines()
            assert all("==" in line for line in lines), environment.name
            tool, version = environment.tool.split()
            assert f"{tool}=={version}" in lines
    assert set(ENVIRONMENTS["rknn"].targets) == set(rockchip.CHIPS)
