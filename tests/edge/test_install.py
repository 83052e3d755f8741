"""What ``edge/install`` ships: does it fit the command that it starts?"""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from fer_edge.app.cli import parse_arguments
from fer_edge.app.options import build_parser

INSTALL = Path(__file__).parents[2] / "edge" / "install"

tomllib = pytest.importorskip("tomllib", reason="configuration files need Python 3.11")


def unit() -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(strict=False)  # systemd repeats keys; here the last one counts
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(INSTALL / "fer-camera.service")
    return parser


def test_the_service_starts_what_there_is() -> None:
    command = shlex.split(unit()["Service"]["ExecStart"])
    assert command[0].endswith("/bin/fer-camera")
    assert command[-1] == "/etc/fer-camera.toml"
    arguments = parse_arguments([*command[1:-1], str(INSTALL / "fer-camera.toml")])
    assert arguments.headless
    assert arguments.web == "127.0.0.1:8080"
    assert arguments.detect_every == 3


def test_the_service_is_watched_and_hardened() -> None:
    service = unit()["Service"]
    assert service["Type"] == "notify"  # fer_edge.app.systemd tells when it is ready, and that it lives
    assert int(service["WatchdogSec"]) >= 20  # a stalled stream may take 8 s to be noticed
    assert service["Restart"] == "always"
    for key in ("DynamicUser", "NoNewPrivileges", "ProtectHome", "PrivateTmp", "RestrictNamespaces"):
        assert service[key] == "yes"
    assert service["ProtectSystem"] == "strict"
    assert service["CapabilityBoundingSet"] == ""


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd is not installed")
    copy = tmp_path / "fer-camera.service"
    copy.write_text((INSTALL / "fer-camera.service").read_text().replace("/opt/fer-camera/bin/fer-camera", "/bin/true"))
    done = subprocess.run([analyze, "verify", "--man=no", str(copy)], capture_output=True, text=True, check=False)
    complaints = [line for line in done.stderr.splitlines() if "fer-camera.service" in line]
    assert complaints == []
    done = subprocess.run(
        [analyze, "security", "--offline=true", "--threshold=30", str(copy)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout  # exposure at most 3.0 of 10


def test_answers_are_not_stored_in_the_journal() -> None:
    """Nothing is stored unless an output asks for it; without one the command prints on standard output."""
    lines = (INSTALL / "fer-camera.service").read_text().splitlines()
    assert "StandardOutput=null" in lines
    assert "StandardError=journal" in lines  # would follow standard output


def test_commented_options_of_the_example_exist_too() -> None:
    text = (INSTALL / "fer-camera.toml").read_text()
    options = {option.removeprefix("--") for action in build_parser()._actions for option in action.option_strings}
    everything = tomllib.loads(re.sub(r"^# (?=[a-z-]+ = )", "", text, flags=re.MULTILINE))
    assert len(everything) >= 10
    assert set(everything) <= options


@pytest.mark.parametrize("guide", ["raspberry-pi.md", "Containerfile"])
def test_the_guides_name_options_and_files_that_exist(guide: str) -> None:
    text = (INSTALL / guide).read_text()
    options = {option for action in build_parser()._actions for option in action.option_strings}
    foreign = {"--system-site-packages", "--no-deps", "--now", "--rm", "--device", "--from", "--no-cache-dir"}
    foreign |= {"--system", "--groups", "--interval", "--timeout", "--start-period", "--env-file", "--read-only"}
    foreign |= {"--no-install-recommends", "--tmpfs", "--cap-drop", "--security-opt", "--group-add"}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text)) - foreign <= options
    for name in re.findall(r"edge/install/([\w.-]+)", text):
        assert (INSTALL / name).is_file()
    for name in re.findall(r"requirements[\w-]*\.txt", text):
        assert (INSTALL.parent / name).is_file()


def test_the_container_gets_all_that_the_wheel_is_built_from() -> None:
    text = (INSTALL / "Containerfile").read_text()
    checkout = INSTALL.parents[1]
    copied = {name for line in re.findall(r"^COPY (?!--)(.+)$", text, re.MULTILINE) for name in line.split()[:-1]}
    assert all((checkout / name).exists() for name in copied)
    project = tomllib.loads((checkout / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {*wheel["packages"], *wheel["force-include"], project["project"]["readme"], "pyproject.toml"}
    needed |= set(project["project"]["license-files"])
    assert {name.split("/")[0] for name in needed} <= copied
    assert "." not in copied
    assert re.search(r"^USER (?!root)", text, re.MULTILINE)
